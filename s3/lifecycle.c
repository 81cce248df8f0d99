/* Lifecycle rules out of their XML. Asking for it is retention.c's. */
#include "s3/lifecycle.h"

#include <string.h>

/* S3 takes 1,000 rules in a bucket. */
#define RULES_MAX      1000
#define TEXT_MAX_BYTES 1024
#define DAY_S          86400

struct rule {
	char *prefix;
	struct s3_lifecycle_end end;
};

struct s3_lifecycle {
	GArray *rules; /* struct rule */
};

struct reader {
	struct s3_lifecycle *lifecycle;
	const char *const *tags;
	bool is_lifecycle;
	GString *text; /* of the element that is open */
	/* of the rule that is open */
	bool enabled, foreign; /* foreign: for objects with tags that ours have not */
	struct s3_lifecycle_end end;
	GString *prefix, *tag;
};

static void clear_rule(gpointer data)
{
	g_free(((struct rule *)data)->prefix);
}

static bool lies_in(const GSList *stack, const char *parent)
{
	return stack->next && strcmp(stack->next->data, parent) == 0;
}

static void on_start(GMarkupParseContext *context, const char *name,
	const char **attribute_names, const char **attribute_values, gpointer data,
	GError **error)
{
	struct reader *reader = data;
	(void)attribute_names, (void)attribute_values, (void)error;
	if (!g_markup_parse_context_get_element_stack(context)->next)
		reader->is_lifecycle = strcmp(name, "LifecycleConfiguration") == 0;
	g_string_truncate(reader->text, 0);
	if (strcmp(name, "Rule") == 0) {
		reader->enabled = reader->foreign = false;
		reader->end = (struct s3_lifecycle_end){ 0 };
		g_string_truncate(reader->prefix, 0);
	} else if (strcmp(name, "Tag") == 0) {
		g_string_truncate(reader->tag, 0);
	}
}

static void on_text(GMarkupParseContext *context, const char *text, gsize text_bytes,
	gpointer data, GError **error)
{
	struct reader *reader = data;
	(void)context, (void)error;
	if (text_bytes <= TEXT_MAX_BYTES - MIN(reader->text->len, TEXT_MAX_BYTES))
		g_string_append_len(reader->text, text, (gssize)text_bytes);
}

static void end_rule(struct reader *reader)
{
	GArray *rules = reader->lifecycle->rules;
	bool ends = reader->end.days || reader->end.date_s;
	if (!reader->enabled || reader->foreign || !ends || rules->len == RULES_MAX)
		return;
	const struct rule rule = { g_strdup(reader->prefix->str), reader->end };
	g_array_append_val(rules, rule);
}

static void end_tag(struct reader *reader)
{
	if (!reader->tags || !g_strv_contains(reader->tags, reader->tag->str))
		reader->foreign = true;
}

/* A date, as S3 and others give it back: with a time or without. Others are 0. */
static int64_t read_date(const char *text)
{
	g_autofree char *whole = strchr(text, 'T')
					 ? g_strdup(text)
					 : g_strconcat(text, "T00:00:00Z", NULL);
	g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
	g_autoptr(GDateTime) date = g_date_time_new_from_iso8601(whole, utc);
	return date ? MAX(g_date_time_to_unix(date), 1) : 0;
}

static void end_expiration(struct reader *reader, const char *name, const char *text)
{
	guint64 days = 0;
	if (strcmp(name, "Date") == 0)
		reader->end.date_s = read_date(text);
	else if (strcmp(name, "Days") == 0 &&
		 g_ascii_string_to_unsigned(text, 10, 1, INT32_MAX, &days, NULL))
		reader->end.days = (unsigned)days;
}

static void on_end(
	GMarkupParseContext *context, const char *name, gpointer data, GError **error)
{
	struct reader *reader = data;
	const GSList *stack = g_markup_parse_context_get_element_stack(context);
	const char *text = reader->text->str;
	(void)error;
	if (strcmp(name, "Rule") == 0)
		end_rule(reader);
	else if (strcmp(name, "Status") == 0)
		reader->enabled = strcmp(text, "Enabled") == 0;
	else if (strcmp(name, "Prefix") == 0)
		g_string_assign(reader->prefix, text);
	else if (strcmp(name, "Tag") == 0)
		end_tag(reader);
	else if (lies_in(stack, "Tag") && strcmp(name, "Key") == 0)
		g_string_printf(reader->tag, "%s=", text);
	else if (lies_in(stack, "Tag") && strcmp(name, "Value") == 0)
		g_string_append(reader->tag, text);
	else if (lies_in(stack, "Expiration"))
		end_expiration(reader, name, text);
	g_string_truncate(reader->text, 0);
}

static bool read_rules(struct reader *reader, const char *body, size_t body_bytes)
{
	static const GMarkupParser parser = {
		.start_element = on_start,
		.end_element = on_end,
		.text = on_text,
	};
	GMarkupParseContext *context = g_markup_parse_context_new(
		&parser, G_MARKUP_TREAT_CDATA_AS_TEXT, reader, NULL);
	bool whole =
		g_markup_parse_context_parse(context, body, (gssize)body_bytes, NULL) &&
		g_markup_parse_context_end_parse(context, NULL);
	g_markup_parse_context_free(context);
	return whole && reader->is_lifecycle;
}

struct s3_lifecycle *s3_lifecycle_parse(
	const char *body, size_t body_bytes, const char *const *tags)
{
	struct s3_lifecycle *lifecycle = g_new0(struct s3_lifecycle, 1);
	lifecycle->rules = g_array_new(FALSE, FALSE, sizeof(struct rule));
	g_array_set_clear_func(lifecycle->rules, clear_rule);
	struct reader reader = {
		.lifecycle = lifecycle,
		.tags = tags,
		.text = g_string_new(NULL),
		.prefix = g_string_new(NULL),
		.tag = g_string_new(NULL),
	};
	if (!read_rules(&reader, body, body_bytes))
		s3_lifecycle_free(&lifecycle);
	g_string_free(reader.text, TRUE);
	g_string_free(reader.prefix, TRUE);
	g_string_free(reader.tag, TRUE);
	return lifecycle;
}

void s3_lifecycle_free(struct s3_lifecycle **lifecycle)
{
	struct s3_lifecycle *gone = g_steal_pointer(lifecycle);
	if (!gone)
		return;
	g_array_unref(gone->rules);
	g_free(gone);
}

/* Rules with a date run on: what is stored after it goes in the next night. */
int64_t s3_lifecycle_kept_s(const struct s3_lifecycle_end *end, int64_t stored_s)
{
	if (end->days)
		return (int64_t)end->days * DAY_S;
	if (!end->date_s)
		return 0;
	return end->date_s > stored_s ? end->date_s - stored_s : DAY_S - stored_s % DAY_S;
}

struct s3_lifecycle_end s3_lifecycle_end(
	const struct s3_lifecycle *lifecycle, const char *key, int64_t stored_s)
{
	struct s3_lifecycle_end first = { 0 };
	for (guint i = 0; i < lifecycle->rules->len; i++) {
		const struct rule *rule =
			&g_array_index(lifecycle->rules, struct rule, i);
		int64_t first_s = s3_lifecycle_kept_s(&first, stored_s);
		if (g_str_has_prefix(key, rule->prefix) &&
			(!first_s || s3_lifecycle_kept_s(&rule->end, stored_s) < first_s))
			first = rule->end;
	}
	return first;
}
