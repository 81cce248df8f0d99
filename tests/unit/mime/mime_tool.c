/*
 * mime_tool FILE OBJECTS MANIFEST > REWRITTEN: mime/ applied to one mail, for a checker.
 *
 * Object N of the mail lies in OBJECTS/N (from 1). The manifest is JSON: "untouched" (a
 * reason or null), "parts" and "links". Options set settings, see set_option().
 */
#include "mime/mime.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct outputs {
	const char *directory;
	int fd;
};

static void die(const char *what, const GError *error)
{
	fprintf(stderr, "mime_tool: %s: %s\n", what,
		error != NULL ? error->message : g_strerror(errno));
	_exit(1);
}

static int open_output(void *context, size_t index, GError **error)
{
	struct outputs *outputs = context;
	g_autofree char *path = g_strdup_printf("%s/%zu", outputs->directory, index + 1);

	if (outputs->fd >= 0)
		close(outputs->fd);
	outputs->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (outputs->fd < 0)
		g_set_error(error, MIME_ERROR, MIME_ERROR_IO, "%s: %s", path,
			g_strerror(errno));
	return outputs->fd;
}

static void discard_output(void *context, size_t index)
{
	struct outputs *outputs = context;
	g_autofree char *path = g_strdup_printf("%s/%zu", outputs->directory, index + 1);

	unlink(path);
}

static void put_json(FILE *file, const char *text)
{
	if (text == NULL) {
		fputs("null", file);
		return;
	}
	fputc('"', file);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			fprintf(file, "\\%c", *text);
		else if ((unsigned char)*text < ' ')
			fprintf(file, "\\u%04x", (unsigned)*text);
		else
			fputc(*text, file);
	}
	fputc('"', file);
}

static void put_parts(FILE *file, const struct mime_message *message)
{
	const struct mime_decision *decisions;
	size_t n = mime_message_decisions(message, &decisions);

	fputs("\"parts\": [", file);
	for (size_t i = 0; i < n; i++) {
		fprintf(file, "%s\n  {\"part\": %zu, \"linked\": %s, \"type\": ",
			i > 0 ? "," : "", decisions[i].part,
			decisions[i].linked ? "true" : "false");
		put_json(file, decisions[i].media_type);
		fputs(", \"name\": ", file);
		put_json(file, decisions[i].file_name);
		fputs(", \"reason\": ", file);
		put_json(file, decisions[i].reason);
		fputc('}', file);
	}
	fputs("],\n", file);
}

static void put_recipients(FILE *file, const GPtrArray *named)
{
	fputs(named != NULL ? "[" : "null", file);
	for (size_t i = 0; named != NULL && i < named->len; i++) {
		fputs(i > 0 ? ", " : "", file);
		put_json(file, named->pdata[i]);
	}
	fputs(named != NULL ? "]" : "", file);
}

static void put_links(FILE *file, const struct mime_attachment *attachments,
	const struct mime_link *links, size_t n)
{
	fputs("\"links\": [", file);
	for (size_t i = 0; i < n; i++) {
		fprintf(file,
			"%s\n  {\"part\": %zu, \"size\": %" G_GUINT64_FORMAT
			", \"sha256\": \"",
			i > 0 ? "," : "", attachments[i].part, attachments[i].size);
		for (size_t k = 0; k < sizeof(attachments[i].sha256); k++)
			fprintf(file, "%02x", attachments[i].sha256[k]);
		fputs("\", \"name\": ", file);
		put_json(file, attachments[i].file_name);
		fputs(", \"type\": ", file);
		put_json(file, attachments[i].media_type);
		fputs(", \"url\": ", file);
		put_json(file, links[i].url);
		fputc('}', file);
	}
	fputs("]}\n", file);
}

static void put_manifest(FILE *file, const struct mime_message *message,
	const GPtrArray *named, const char *reason, const struct mime_link *links)
{
	const struct mime_attachment *attachments;
	size_t n = mime_message_attachments(message, &attachments);

	fputs("{\"recipients\": ", file);
	put_recipients(file, named);
	fputs(", \"reason\": ", file);
	put_json(file, reason);
	fputs(",\n\"untouched\": ", file);
	put_json(file, mime_message_untouched_reason(message));
	fputs(",\n", file);
	put_parts(file, message);
	put_links(file, attachments, links, n);
}

static void put_message(const struct splice *splice, int fd)
{
	struct splice_reader reader;
	char block[4096];
	GError *error = NULL;
	ssize_t n;

	splice_reader_init(&reader, splice, fd);
	while ((n = splice_read(&reader, block, sizeof(block), &error)) > 0)
		if (fwrite(block, 1, (size_t)n, stdout) != (size_t)n)
			die("stdout", NULL);
	if (n < 0)
		die("splice", error);
}

static struct mime_link *make_links(size_t n, const char *token)
{
	struct mime_link *links = g_new0(struct mime_link, n);

	for (size_t i = 0; i < n; i++) {
		links[i].url =
			g_strdup_printf("https://bucket.s3.example/mail/2026/%zu-x.bin"
					"?X-Amz-Expires=604800&X-Amz-Signature=%s%zu",
				i + 1, token, i + 1);
		links[i].expires = "2026-11-27 14:05 UTC";
	}
	return links;
}

/* PATTERN=keep or PATTERN=link, behind those that were given before. */
static bool add_rule(const struct mime_rule **rules, size_t *n, const char *text)
{
	static struct mime_rule all[2][MIME_RULES_MAX];
	static size_t lists;
	const char *equals = strrchr(text, '=');

	if (*rules == NULL)
		*rules = all[lists++];
	if (equals == NULL || *n == MIME_RULES_MAX)
		return false;
	((struct mime_rule *)(uintptr_t)*rules)[(*n)++] =
		(struct mime_rule){ g_strndup(text, (gsize)(equals - text)),
			strcmp(equals, "=link") == 0 ? MIME_ACTION_LINK
						     : MIME_ACTION_KEEP };
	return true;
}

static const char *notice; /* stands in front of the bodies; NULL: none */
static bool recipients;    /* lists of them are looked for */
static const struct mime_markers markers = {
	.forms = MIME_MARKER_COLON | MIME_MARKER_BRACKET,
	.word = "Email_Rxers_Code",
	.max = 100,
};

static bool set_option(struct mime_settings *settings, char **token, const char *option)
{
	if (g_str_has_prefix(option, "--type="))
		return add_rule(&settings->types, &settings->n_types, option + 7);
	if (g_str_has_prefix(option, "--name="))
		return add_rule(&settings->names, &settings->n_names, option + 7);
	if (strcmp(option, "--forwarded-inside") == 0)
		settings->forwarded = MIME_FORWARDED_INSIDE;
	else if (g_str_has_prefix(option, "--forwarded-depth="))
		settings->forwarded_depth = g_ascii_strtoull(option + 18, NULL, 10);
	else if (strcmp(option, "--forks-drop") == 0)
		settings->resource_forks = MIME_FORKS_DROP;
	else if (strcmp(option, "--tnef-keep") == 0)
		settings->tnef = MIME_TNEF_KEEP;
	else if (strcmp(option, "--inline-link") == 0)
		settings->inline_images = MIME_INLINE_LINK;
	else if (strcmp(option, "--forwarded-whole") == 0)
		settings->forwarded = MIME_FORWARDED_WHOLE;
	else if (strcmp(option, "--top") == 0)
		settings->block_position = MIME_BLOCK_TOP;
	else if (strcmp(option, "--recipients") == 0)
		recipients = true;
	else if (strcmp(option, "--both") == 0)
		settings->text_only = MIME_TEXT_ONLY_BOTH;
	else if (g_str_has_prefix(option, "--notice="))
		notice = option + 9;
	else if (g_str_has_prefix(option, "--token-bytes="))
		*token = (g_free(*token),
			g_strnfill(g_ascii_strtoull(option + 14, NULL, 10), 'A'));
	else if (g_str_has_prefix(option, "--min-size="))
		settings->min_size = g_ascii_strtoull(option + 11, NULL, 10);
	else if (g_str_has_prefix(option, "--inline-max="))
		settings->inline_max = g_ascii_strtoull(option + 13, NULL, 10);
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	struct mime_settings settings;
	struct outputs outputs = { .fd = -1 };
	struct mime_output output = { open_output, discard_output, &outputs, NULL };
	const struct mime_attachment *attachments;
	char *token = g_strdup("0123456789abcdef");
	GPtrArray *named = NULL;
	char *reason = NULL;
	GError *error = NULL;
	struct stat status;
	int i = 1;

	mime_init();
	mime_settings_init(&settings);
	while (i < argc && set_option(&settings, &token, argv[i]))
		i++;
	if (argc - i != 3) {
		fprintf(stderr, "usage: mime_tool [OPTION]... FILE OBJECTS MANIFEST\n");
		return 64;
	}
	int fd = open(argv[i], O_RDONLY | O_CLOEXEC);
	FILE *manifest = fopen(argv[i + 2], "we");

	outputs.directory = argv[i + 1];
	if (fd < 0 || manifest == NULL || fstat(fd, &status) != 0)
		die(argv[i], NULL);
	struct mime_message *message =
		mime_message_new(fd, NULL, (uint64_t)status.st_size, &settings, &error);

	if (message == NULL || !mime_message_extract(message, &output, &error))
		die("mime", error);
	if (notice != NULL)
		mime_message_set_notice(message, notice, token);
	if (recipients &&
		!mime_message_recipients(message, &markers, &named, &reason, &error))
		die("recipients", error);
	size_t n = mime_message_attachments(message, &attachments);
	struct mime_link *links = make_links(n, token);
	struct splice *splice = splice_new((uint64_t)status.st_size);

	if (!mime_message_link(message, links, n, splice, &error))
		die("link", error);
	put_message(splice, fd);
	put_manifest(manifest, message, named, reason, links);
	fclose(manifest);
	for (size_t k = 0; k < n; k++)
		g_free((gpointer)(uintptr_t)links[k].url);
	g_free(links);
	g_free(token);
	g_free(reason);
	g_clear_pointer(&named, g_ptr_array_unref);
	splice_free(&splice);
	mime_message_free(&message);
	if (outputs.fd >= 0)
		close(outputs.fd);
	close(fd);
	return 0;
}
