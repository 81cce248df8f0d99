/* Reads and prints numbers with units. Where they belong is the schema's matter. */
#include "conf/value.h"

#include "conf/error.h"
#include <string.h>

struct suffix {
	const char *text;
	uint64_t factor;
};

/* The largest first: a duration names its units in this order. */
static const struct suffix seconds[] = {
	{ "d", 86400 },
	{ "h", 3600 },
	{ "m", 60 },
	{ "s", 1 },
	{ NULL, 0 },
};
static const struct suffix milliseconds[] = {
	{ "d", 86400000 },
	{ "h", 3600000 },
	{ "m", 60000 },
	{ "s", 1000 },
	{ "ms", 1 },
	{ NULL, 0 },
};
/* Binary before decimal, so that a default such as 150MiB is
 * printed as it was written. */
static const struct suffix octets[] = {
	{ "TiB", UINT64_C(1) << 40 },
	{ "GiB", UINT64_C(1) << 30 },
	{ "MiB", UINT64_C(1) << 20 },
	{ "KiB", UINT64_C(1) << 10 },
	{ "TB", UINT64_C(1000000000000) },
	{ "GB", UINT64_C(1000000000) },
	{ "MB", UINT64_C(1000000) },
	{ "KB", UINT64_C(1000) },
	{ "B", 1 },
	{ NULL, 0 },
};

static const struct unit {
	const struct suffix *suffixes;
	const char *what; /* completes "is not ..." */
	const char *example;
} units[] = {
	[CONF_UNIT_NONE] = { NULL, "a number", "a whole number without sign or blanks" },
	[CONF_UNIT_OCTETS] = { octets, "a size",
		"a whole number and B, KB, MB, GB, KiB, MiB or GiB, such as 150MiB" },
	[CONF_UNIT_SECONDS] = { seconds, "a duration",
		"whole numbers with s, m, h or d, such as 36h or 1h30m" },
	[CONF_UNIT_MILLISECONDS] = { milliseconds, "a duration",
		"whole numbers with ms, s, m, h or d, such as 500ms or 30s" },
};

/* Reads decimal digits at *text and moves behind them; false: none, or too large. */
static bool read_digits(const char **text, uint64_t *value)
{
	size_t digits = strspn(*text, "0123456789");
	if (digits == 0)
		return false;
	*value = 0;
	for (const char *end = *text + digits; *text < end; (*text)++) {
		unsigned digit = (unsigned)(**text - '0');
		if (__builtin_mul_overflow(*value, 10, value) ||
			__builtin_add_overflow(*value, digit, value))
			/* beyond every bound there is, below as above */
			*value = UINT64_MAX;
	}
	return true;
}

/* The suffix that *text begins with (and ends with, if it must be last), NULL if none. */
static const struct suffix *read_suffix(const char **text, const struct suffix *suffixes)
{
	size_t length = 0;
	while (g_ascii_isalpha((*text)[length]))
		length++;
	for (const struct suffix *s = suffixes; s->text != NULL; s++) {
		if (strlen(s->text) != length ||
			g_ascii_strncasecmp(*text, s->text, length) != 0)
			continue;
		*text += length;
		return s;
	}
	return NULL;
}

/* Sums "1h30m": each unit at most once, the larger ones first. */
static bool read_sum(const char *text, enum conf_unit unit, uint64_t *value)
{
	const struct suffix *rest = units[unit].suffixes;
	*value = 0;
	do {
		uint64_t part;
		if (!read_digits(&text, &part))
			return false;
		if (unit == CONF_UNIT_OCTETS && *text == ' ')
			text++;
		const struct suffix *suffix = read_suffix(&text, rest);
		if (suffix == NULL)
			return false;
		if (__builtin_mul_overflow(part, suffix->factor, &part) ||
			__builtin_add_overflow(*value, part, value))
			*value = UINT64_MAX;
		rest = suffix + 1;
	} while (*text != '\0' && unit != CONF_UNIT_OCTETS);
	return *text == '\0';
}

static bool read_plain(const char *text, uint64_t *value)
{
	if (text[0] == '0' && text[1] != '\0')
		return false; /* octal for one reader, decimal for another */
	return read_digits(&text, value) && *text == '\0';
}

bool conf_value_number(const char *text, enum conf_unit unit, uint64_t min, uint64_t max,
	uint64_t *value, GError **error)
{
	bool plain = unit == CONF_UNIT_NONE || strcmp(text, "0") == 0;
	bool read = plain ? read_plain(text, value) : read_sum(text, unit, value);
	if (read && *value >= min && *value <= max)
		return true;

	g_autofree char *quoted = conf_value_quote(text);
	g_autofree char *low = conf_value_print(min, unit);
	g_autofree char *high = conf_value_print(max, unit);
	uint64_t bare;
	if (read)
		g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE,
			"%s is out of range: it must be from %s to %s", quoted, low,
			high);
	else if (unit == CONF_UNIT_NONE)
		g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE,
			"%s is not a number from %s to %s", quoted, low, high);
	else if (read_plain(text, &bare))
		g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE,
			"%s needs a unit: write %s", quoted, units[unit].example);
	else
		g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE, "%s is not %s: write %s",
			quoted, units[unit].what, units[unit].example);
	return false;
}

bool conf_value_rate(const char *text, double max, double *value, GError **error)
{
	size_t whole = strspn(text, "0123456789");
	size_t length = whole;
	if (text[whole] == '.')
		length += 1 + strspn(text + whole + 1, "0123456789");
	bool read = whole > 0 && whole <= 9 && text[length] == '\0' &&
		    text[length - 1] != '.';
	if (read)
		*value = g_ascii_strtod(text, NULL);
	if (read && *value <= max)
		return true;
	g_autofree char *quoted = conf_value_quote(text);
	g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE,
		"%s is not a number from 0 to %.0f, such as 14 or 0.5", quoted, max);
	return false;
}

bool conf_value_pace(
	const char *text, double max, double *value, bool *is_auto, GError **error)
{
	static const char word[] = "auto";
	size_t length = strlen(word);
	const char *rest = text + MIN(strlen(text), length);
	bool automatic = g_ascii_strncasecmp(text, word, length) == 0 &&
			 (*rest == '\0' || *rest == ' ');
	double rate = 0;
	rest += strspn(rest, " ");
	if (automatic ? *rest == '\0' || conf_value_rate(rest, max, &rate, NULL)
		      : conf_value_rate(text, max, &rate, NULL)) {
		*value = rate;
		*is_auto = automatic;
		return true;
	}
	g_autofree char *quoted = conf_value_quote(text);
	g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE,
		"%s is not a number from 0 to %.0f, such as 14 or 0.5, nor auto", quoted,
		max);
	return false;
}

bool conf_value_bool(const char *text, bool *value, GError **error)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {
		{ "true", true },
		{ "yes", true },
		{ "on", true },
		{ "false", false },
		{ "no", false },
		{ "off", false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
		if (g_ascii_strcasecmp(text, words[i].word) != 0)
			continue;
		*value = words[i].value;
		return true;
	}
	g_autofree char *quoted = conf_value_quote(text);
	g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE, "%s is neither true nor false",
		quoted);
	return false;
}

/* The largest suffix that divides it; 0 has none. */
static const struct suffix *dividing(uint64_t value, const struct suffix *suffixes)
{
	while (suffixes[1].text != NULL && value % suffixes->factor != 0)
		suffixes++;
	return suffixes;
}

char *conf_value_print(uint64_t value, enum conf_unit unit)
{
	if (unit == CONF_UNIT_NONE || value == 0)
		return g_strdup_printf("%" G_GUINT64_FORMAT, value);
	if (unit == CONF_UNIT_OCTETS) {
		const struct suffix *s = dividing(value, octets);
		return g_strdup_printf(
			"%" G_GUINT64_FORMAT "%s", value / s->factor, s->text);
	}
	GString *text = g_string_new(NULL);
	for (const struct suffix *s = units[unit].suffixes; s->text != NULL; s++) {
		if (value >= s->factor)
			g_string_append_printf(text, "%" G_GUINT64_FORMAT "%s",
				value / s->factor, s->text);
		value %= s->factor;
	}
	return g_string_free(text, FALSE);
}

char *conf_value_quote(const char *text)
{
	enum { LONGEST = 60 };
	g_autofree char *valid = g_utf8_make_valid(text, -1);
	GString *quoted = g_string_new("\"");
	const char *c = valid;
	for (size_t n = 0; *c != '\0' && n < LONGEST; c = g_utf8_next_char(c), n++) {
		gunichar point = g_utf8_get_char(c);
		if (g_unichar_isprint(point))
			g_string_append_unichar(quoted, point);
		else
			g_string_append_printf(quoted, "\\x%02x", (unsigned)point);
	}
	g_string_append(quoted, *c == '\0' ? "\"" : "...\"");
	return g_string_free(quoted, FALSE);
}

bool conf_value_refuse(const char *text, GError **error, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	g_autofree char *what = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	g_autofree char *quoted = conf_value_quote(text);
	g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE, "%s %s", quoted, what);
	return false;
}
