/* One scanner, for judging and for mending. Which field it is, is preflight.c's. */
#include "gateway/delivery/preflight_type.h"

#include "gateway/delivery/preflight_text.h"
#include <glib.h>
#include <string.h>

#define VALUE_BYTES_MAX 65536 /* what is longer is no type */
#define PARAMETERS_MAX  64

struct scan {
	const char *at;
	bool is_sound; /* nothing was passed over so far */
};

struct parameter {
	char *name, *value;
};

static void parameter_free(void *data)
{
	struct parameter *parameter = data;
	g_free(parameter->name);
	g_free(parameter->value);
	g_free(parameter);
}

/* RFC 2045, section 5.1 */
static size_t token_bytes(const char *text)
{
	size_t n = 0;
	while (text[n] > ' ' && text[n] < 0x7f && !strchr("()<>@,;:\\\"/[]?=", text[n]))
		n++;
	return n;
}

/* Blanks and comments. */
static void skip_blanks(struct scan *s)
{
	unsigned depth = 0;
	for (; *s->at && (depth || *s->at == ' ' || *s->at == '('); s->at++) {
		if (*s->at == '\\' && s->at[1])
			s->at++;
		else if (*s->at == '(')
			depth++;
		else if (*s->at == ')')
			depth--;
	}
	s->is_sound = s->is_sound && !depth;
}

/* Up to the next ";". */
static void skip_junk(struct scan *s)
{
	if (*s->at && *s->at != ';')
		s->is_sound = false;
	s->at += strcspn(s->at, ";");
}

static char *take_token(struct scan *s)
{
	size_t bytes = token_bytes(s->at);
	char *token = g_strndup(s->at, bytes);
	s->is_sound = s->is_sound && bytes;
	s->at += bytes;
	return token;
}

/* "type/subtype" in lower case; what lacks of it is "". */
static void take_type(struct scan *s, char **type, char **subtype)
{
	skip_blanks(s);
	g_autofree char *first = take_token(s);
	skip_blanks(s);
	bool has_slash = *s->at == '/';
	s->at += has_slash;
	s->is_sound = s->is_sound && has_slash;
	skip_blanks(s);
	g_autofree char *second = has_slash ? take_token(s) : g_strdup("");
	*type = g_ascii_strdown(first, -1);
	*subtype = g_ascii_strdown(second, -1);
	skip_blanks(s);
}

static char *take_quoted(struct scan *s)
{
	GString *value = g_string_new(NULL);
	for (s->at++; *s->at && *s->at != '"'; s->at++) {
		if (*s->at == '\\' && s->at[1])
			s->at++;
		g_string_append_c(value, *s->at);
	}
	bool is_closed = *s->at;
	s->at += is_closed;
	s->is_sound = s->is_sound && is_closed;
	char *text = g_string_free(value, FALSE);
	return is_closed ? text : g_strchomp(text);
}

/* A value without quotes, as it was meant: file names have blanks. */
static char *take_bare(struct scan *s, const char *name)
{
	bool is_name = !g_ascii_strcasecmp(name, "name") ||
		       !g_ascii_strcasecmp(name, "filename");
	size_t bytes = strcspn(s->at, is_name ? ";\"" : ";\" (");
	s->is_sound = s->is_sound && token_bytes(s->at) == bytes;
	char *value = g_strndup(s->at, bytes);
	s->at += bytes;
	return g_strchomp(value);
}

/* NULL: there is none that can be read. */
static struct parameter *take_parameter(struct scan *s)
{
	g_autofree char *name = take_token(s);
	skip_blanks(s);
	if (!*name || *s->at != '=') {
		s->is_sound = false;
		return NULL;
	}
	s->at++;
	skip_blanks(s);
	struct parameter *parameter = g_new(struct parameter, 1);
	parameter->value = *s->at == '"' ? take_quoted(s) : take_bare(s, name);
	parameter->name = g_steal_pointer(&name);
	skip_blanks(s);
	return parameter;
}

static const char *find(const GPtrArray *parameters, const char *name)
{
	for (guint i = 0; i < parameters->len; i++) {
		const struct parameter *parameter = parameters->pdata[i];
		if (!g_ascii_strcasecmp(parameter->name, name))
			return parameter->value;
	}
	return NULL;
}

/* Those that say something, the first of each name. */
static GPtrArray *take_parameters(struct scan *s)
{
	GPtrArray *parameters = g_ptr_array_new_with_free_func(parameter_free);
	while (*s->at) {
		bool has_mark = *s->at == ';';
		s->is_sound = s->is_sound && has_mark;
		s->at += has_mark;
		skip_blanks(s);
		if (!*s->at)
			break;
		const char *begin = s->at;
		struct parameter *parameter = take_parameter(s);
		if (parameter && *parameter->value && parameters->len < PARAMETERS_MAX &&
			!find(parameters, parameter->name)) {
			g_ptr_array_add(parameters, parameter);
			continue;
		}
		s->is_sound = false;
		if (parameter)
			parameter_free(parameter);
		if (!parameter || s->at == begin)
			skip_junk(s);
	}
	return parameters;
}

static void append_parameters(GString *out, const GPtrArray *parameters)
{
	for (guint i = 0; i < parameters->len; i++) {
		const struct parameter *parameter = parameters->pdata[i];
		const char *value = parameter->value;
		g_string_append_printf(out, "; %s=", parameter->name);
		if (token_bytes(value) == strlen(value)) {
			g_string_append(out, value);
			continue;
		}
		g_string_append_c(out, '"');
		for (; *value; value++) {
			if (*value == '"' || *value == '\\')
				g_string_append_c(out, '\\');
			g_string_append_c(out, *value);
		}
		g_string_append_c(out, '"');
	}
}

/* Also in segments (RFC 2231: boundary*0, boundary*). */
static bool has_boundary(const GPtrArray *parameters)
{
	static const char name[] = "boundary";
	for (guint i = 0; i < parameters->len; i++) {
		const struct parameter *parameter = parameters->pdata[i];
		size_t bytes = strcspn(parameter->name, "*");
		if (bytes == strlen(name) &&
			!g_ascii_strncasecmp(parameter->name, name, bytes))
			return true;
	}
	return false;
}

struct reading {
	char *type, *subtype; /* "" of a disposition */
	GPtrArray *parameters;
	bool is_sound, lacks_boundary;
};

static void read_type(struct reading *reading, const char *line)
{
	struct scan s = { line, true };
	take_type(&s, &reading->type, &reading->subtype);
	/* A ";" may be missing behind the type. */
	if (!token_bytes(s.at))
		skip_junk(&s);
	reading->parameters = take_parameters(&s);
	reading->lacks_boundary =
		!strcmp(reading->type, "multipart") && !has_boundary(reading->parameters);
	reading->is_sound = s.is_sound && !reading->lacks_boundary;
}

static void reading_clear(struct reading *reading)
{
	g_free(reading->type);
	g_free(reading->subtype);
	g_ptr_array_unref(reading->parameters);
}

bool type_is_sound(const char *raw, size_t raw_bytes)
{
	struct reading reading;
	if (raw_bytes > VALUE_BYTES_MAX)
		return false;
	g_autofree char *line = text_line(raw, raw_bytes);
	read_type(&reading, line);
	reading_clear(&reading);
	return reading.is_sound;
}

char *type_repair(const char *raw, size_t raw_bytes, bool *is_other)
{
	struct reading reading;
	g_autofree char *line = text_line(raw, MIN(raw_bytes, VALUE_BYTES_MAX));
	*is_other = false;
	if (line[strspn(line, " ;")] == '\0')
		return NULL;
	read_type(&reading, line);
	bool is_whole = *reading.type && *reading.subtype;
	bool is_multipart = !strcmp(reading.type, "multipart");
	bool is_text = !is_multipart && !is_whole;
	GString *out = g_string_new(NULL);
	if (reading.lacks_boundary || is_text)
		g_string_append(out, "text/plain");
	else
		g_string_append_printf(out, "%s/%s", reading.type,
			*reading.subtype ? reading.subtype : "mixed");
	*is_other = reading.lacks_boundary ||
		    (is_text && *reading.type && strcmp(reading.type, "text") != 0);
	if (!reading.lacks_boundary)
		append_parameters(out, reading.parameters);
	reading_clear(&reading);
	return g_string_free(out, FALSE);
}

static void read_disposition(struct reading *reading, const char *line)
{
	struct scan s = { line, true };
	*reading = (struct reading){ 0 };
	skip_blanks(&s);
	const char *start = s.at;
	g_autofree char *token = take_token(&s);
	skip_blanks(&s);
	if (*s.at == '=') { /* it was a parameter: the type is missing */
		s = (struct scan){ start, false };
		*token = '\0';
	}
	reading->type = g_ascii_strdown(token, -1);
	if (!token_bytes(s.at))
		skip_junk(&s);
	reading->parameters = take_parameters(&s);
	reading->is_sound = s.is_sound;
}

bool type_disposition_is_sound(const char *raw, size_t raw_bytes)
{
	struct reading reading;
	if (raw_bytes > VALUE_BYTES_MAX)
		return false;
	g_autofree char *line = text_line(raw, raw_bytes);
	read_disposition(&reading, line);
	reading_clear(&reading);
	return reading.is_sound;
}

char *type_disposition_repair(const char *raw, size_t raw_bytes)
{
	struct reading reading;
	g_autofree char *line = text_line(raw, MIN(raw_bytes, VALUE_BYTES_MAX));
	/* Some encode all of it, as if it were text. */
	g_autofree char *said = text_decode(line);
	if (said[strspn(said, " ;")] == '\0')
		return NULL;
	read_disposition(&reading, said);
	GString *out = g_string_new(*reading.type ? reading.type : "attachment");
	append_parameters(out, reading.parameters);
	reading_clear(&reading);
	return g_string_free(out, FALSE);
}
