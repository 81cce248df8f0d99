/*
 * Whole messages: every mail of tests/data/mime (given as MIME_DATA) against its .expect
 * file, and random structures of which everything or nothing is taken out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/mime.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct outputs {
	GPtrArray *fds; /* as pointers */
	size_t discarded;
	size_t fail_at; /* open_output fails for that index */
};

static int make_file(const char *text, size_t length)
{
	int fd = memfd_create("mail", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, length), length);
	return fd;
}

static int open_output(void *context, size_t index, GError **error)
{
	struct outputs *outputs = context;
	int fd;

	assert_int_equal(index, outputs->fds->len);
	if (index == outputs->fail_at) {
		g_set_error(error, MIME_ERROR, MIME_ERROR_IO, "no space");
		return -1;
	}
	fd = memfd_create("part", MFD_CLOEXEC);
	g_ptr_array_add(outputs->fds, GINT_TO_POINTER(fd));
	return fd;
}

static void discard_output(void *context, size_t index)
{
	struct outputs *outputs = context;

	assert_int_equal(index + 1, outputs->fds->len);
	close(GPOINTER_TO_INT(outputs->fds->pdata[index]));
	g_ptr_array_set_size(outputs->fds, (gint)index);
	outputs->discarded++;
}

static void close_outputs(struct outputs *outputs)
{
	for (size_t i = 0; i < outputs->fds->len; i++)
		close(GPOINTER_TO_INT(outputs->fds->pdata[i]));
	g_ptr_array_unref(outputs->fds);
}

static GString *read_splice(const struct splice *splice, int fd)
{
	struct splice_reader reader;
	GString *out = g_string_new(NULL);
	char block[777];
	ssize_t n;

	splice_reader_init(&reader, splice, fd);
	while ((n = splice_read(&reader, block, sizeof(block), NULL)) > 0)
		g_string_append_len(out, block, n);
	assert_int_equal(n, 0);
	assert_int_equal(out->len, splice_bytes(splice));
	return out;
}

static char *describe(const struct mime_message *message)
{
	const struct mime_decision *decisions;
	size_t n = mime_message_decisions(message, &decisions);
	GString *out = g_string_new(NULL);

	if (mime_message_untouched_reason(message) != NULL)
		g_string_append(out, "untouched\n");
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(decisions[i].part, i + 1);
		assert_non_null(decisions[i].reason);
		g_string_append_printf(out, "%s %s%s%s\n",
			decisions[i].linked ? "link" : "keep", decisions[i].media_type,
			decisions[i].file_name != NULL ? " " : "",
			decisions[i].file_name != NULL ? decisions[i].file_name : "");
	}
	return g_string_free(out, FALSE);
}

/* Rewrites; *linked is the number of attachments, *decided what describe() says. */
static GString *rewrite(const char *text, size_t length,
	const struct mime_settings *settings, size_t *linked, char **decided)
{
	int fd = make_file(text, length);
	struct outputs outputs = { .fds = g_ptr_array_new(), .fail_at = SIZE_MAX };
	struct mime_output output = { open_output, discard_output, &outputs, NULL };
	struct mime_message *message = mime_message_new(fd, NULL, length, settings, NULL);
	struct splice *splice = splice_new(length);
	const struct mime_attachment *attachments;
	struct mime_link links[64];
	GString *result;

	assert_non_null(message);
	assert_true(mime_message_extract(message, &output, NULL));
	*linked = mime_message_attachments(message, &attachments);
	assert_int_equal(*linked, outputs.fds->len);
	assert_true(*linked <= G_N_ELEMENTS(links));
	for (size_t i = 0; i < *linked; i++) {
		assert_true(strlen(attachments[i].file_name) >= 1);
		assert_true(strlen(attachments[i].file_name) <= 200);
		assert_int_equal(
			lseek(GPOINTER_TO_INT(outputs.fds->pdata[i]), 0, SEEK_END),
			attachments[i].size);
		links[i] = (struct mime_link){ "https://x.example/?a=1&b=2", NULL };
	}
	assert_true(mime_message_link(message, links, *linked, splice, NULL));
	assert_int_equal(splice_leaves(splice, 0, length), *linked == 0);
	result = read_splice(splice, fd);
	if (decided != NULL)
		*decided = describe(message);
	splice_free(&splice);
	mime_message_free(&message);
	close_outputs(&outputs);
	close(fd);
	return result;
}

static void check_mail(const char *directory, const char *name)
{
	g_autofree char *path = g_build_filename(directory, name, NULL);
	g_autofree char *stem = g_strndup(path, strlen(path) - strlen(".eml"));
	g_autofree char *expect_path = g_strconcat(stem, ".expect", NULL);
	g_autofree char *text = NULL, *expect = NULL, *decided = NULL;
	struct mime_settings settings;
	gsize length;
	size_t linked, again;

	assert_true(g_file_get_contents(path, &text, &length, NULL));
	assert_true(g_file_get_contents(expect_path, &expect, NULL, NULL));
	mime_settings_init(&settings);
	GString *result = rewrite(text, length, &settings, &linked, &decided);

	if (strcmp(decided, expect) != 0)
		fail_msg("%s:\n%swanted:\n%s", name, decided, expect);
	if (linked == 0) {
		assert_int_equal(result->len, length);
		assert_memory_equal(result->str, text, length);
	}
	/* There is nothing left to take out. */
	GString *second = rewrite(result->str, result->len, &settings, &again, NULL);

	assert_int_equal(again, 0);
	assert_true(g_string_equal(result, second));
	g_string_free(result, TRUE);
	g_string_free(second, TRUE);
}

static void test_corpus(void **state)
{
	const char *directory = getenv("MIME_DATA"), *name;
	GDir *dir = g_dir_open(directory, 0, NULL);
	size_t mails = 0;

	(void)state;
	assert_non_null(dir);
	while ((name = g_dir_read_name(dir)) != NULL) {
		if (!g_str_has_suffix(name, ".eml"))
			continue;
		check_mail(directory, name);
		mails++;
	}
	g_dir_close(dir);
	assert_true(mails >= 60);
}

/* What a random mail is made of: each part's octets, and whether it is to be linked. */
struct random_mail {
	GRand *rand;
	GString *text;
	GPtrArray *kept, *linked; /* char *, a whole part each */
	unsigned boundaries;
	unsigned messages; /* within it */
	const char *newline;
	bool attach; /* else no part is an attachment */
};

static void add_leaf(struct random_mail *mail)
{
	static const char *const types[] = { "text/plain", "text/html", "text/csv" };
	bool link = mail->attach && g_rand_boolean(mail->rand);
	GString *part = g_string_new(NULL);

	g_string_append_printf(part, "Content-Type: %s%sX-Id: %u%s%s%s",
		types[g_rand_int_range(mail->rand, 0, 3)], mail->newline,
		g_rand_int(mail->rand), mail->newline,
		link ? "Content-Disposition: attachment" : "X-Other: y", mail->newline);
	g_string_append(part, mail->newline);
	for (gint32 n = g_rand_int_range(mail->rand, 0, 6); n > 0; n--)
		g_string_append_printf(part, "%s%u%s",
			g_rand_boolean(mail->rand) ? "--b" : "", g_rand_int(mail->rand),
			mail->newline);
	g_string_append(mail->text, part->str);
	g_ptr_array_add(link ? mail->linked : mail->kept, g_string_free(part, FALSE));
}

static void add_multipart(struct random_mail *mail, int depth)
{
	unsigned boundary = ++mail->boundaries;
	gint32 children = g_rand_int_range(mail->rand, 1, 5);

	g_string_append_printf(mail->text,
		"Content-Type: multipart/%s; boundary=\"b%u\"%s%s",
		g_rand_boolean(mail->rand) ? "mixed" : "related", boundary, mail->newline,
		mail->newline);
	for (gint32 i = 0; i < children && mail->kept->len + mail->linked->len < 40;
		i++) {
		g_string_append_printf(mail->text, "--b%u%s", boundary, mail->newline);
		if (depth < 3 && g_rand_int_range(mail->rand, 0, 8) == 0) {
			g_string_append_printf(mail->text,
				"Content-Type: message/rfc822%s%sSubject: %u%s",
				mail->newline, mail->newline, ++mail->messages,
				mail->newline);
			add_multipart(mail, depth + 1);
		} else if (depth < 4 && g_rand_int_range(mail->rand, 0, 3) == 0)
			add_multipart(mail, depth + 1);
		else
			add_leaf(mail);
		g_string_append(mail->text, mail->newline);
	}
	if (g_rand_int_range(mail->rand, 0, 5) > 0)
		g_string_append_printf(mail->text, "--b%u--%s", boundary, mail->newline);
}

/* A part that no delimiter ends stays: its last line break may be its own. */
static void keep_last(struct random_mail *mail)
{
	size_t last = mail->linked->len - 1;
	const char *part, *found;

	if (mail->linked->len == 0)
		return;
	part = mail->linked->pdata[last];
	found = g_strrstr(mail->text->str, part) + strlen(part);
	if (found[strspn(found, "\r\n")] == '\0')
		g_ptr_array_add(
			mail->kept, g_ptr_array_steal_index(mail->linked, (guint)last));
}

/* All that is linked is gone, all that is kept is there, octet by octet; the one part of
 * each message that carries its links may differ. */
static void check_random(struct random_mail *mail)
{
	struct mime_settings settings;
	size_t linked, missing = 0;
	GString *result;

	mime_settings_init(&settings);
	settings.forwarded = MIME_FORWARDED_INSIDE;
	settings.forwarded_depth = 20;
	result = rewrite(mail->text->str, mail->text->len, &settings, &linked, NULL);
	assert_int_equal(linked, mail->linked->len);
	if (linked == 0)
		assert_true(g_string_equal(result, mail->text));
	for (size_t i = 0; i < mail->linked->len; i++)
		assert_null(strstr(result->str, mail->linked->pdata[i]));
	for (size_t i = 0; i < mail->kept->len; i++)
		missing += strstr(result->str, mail->kept->pdata[i]) == NULL;
	assert_true(missing <= (linked > 0 ? 1 + mail->messages : 0));
	g_string_free(result, TRUE);
}

static void test_random(void **state)
{
	struct random_mail mail = { .rand = g_rand_new_with_seed(20261120) };

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		mail.text = g_string_new("Subject: x\r\n");
		mail.newline = i % 3 == 0 ? "\n" : "\r\n";
		g_string_printf(mail.text, "Subject: %u%s", i, mail.newline);
		mail.kept = g_ptr_array_new_with_free_func(g_free);
		mail.linked = g_ptr_array_new_with_free_func(g_free);
		mail.attach = i % 4 != 0;
		mail.boundaries = 0;
		mail.messages = 0;
		add_multipart(&mail, 0);
		keep_last(&mail);
		check_random(&mail);
		g_string_free(mail.text, TRUE);
		g_ptr_array_unref(mail.kept);
		g_ptr_array_unref(mail.linked);
	}
	g_rand_free(mail.rand);
}

static const char two_files[] =
	"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
	"boundary=b\r\n\r\n--b\r\n\r\nHi\r\n"
	"--b\r\nContent-Type: a/b; name=x\r\n\r\n1\r\n--b\r\nContent-Type: a/b; "
	"name=y\r\n\r\n2\r\n--b--\r\n";

static void test_output_fails(void **state)
{
	int fd = make_file(two_files, strlen(two_files));
	struct outputs outputs = { .fds = g_ptr_array_new(), .fail_at = 1 };
	struct mime_output output = { open_output, discard_output, &outputs, NULL };
	struct mime_settings settings;
	GError *error = NULL;

	(void)state;
	mime_settings_init(&settings);
	struct mime_message *message =
		mime_message_new(fd, NULL, strlen(two_files), &settings, &error);

	assert_false(mime_message_extract(message, &output, &error));
	assert_true(g_error_matches(error, MIME_ERROR, MIME_ERROR_IO));
	g_clear_error(&error);
	mime_message_free(&message);
	assert_null(mime_message_new(fd, NULL, strlen(two_files) + 1, &settings, &error));
	assert_true(g_error_matches(error, MIME_ERROR, MIME_ERROR_IO));
	g_clear_error(&error);
	close_outputs(&outputs);
	close(fd);
}

static void test_settings(void **state)
{
	struct mime_settings settings;
	size_t linked;

	(void)state;
	mime_settings_init(&settings);
	settings.min_size = 2;
	g_string_free(
		rewrite(two_files, strlen(two_files), &settings, &linked, NULL), TRUE);
	assert_int_equal(linked, 0);
	mime_settings_init(&settings);
	settings.max_parts = 3;
	g_string_free(
		rewrite(two_files, strlen(two_files), &settings, &linked, NULL), TRUE);
	assert_int_equal(linked, 0);
	settings.max_parts = 4;
	g_string_free(
		rewrite(two_files, strlen(two_files), &settings, &linked, NULL), TRUE);
	assert_int_equal(linked, 2);
}

static int setup(void **state)
{
	(void)state;
	mime_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_output_fails),
		cmocka_unit_test(test_settings),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
