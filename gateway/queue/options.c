/* Reads the options of the commands about the queue, by a table. Prints nothing. */
#include "gateway/queue/options.h"

#include "conf/value.h"
#include "gateway/error.h"
#include <string.h>

#define AGE_MAX_S G_MAXINT32

static bool refuse(GError **error, const char *what, const char *argument)
{
	g_autofree char *quoted = conf_value_quote(argument);
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT, "%s: %s", what, quoted);
	return false;
}

/* --- values --- */

/* "dead", or several: "dead,bounced" */
static bool take_state(struct options *options, const char *value, GError **error)
{
	g_auto(GStrv) names = g_strsplit(value, ",", -1);
	if (!names[0])
		return refuse(error, "not a state", value);
	for (size_t i = 0; names[i]; i++) {
		enum queue_state state;
		if (!queue_state_parse(names[i], &state))
			return refuse(error, "not a state", names[i]);
		options->selection.states |= STATES(state);
	}
	return true;
}

static bool take_sender(struct options *options, const char *value, GError **error)
{
	(void)error;
	g_ptr_array_add(options->selection.senders, (char *)value); /* only read */
	return true;
}

static bool take_recipient(struct options *options, const char *value, GError **error)
{
	(void)error;
	g_ptr_array_add(options->selection.recipients, (char *)value); /* only read */
	return true;
}

static bool take_text(const char **text, const char *value, GError **error)
{
	*text = value;
	return *value || refuse(error, "an empty text fits nothing", value);
}

static bool take_reason(struct options *options, const char *value, GError **error)
{
	return take_text(&options->selection.reason, value, error);
}

static bool take_hold(struct options *options, const char *value, GError **error)
{
	return take_text(&options->selection.hold, value, error);
}

static bool take_listener(struct options *options, const char *value, GError **error)
{
	return take_text(&options->selection.listener, value, error);
}

static bool take_user(struct options *options, const char *value, GError **error)
{
	return take_text(&options->selection.user, value, error);
}

static bool take_age(int64_t *ms, const char *value, GError **error)
{
	uint64_t s = 0;
	if (!conf_value_number(value, CONF_UNIT_SECONDS, 1, AGE_MAX_S, &s, error))
		return false;
	*ms = (int64_t)s * 1000;
	return true;
}

static bool take_older_than(struct options *options, const char *value, GError **error)
{
	return take_age(&options->selection.older_than_ms, value, error);
}

static bool take_newer_than(struct options *options, const char *value, GError **error)
{
	return take_age(&options->selection.newer_than_ms, value, error);
}

static bool take_limit(struct options *options, const char *value, GError **error)
{
	return g_ascii_string_to_unsigned(
		       value, 10, 1, G_MAXINT64, &options->selection.limit, NULL) ||
	       refuse(error, "not a number from 1", value);
}

static bool take_expiring(struct options *options, const char *value, GError **error)
{
	return conf_value_number(
		value, CONF_UNIT_SECONDS, 1, AGE_MAX_S, &options->expiring_s, error);
}

static bool take_directory(struct options *options, const char *value, GError **error)
{
	return take_text(&options->directory, value, error);
}

static bool take_maildir(struct options *options, const char *value, GError **error)
{
	return take_text(&options->maildir, value, error);
}

/* --- switches --- */

static bool set_again(struct options *options, const char *value, GError **error)
{
	(void)value;
	(void)error;
	options->again = true;
	return true;
}

static bool set_keep_objects(struct options *options, const char *value, GError **error)
{
	(void)value;
	(void)error;
	options->keep_objects = true;
	return true;
}

static const struct option_row {
	const char *name;
	enum option option;
	bool has_value;
	bool (*take)(struct options *options, const char *value, GError **error);
} rows[] = {
	{ "--state", OPTION_STATE, true, take_state },
	{ "--sender", OPTION_FILTERS, true, take_sender },
	{ "--recipient", OPTION_FILTERS, true, take_recipient },
	{ "--reason", OPTION_FILTERS, true, take_reason },
	{ "--hold", OPTION_FILTERS, true, take_hold },
	{ "--listener", OPTION_FILTERS, true, take_listener },
	{ "--user", OPTION_FILTERS, true, take_user },
	{ "--older-than", OPTION_FILTERS, true, take_older_than },
	{ "--newer-than", OPTION_FILTERS, true, take_newer_than },
	{ "--limit", OPTION_LIMIT, true, take_limit },
	{ "--expiring", OPTION_EXPIRING, true, take_expiring },
	{ "--directory", OPTION_INTO, true, take_directory },
	{ "--maildir", OPTION_INTO, true, take_maildir },
	{ "--again", OPTION_AGAIN, false, set_again },
	{ "--keep-objects", OPTION_OBJECTS, false, set_keep_objects },
	{ "--all", OPTION_ALL, false, NULL },
	{ "--json", OPTION_JSON, false, NULL },
	{ "--dry-run", OPTION_DRY_RUN, false, NULL },
	{ "--yes", OPTION_YES, false, NULL },
	{ "--envelope", OPTION_ENVELOPE, false, NULL },
	{ "--send", OPTION_SEND, false, NULL },
};

/* name_bytes: without "=VALUE" */
static const struct option_row *find_row(const char *name, size_t name_bytes)
{
	for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
		if (strlen(rows[i].name) == name_bytes &&
			memcmp(rows[i].name, name, name_bytes) == 0)
			return &rows[i];
	}
	return NULL;
}

/* Takes argv[*i] and its value; leaves *i at the last that was taken. */
static bool take_option(struct options *options, unsigned taken, int argc, char **argv,
	int *i, GError **error)
{
	const char *word = argv[*i], *value = strchr(word, '=');
	const struct option_row *row =
		find_row(word, value ? (size_t)(value - word) : strlen(word));
	if (!row)
		return refuse(error, "unknown option", word);
	if (!(row->option & taken))
		return refuse(error, "not an option of this verb", word);
	if (value && !row->has_value)
		return refuse(error, "takes no value", word);
	if (value)
		value++;
	else if (row->has_value && *i + 1 < argc)
		value = argv[++*i];
	if (row->has_value && !value)
		return refuse(error, "a value is missing", word);
	options->given |= row->option;
	return !row->take || row->take(options, value, error);
}

bool options_parse(
	struct options *options, unsigned taken, int argc, char **argv, GError **error)
{
	*options = (struct options){ .words = argv + 1 };
	selection_init(&options->selection);
	bool words_only = false;
	for (int i = 1; i < argc; i++) {
		if (words_only || argv[i][0] != '-') {
			options->words[options->n_words++] = argv[i];
		} else if (!strcmp(argv[i], "--")) {
			words_only = true;
		} else if (!take_option(options, taken, argc, argv, &i, error)) {
			return false;
		}
	}
	return true;
}

void options_clear(struct options *options)
{
	selection_clear(&options->selection);
}

static bool is_help(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h");
}

bool options_ask_for_help(int argc, char **argv)
{
	return !strcmp(argv[0], "help") || is_help(argv[0]) ||
	       (argc > 1 && is_help(argv[1]));
}
