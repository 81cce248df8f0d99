/* Reads AWS's INI dialect line by line; a line that is no setting is passed over, as the
 * SDKs do. What the settings mean is the credentials' business. */
#include "s3/profile.h"
#include <openssl/crypto.h>
#include <string.h>

/* Some editors put it before UTF-8. */
#define BOM       "\xef\xbb\xbf"
#define BOM_BYTES (sizeof(BOM) - 1)

struct reader {
	const char *profile;
	enum s3_profile_section section;
	bool inside;       /* the section read last is the profile's */
	size_t indent;     /* of the setting read last; deeper lines belong to it */
	char *parent;      /* that setting's name; NULL: none yet */
	bool has_children; /* it has no value of its own */
	GHashTable *settings;
};

static void wipe_value(gpointer value)
{
	OPENSSL_cleanse(value, strlen(value));
	g_free(value);
}

/* name of "[KIND NAME]" or "[KIND 'NAME']": shell quoting, as the AWS CLI writes it */
static bool names_section(const char *header, const char *kind, const char *name)
{
	g_auto(GStrv) words = NULL;
	if (!g_shell_parse_argv(header, NULL, &words, NULL))
		return false;
	return g_strv_length(words) == 2 && strcmp(words[0], kind) == 0 &&
	       strcmp(words[1], name) == 0;
}

static bool section_matches(const struct reader *reader, const char *header)
{
	if (reader->section == S3_PROFILE_CREDENTIALS)
		return strcmp(header, reader->profile) == 0;
	if (reader->section == S3_PROFILE_SERVICES)
		return names_section(header, "services", reader->profile);
	if (strcmp(header, "default") == 0)
		return strcmp(reader->profile, "default") == 0;
	return names_section(header, "profile", reader->profile);
}

static void read_section(struct reader *reader, char *line)
{
	char *end = strchr(line, ']');
	reader->inside = false;
	g_clear_pointer(&reader->parent, g_free);
	if (!end)
		return;
	*end = '\0';
	if (!section_matches(reader, g_strstrip(line + 1)))
		return;
	reader->inside = true;
	if (!reader->settings)
		reader->settings = g_hash_table_new_full(
			g_str_hash, g_str_equal, g_free, wipe_value);
}

/* A comment may follow a value after a blank; no credential has a blank in it. */
static void cut_comment(char *value)
{
	for (char *p = value; *p; p++) {
		if ((p == value || g_ascii_isspace(p[-1])) && (*p == '#' || *p == ';')) {
			*p = '\0';
			return;
		}
	}
}

static void keep(struct reader *reader, char *name, const char *value)
{
	g_hash_table_replace(reader->settings, name, g_strdup(value));
}

static void read_setting(struct reader *reader, char *line, size_t indent)
{
	char *equals = strchr(line, '=');
	if (!reader->inside || !equals)
		return;
	*equals = '\0';
	cut_comment(equals + 1);
	g_autofree char *name = g_ascii_strdown(g_strstrip(line), -1);
	const char *value = g_strstrip(equals + 1);
	if (reader->parent && indent > reader->indent) {
		if (reader->has_children)
			keep(reader, g_strconcat(reader->parent, ".", name, NULL), value);
		return;
	}
	reader->indent = indent;
	reader->has_children = *value == '\0';
	keep(reader, g_strdup(name), value);
	g_free(reader->parent);
	reader->parent = g_steal_pointer(&name);
}

/* What stands behind the indent; "" where nothing is said. */
static char *content_of(char *line, size_t *indent)
{
	*indent = strspn(line, " \t");
	char *start = line + *indent;
	return *start == '\r' || *start == '#' || *start == ';' ? strchr(start, '\0')
								: start;
}

static bool is_section(const char *start, size_t indent)
{
	return *start == '[' && indent == 0;
}

static void read_line(char *line, void *data)
{
	struct reader *reader = data;
	size_t indent;
	char *start = content_of(line, &indent);
	if (*start == '\0')
		return;
	if (is_section(start, indent))
		read_section(reader, start);
	else
		read_setting(reader, start, indent);
}

static void each_line(const char *text, size_t text_bytes,
	void (*take)(char *line, void *data), void *data)
{
	const char *end = text + text_bytes;
	bool marked = text_bytes >= BOM_BYTES && memcmp(text, BOM, BOM_BYTES) == 0;
	for (const char *line = text + (marked ? BOM_BYTES : 0); line < end;) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		size_t line_bytes = (size_t)((newline ? newline : end) - line);
		char *copy = g_strndup(line, line_bytes);
		take(copy, data);
		OPENSSL_cleanse(copy, line_bytes);
		g_free(copy);
		line += line_bytes + 1;
	}
}

GHashTable *s3_profile_parse(const char *text, size_t text_bytes, const char *profile,
	enum s3_profile_section section)
{
	struct reader reader = { .profile = profile, .section = section };
	each_line(text, text_bytes, read_line, &reader);
	g_free(reader.parent);
	return reader.settings;
}

struct form {
	bool has_section, has_more;
};

static void note_line(char *line, void *data)
{
	struct form *form = data;
	size_t indent;
	const char *start = content_of(line, &indent);
	form->has_section |= is_section(start, indent);
	form->has_more |= *start != '\0';
}

bool s3_profile_has_form(const char *text, size_t text_bytes)
{
	struct form form = { false, false };
	each_line(text, text_bytes, note_line, &form);
	return form.has_section || !form.has_more;
}
