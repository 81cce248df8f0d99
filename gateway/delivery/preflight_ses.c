/* Joins what route, relay, listener and account have to say to SES. */
#include "gateway/delivery/preflight_ses.h"

#include "conf/ses.h"
#include "gateway/delivery/preflight_text.h"
#include "gateway/error.h"
#include <string.h>

#define LINE_BYTES 998 /* RFC 5322, section 2.1.1 */

/* The lists of tags, those nearest to the message first. */
enum { TAG_LISTS = 4 };

static void list_tags(
	const struct preflight *preflight, const char *const *lists[TAG_LISTS])
{
	lists[0] = preflight->account_tags;
	lists[1] = preflight->listener_tags;
	lists[2] = preflight->route_ses ? preflight->route_ses->tags : NULL;
	lists[3] = preflight->relay_ses ? preflight->relay_ses->tags : NULL;
}

static bool says_anything(const struct conf_ses *ses)
{
	return ses && (ses->configuration_set || ses->tags || ses->source_arn ||
			      ses->from_arn || ses->return_path_arn);
}

/* The route's, else the relay's. */
#define PICK(preflight, member)                                                          \
	((preflight)->route_ses && (preflight)->route_ses->member                        \
			? (preflight)->route_ses->member                                 \
		: (preflight)->relay_ses ? (preflight)->relay_ses->member                \
					 : NULL)

static bool check_arns(const struct preflight *preflight, GError **error)
{
	const char *const arns[] = { PICK(preflight, source_arn),
		PICK(preflight, from_arn), PICK(preflight, return_path_arn) };
	for (size_t i = 0; i < G_N_ELEMENTS(arns); i++) {
		if (arns[i] && !conf_ses_arn_check(arns[i], error))
			return false;
	}
	return true;
}

static bool check_tags(const struct preflight *preflight, GError **error)
{
	const char *const *lists[TAG_LISTS];
	list_tags(preflight, lists);
	for (size_t i = 0; i < TAG_LISTS; i++) {
		for (const char *const *tag = lists[i]; tag && *tag; tag++) {
			if (!conf_ses_tag_check(*tag, error))
				return false;
		}
	}
	return true;
}

bool ses_check(const struct preflight *preflight, GError **error)
{
	const char *set = PICK(preflight, configuration_set);
	g_autoptr(GError) why = NULL;
	if ((!set || conf_ses_set_check(set, &why)) && check_arns(preflight, &why) &&
		check_tags(preflight, &why))
		return true;
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
		"what is to be told to SES cannot be: %s", why->message);
	return false;
}

static void append_line(
	GString *out, const char *name, const char *value, const char *newline)
{
	if (!value || !*value)
		return;
	if (strlen(name) + 2 + strlen(value) > LINE_BYTES)
		text_append_field(out, name, value, newline);
	else
		g_string_append_printf(out, "%s: %s%s", name, value, newline);
}

/* Whether a tag of that name stands in one of the lists before. */
static bool is_hidden(
	const char *const *lists[TAG_LISTS], size_t list, const char *const *at)
{
	for (size_t i = 0; i <= list; i++) {
		for (const char *const *tag = lists[i]; tag && *tag && tag != at; tag++) {
			if (conf_ses_same_tag(*tag, *at))
				return true;
		}
	}
	return false;
}

static char *join_tags(const struct preflight *preflight)
{
	const char *const *lists[TAG_LISTS];
	GString *tags = g_string_new(NULL);
	list_tags(preflight, lists);
	if (preflight->is_ses)
		g_string_append_printf(tags, CONF_SES_OWN_TAG "=%s", preflight->id);
	for (size_t i = 0; i < TAG_LISTS; i++) {
		for (const char *const *tag = lists[i]; tag && *tag; tag++) {
			if (is_hidden(lists, i, tag) ||
				(preflight->is_ses &&
					conf_ses_same_tag(*tag, CONF_SES_OWN_TAG "=")))
				continue;
			g_string_append_printf(tags, "%s%s", tags->len ? ", " : "", *tag);
		}
	}
	return g_string_free(tags, FALSE);
}

void ses_append_fields(
	GString *out, const struct preflight *preflight, const char *newline)
{
	if (!preflight->is_ses && !says_anything(preflight->route_ses) &&
		!says_anything(preflight->relay_ses))
		return;
	append_line(out, "X-SES-CONFIGURATION-SET", PICK(preflight, configuration_set),
		newline);
	append_line(out, "X-SES-SOURCE-ARN", PICK(preflight, source_arn), newline);
	append_line(out, "X-SES-FROM-ARN", PICK(preflight, from_arn), newline);
	append_line(
		out, "X-SES-RETURN-PATH-ARN", PICK(preflight, return_path_arn), newline);
	g_autofree char *tags = join_tags(preflight);
	append_line(out, "X-SES-MESSAGE-TAGS", tags, newline);
}
