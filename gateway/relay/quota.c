/* A ring of counts. What they are compared with is allowance.c's. */
#include "gateway/relay/quota.h"

#include <string.h>

static uint32_t *slot(struct quota *quota, int64_t number)
{
	return &quota->counts[(size_t)(number % QUOTA_SLOTS)];
}

static uint64_t sum(const struct quota *quota)
{
	uint64_t total = 0;
	for (size_t i = 0; i < QUOTA_SLOTS; i++)
		total += quota->counts[i];
	return total;
}

static void add(struct quota *quota, uint64_t n)
{
	uint32_t *count = slot(quota, quota->newest);
	*count = (uint32_t)MIN(*count + n, UINT32_MAX);
}

/* Forgets what is too old. */
static void advance(struct quota *quota, int64_t now_s)
{
	int64_t now = MAX(now_s, 0) / QUOTA_SLOT_S;
	if (now - quota->newest >= QUOTA_SLOTS) {
		memset(quota->counts, 0, sizeof(quota->counts));
		quota->newest = now;
	} else if (quota->newest - now >= QUOTA_SLOTS) {
		uint64_t total = sum(quota);
		memset(quota->counts, 0, sizeof(quota->counts));
		quota->newest = now;
		add(quota, total);
	}
	while (quota->newest < now)
		*slot(quota, ++quota->newest) = 0;
}

void quota_add(struct quota *quota, size_t n, int64_t now_s)
{
	advance(quota, now_s);
	add(quota, n);
}

uint64_t quota_sum(struct quota *quota, int64_t now_s)
{
	advance(quota, now_s);
	return sum(quota);
}

char *quota_print(const struct quota *quota)
{
	GString *text = g_string_sized_new(256);
	size_t last = 0;
	for (size_t i = 0; i < QUOTA_SLOTS; i++) {
		int64_t number = quota->newest - (int64_t)i;
		if (number >= 0 && quota->counts[(size_t)(number % QUOTA_SLOTS)])
			last = i;
	}
	g_string_append_printf(text, "%" G_GINT64_FORMAT, quota->newest);
	for (size_t i = 0; i <= last && quota->newest >= (int64_t)i; i++) {
		int64_t number = quota->newest - (int64_t)i;
		g_string_append_printf(text, " %" G_GUINT32_FORMAT,
			quota->counts[(size_t)(number % QUOTA_SLOTS)]);
	}
	return g_string_free(text, FALSE);
}

static bool parse_number(const char *text, uint64_t max, uint64_t *number)
{
	return g_ascii_string_to_unsigned(text, 10, 0, max, number, NULL);
}

bool quota_parse(struct quota *quota, const char *text)
{
	if (strlen(text) > QUOTA_TEXT_BYTES_MAX)
		return false;
	g_auto(GStrv) words = g_strsplit(text, " ", QUOTA_SLOTS + 2);
	size_t n = g_strv_length(words);
	uint64_t number;
	struct quota read = { 0 };
	/* Unix time to the year 9999. */
	if (n < 1 || n > QUOTA_SLOTS + 1 ||
		!parse_number(words[0], UINT64_C(253402300800) / QUOTA_SLOT_S, &number))
		return false;
	read.newest = (int64_t)number;
	for (size_t i = 1; i < n; i++) {
		int64_t at = read.newest - (int64_t)(i - 1);
		if (at < 0 || !parse_number(words[i], UINT32_MAX, &number))
			return false;
		*slot(&read, at) = (uint32_t)number;
	}
	*quota = read;
	return true;
}
