/* File names for headers and links, and the keys of objects, which never hold one. */
#include "s3/name.h"
#include "s3/digest.h"
#include "s3/s3.h"
#include "s3/sigv4.h"
#include <string.h>

#define FILE_NAME_MAX_BYTES 255 /* what a file system takes */
#define METADATA_MAX_BYTES  256 /* OpenStack Swift's limit for one value */
#define EXTENSION_MAX_BYTES 10
#define MEDIA_TYPE_MAX_BYTES                                                             \
	127 /* RFC 6838, 4.2: each half; a link need not carry more */
#define KEY_MAX_BYTES 1024
#define RANDOM_BYTES  16

/* The suffix of letters and digits with its dot; "" when there is none. */
static const char *suffix_of(const char *name)
{
	const char *dot = strrchr(name, '.');
	if (!dot || dot == name || !dot[1])
		return "";
	for (const char *p = dot + 1; *p; p++)
		if (!g_ascii_isalnum(*p))
			return "";
	return dot;
}

/* Controls, separators of paths and marks that turn the reading direction around. */
static bool is_harmful(gunichar c)
{
	return g_unichar_iscntrl(c) || c == '/' || c == '\\' || c == 0x2028 ||
	       c == 0x2029 || c == 0x061c || c == 0x200e || c == 0x200f ||
	       (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* Cuts the stem so that name with its suffix fits. */
static void shorten(GString *name)
{
	g_autofree char *suffix = g_strdup(suffix_of(name->str));
	size_t suffix_bytes = strlen(suffix);
	if (suffix_bytes > FILE_NAME_MAX_BYTES / 4) {
		suffix[0] = '\0';
		suffix_bytes = 0;
	}
	size_t keep = FILE_NAME_MAX_BYTES - suffix_bytes;
	const char *end = g_utf8_find_prev_char(name->str, name->str + keep + 1);
	g_string_truncate(name, (gsize)(end - name->str));
	g_string_append(name, suffix);
}

/* Already clean where it comes from; a second look costs nothing. */
static char *cleaned(const char *file_name)
{
	g_autofree char *valid = g_utf8_make_valid(file_name ? file_name : "", -1);
	GString *name = g_string_sized_new(strlen(valid));
	for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);
		g_string_append_unichar(name, is_harmful(c) ? '_' : c);
	}
	if (name->len > FILE_NAME_MAX_BYTES)
		shorten(name);
	if (name->len == 0)
		g_string_assign(name, "attachment");
	return g_string_free(name, FALSE);
}

static bool has_word(const char *text, const char *end)
{
	for (; text < end; text++)
		if (g_ascii_isalnum(*text))
			return true;
	return false;
}

/* For readers that do not know filename*: "_" for each character that is not ASCII, and
 * for those that some readers decode or take for the end of the name, escaped or not
 * (RFC 6266, appendix D). */
static char *ascii_name(const char *name)
{
	GString *out = g_string_sized_new(strlen(name));
	for (const char *p = name; *p; p = g_utf8_next_char(p))
		g_string_append_c(out, (*p & 0x80) || strchr("%\"\\", *p) ? '_' : *p);
	const char *suffix = suffix_of(out->str);
	size_t stem_bytes = strlen(out->str) - strlen(suffix);
	if (!has_word(out->str, out->str + stem_bytes)) {
		g_string_erase(out, 0, (gssize)stem_bytes);
		g_string_prepend(out, "attachment");
	}
	return g_string_free(out, FALSE);
}

char *s3_name_disposition(const char *file_name)
{
	g_autofree char *name = cleaned(file_name);
	g_autofree char *ascii = ascii_name(name);
	GString *out = g_string_sized_new(64 + 4 * strlen(name));
	g_string_append_printf(
		out, "attachment; filename=\"%s\"; filename*=UTF-8''", ascii);
	sigv4_append_encoded(out, name, false);
	return g_string_free(out, FALSE);
}

char *s3_name_metadata(const char *file_name)
{
	g_autofree char *name = cleaned(file_name);
	g_autoptr(GString) one = g_string_new(NULL);
	GString *out = g_string_sized_new(3 * strlen(name));
	for (const char *p = name; *p; p = g_utf8_next_char(p)) {
		g_autofree char *character =
			g_strndup(p, (gsize)(g_utf8_next_char(p) - p));
		g_string_truncate(one, 0);
		sigv4_append_encoded(one, character, false);
		if (out->len + one->len > METADATA_MAX_BYTES)
			break;
		g_string_append_len(out, one->str, (gssize)one->len);
	}
	return g_string_free(out, FALSE);
}

/* What a browser might run or what might lead it elsewhere, were it
 * ever shown in place. */
static bool is_active(const char *type)
{
	static const char *const active[] = { "text/html", "text/xml", "text/xsl",
		"text/javascript", "text/ecmascript", "text/jscript", "text/livescript",
		"text/vbscript", "text/x-component", "text/cache-manifest",
		"text/x-javascript", "application/xml", "application/xhtml",
		"application/hta", "application/javascript", "application/ecmascript",
		"application/x-javascript", "application/x-ecmascript",
		"application/x-shockwave-flash", "application/x-xpinstall",
		"application/xslt", "application/wasm", "application/x-mimearchive",
		"image/svg", "text/x-ecmascript", "application/x-chrome-extension",
		"application/x-ms-application", "application/x-java-jnlp-file", NULL };
	/* Scripts had a type for each version once: text/javascript1.5. */
	static const char *const kinds[] = { "multipart/", "message/",
		"text/javascript1.", NULL };
	for (size_t i = 0; kinds[i]; i++)
		if (g_str_has_prefix(type, kinds[i]))
			return true;
	return g_strv_contains(active, type) || g_str_has_suffix(type, "+xml") ||
	       g_str_has_suffix(type, "-xml");
}

/* RFC 6838, section 4.2: restricted names on both sides of one slash. */
static bool is_media_type(const char *type)
{
	const char *slash = strchr(type, '/');
	if (!slash || slash == type || !slash[1] || strlen(type) > MEDIA_TYPE_MAX_BYTES)
		return false;
	for (const char *p = type; *p; p++)
		if (p != slash && !g_ascii_isalnum(*p) && !strchr("!#$&-^_.+", *p))
			return false;
	return true;
}

char *s3_name_media_type(const char *media_type)
{
	const char *text = media_type ? media_type : "";
	g_autofree char *type = g_ascii_strdown(text, (gssize)strcspn(text, ";"));
	g_strstrip(type);
	if (!is_media_type(type) || is_active(type))
		return g_strdup("application/octet-stream");
	return g_steal_pointer(&type);
}

static bool is_key_character(char c)
{
	return g_ascii_isalnum(c) || c == '.' || c == '_' || c == '-' || c == '/';
}

static bool is_segment(const char *segment, size_t length)
{
	return length != 0 && !(length == 1 && segment[0] == '.') &&
	       !(length == 2 && segment[0] == '.' && segment[1] == '.');
}

bool s3_name_is_key(const char *key)
{
	if (!*key || strlen(key) > KEY_MAX_BYTES)
		return false;
	for (const char *p = key; *p; p++)
		if (!is_key_character(*p))
			return false;
	for (const char *segment = key;;) {
		size_t length = strcspn(segment, "/");
		if (!is_segment(segment, length))
			return false;
		if (!segment[length])
			return true;
		segment += length + 1;
	}
}

/* 128 bits that only the holder of seed can foretell, in base 32
 * (lower case, 26 letters). */
static void append_random(
	GString *out, const uint8_t seed[16], const char *message_id, size_t number)
{
	static const char letters[32] = "abcdefghijklmnopqrstuvwxyz234567";
	g_autofree char *text =
		g_strdup_printf("object key\n%s\n%" G_GSIZE_FORMAT, message_id, number);
	uint8_t digest[S3_SHA256_BYTES];
	s3_hmac_sha256(seed, 16, text, digest);
	unsigned bits = 0, n_bits = 0;
	for (size_t i = 0; i < RANDOM_BYTES; i++) {
		bits = bits << 8 | digest[i];
		for (n_bits += 8; n_bits >= 5; n_bits -= 5)
			g_string_append_c(out, letters[bits >> (n_bits - 5) & 31]);
	}
	g_string_append_c(out, letters[bits << (5 - n_bits) & 31]);
}

static void append_extension(GString *out, const char *file_name)
{
	const char *suffix = suffix_of(file_name ? file_name : "");
	size_t length = strlen(suffix);
	if (length < 2 || length > EXTENSION_MAX_BYTES + 1)
		return;
	for (const char *p = suffix; *p; p++)
		g_string_append_c(out, g_ascii_tolower(*p));
}

static void append_safe(GString *out, const char *text, bool keep_slashes)
{
	for (const char *p = text; *p; p++) {
		bool keep = is_key_character(*p) && (*p != '/' || keep_slashes);
		g_string_append_c(out, keep ? *p : '_');
	}
}

char *s3_object_key(const char *prefix, const char *message_id, const uint8_t seed[16],
	int64_t received_s, size_t number, const char *file_name)
{
	char time[SIGV4_TIME_BYTES];
	sigv4_format_time(received_s, time);
	GString *key = g_string_sized_new(128);
	if (prefix && *prefix) {
		append_safe(key, prefix, true);
		g_string_append_c(key, '/');
	}
	g_string_append_printf(key, "%.4s/%.2s/%.2s/", time, time + 4, time + 6);
	append_safe(key, message_id, false);
	g_string_append_printf(key, "/%" G_GSIZE_FORMAT "-", number);
	append_random(key, seed, message_id, number);
	append_extension(key, file_name);
	return g_string_free(key, FALSE);
}
