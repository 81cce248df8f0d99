/* Decides what part of a file a request gets, if any. Sending it is objects.c's. */
#include "gateway/admin/http.h"

#include <string.h>

static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
	"Aug", "Sep", "Oct", "Nov", "Dec" };

char *http_date(int64_t time_s)
{
	g_autoptr(GDateTime) t = g_date_time_new_from_unix_utc(time_s);
	if (!t)
		t = g_date_time_new_from_unix_utc(0);
	return g_strdup_printf("%s, %02d %s %04d %02d:%02d:%02d GMT",
		days[g_date_time_get_day_of_week(t) - 1], g_date_time_get_day_of_month(t),
		months[g_date_time_get_month(t) - 1], g_date_time_get_year(t),
		g_date_time_get_hour(t), g_date_time_get_minute(t),
		g_date_time_get_second(t));
}

static bool all_digits(const char *text, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		if (!g_ascii_isdigit(text[i]))
			return false;
	}
	return true;
}

static int two_digits(const char *text)
{
	return (text[0] - '0') * 10 + (text[1] - '0');
}

/* The one form that may be sent (IMF-fixdate, RFC 9110, section
 * 5.6.7): false for others. */
static bool read_date(const char *text, int64_t *time_s)
{
	if (strlen(text) != 29 || strncmp(text + 3, ", ", 2) || text[7] != ' ' ||
		text[11] != ' ' || text[16] != ' ' || text[19] != ':' ||
		text[22] != ':' || strcmp(text + 25, " GMT") ||
		!all_digits(text + 5, 2) || !all_digits(text + 12, 4) ||
		!all_digits(text + 17, 2) || !all_digits(text + 20, 2) ||
		!all_digits(text + 23, 2))
		return false;
	int month = 0;
	while (month < 12 && strncmp(text + 8, months[month], 3))
		month++;
	g_autoptr(GDateTime) time =
		g_date_time_new_utc(two_digits(text + 12) * 100 + two_digits(text + 14),
			month + 1, two_digits(text + 5), two_digits(text + 17),
			two_digits(text + 20), two_digits(text + 23));
	if (!time)
		return false;
	*time_s = g_date_time_to_unix(time);
	return true;
}

/* Whether a list of entity tags has etag, or is "*"; weak ones
 * count where that is asked. */
static bool has_etag(const char *list, const char *etag, bool weak)
{
	list += strspn(list, " \t,");
	if (*list == '*')
		return true;
	while (*list) {
		bool is_weak = g_str_has_prefix(list, "W/");
		const char *tag = list + (is_weak ? 2 : 0);
		const char *end = *tag == '"' ? strchr(tag + 1, '"') : NULL;
		if (!end)
			return false;
		size_t bytes = (size_t)(end - tag) + 1;
		if ((weak || !is_weak) && bytes == strlen(etag) &&
			!strncmp(tag, etag, bytes))
			return true;
		list = end + 1;
		list += strspn(list, " \t,");
	}
	return false;
}

/* 200 where the conditions let the request pass. */
static unsigned evaluate_conditions(
	const struct http_conditions *c, const struct http_entity *entity)
{
	int64_t since_s;
	if (c->if_match) {
		if (!has_etag(c->if_match, entity->etag, false))
			return 412;
	} else if (c->if_unmodified_since &&
		   read_date(c->if_unmodified_since, &since_s) &&
		   entity->modified_s > since_s) {
		return 412;
	}
	if (c->if_none_match)
		return has_etag(c->if_none_match, entity->etag, true) ? 304 : 200;
	if (c->if_modified_since && read_date(c->if_modified_since, &since_s) &&
		entity->modified_s <= since_s)
		return 304;
	return 200;
}

/* Digits up to end as a number, UINT64_MAX for larger ones; false where
 * there are none, or others. */
static bool read_number(const char *text, const char *end, uint64_t *value)
{
	*value = 0;
	if (text == end || !all_digits(text, (size_t)(end - text)))
		return false;
	for (; text < end; text++) {
		uint64_t digit = (uint64_t)(*text - '0');
		*value = *value > (UINT64_MAX - digit) / 10 ? UINT64_MAX
							    : *value * 10 + digit;
	}
	return true;
}

/* 200: no range to speak of. */
static unsigned read_range(
	const char *range, uint64_t size, uint64_t *offset, uint64_t *length)
{
	uint64_t first, last = UINT64_MAX;
	if (g_ascii_strncasecmp(range, "bytes=", 6))
		return 200;
	range += 6;
	const char *dash = strchr(range, '-'), *end = range + strlen(range);
	if (!dash)
		return 200;
	if (dash == range) { /* the last so many */
		if (!read_number(dash + 1, end, &last))
			return 200;
		last = MIN(last, size);
		if (!last)
			return 416;
		*offset = size - last;
		*length = last;
		return 206;
	}
	if (!read_number(range, dash, &first) ||
		(dash + 1 < end && !read_number(dash + 1, end, &last)) || last < first)
		return 200;
	if (first >= size)
		return 416;
	*offset = first;
	*length = MIN(last, size - 1) - first + 1;
	return 206;
}

unsigned http_evaluate(const struct http_conditions *conditions,
	const struct http_entity *entity, uint64_t *offset, uint64_t *length)
{
	*offset = 0;
	*length = entity->size;
	unsigned status = evaluate_conditions(conditions, entity);
	if (status != 200 || !conditions->range)
		return status;
	const char *if_range = conditions->if_range;
	if (if_range && strcmp(if_range, entity->etag) &&
		strcmp(if_range, entity->last_modified))
		return 200;
	return read_range(conditions->range, entity->size, offset, length);
}
