/* What a relay remembers of its pace and its quota, as it may stand in a queue that was
 * damaged; and SES's answer about the account. */
#include "gateway/relay/account.h"
#include "gateway/relay/pace.h"
#include "gateway/relay/quota.h"
#include "tests/fuzz/fuzz.h"
#include <stdint.h>
#include <string.h>

static void use_pace(const char *text)
{
	struct pace pace, again;
	pace_init(&pace, 1, true);
	if (pace_restore(&pace, text)) {
		double rate = pace_rate(&pace);
		g_assert(rate > 0 && rate <= PACE_RATE_MAX);
		g_assert(pace_most(&pace) >= 1);
		g_assert(pace_wait(&pace, 1, 0, 0));
		pace_throttled(&pace, 1);
		pace_succeeded(&pace, 50, INT64_MAX / 2);
		g_autofree char *print = pace_print(&pace);
		pace_init(&again, 1, true);
		g_assert(pace_restore(&again, print) || pace_rate(&pace) < 0.001);
		pace_deinit(&again);
	}
	pace_deinit(&pace);
}

static void use_quota(const char *text)
{
	const int64_t now_s = 1800000000;
	struct quota quota = { 0 }, again = { 0 };
	if (!quota_parse(&quota, text))
		return;
	g_autofree char *print = quota_print(&quota);
	g_assert(strlen(print) <= QUOTA_TEXT_BYTES_MAX);
	g_assert(quota_parse(&again, print));
	g_assert(quota_sum(&quota, now_s) == quota_sum(&again, now_s));
	quota_add(&quota, 1, now_s);
	g_assert(quota_sum(&quota, now_s) > 0);
	g_assert(quota_sum(&quota, now_s + 200000) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autofree char *text = g_strndup((const char *)data, size);
	struct account account;
	use_pace(text);
	use_quota(text);
	if (account_parse(text, strlen(text), &account, NULL)) {
		g_assert(account.rate >= 0 && account.quota >= -1);
		g_assert(account.sent_24h >= 0);
		g_assert(memchr(account.enforcement, 0, sizeof(account.enforcement)));
	}
	return 0;
}
