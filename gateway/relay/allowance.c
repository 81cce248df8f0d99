/* Pace, quota and account of one relay in one place. How each works is
 * in its own file. */
#include "gateway/relay/allowance.h"

#include "gateway/error.h"
#include "gateway/log.h"
#include "gateway/relay/account.h"
#include "gateway/relay/pace.h"
#include "gateway/relay/quota.h"
#include <math.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SECOND_US ((int64_t)G_USEC_PER_SEC)
/* "auto" begins here where nothing better is known: what SES's sandbox allows. */
#define RATE_UNKNOWN 1.0
/* How often figures are brought up to date, and what was learnt is remembered. */
#define TICK_US ((int64_t)10 * SECOND_US)
/* SES's API: how often; after a failure; and never more often. */
#define ASK_US       ((int64_t)15 * 60 * SECOND_US)
#define ASK_AGAIN_US ((int64_t)60 * SECOND_US)
#define ASK_LEAST_US ((int64_t)1100000)
/* What others have used of the quota is known so long, while the API fails. */
#define SENT_KNOWN_S 3600
/* After a refusal for the quota's sake. The queue's own probes come a minute apart. */
#define REFUSED_MIN_US ((int64_t)50 * SECOND_US)
#define REFUSED_MAX_US ((int64_t)5 * 60 * SECOND_US)

#define NEVER_US (INT64_MIN / 2)

struct allowances {
	GMutex mutex;      /* guards it and the references of those in it */
	GHashTable *table; /* key: that of the allowance, borrowed; no reference */
};

struct allowance {
	struct allowances *among; /* NULL: it is not shared */
	char *key;
	gatomicrefcount references;
	char *name, *host;
	struct metrics *metrics;
	struct relay_memory memory; /* recall NULL: none */
	struct pace pace;

	GMutex mutex; /* guards what follows */
	GCond changed;
	double share;         /* of rate and quota */
	uint64_t daily_quota; /* of the settings; 0: not given */
	struct quota sent;    /* by this gateway */
	size_t under_way;     /* recipients between take and settle */
	/* What the API said last; its sent_24h includes what was sent since. */
	struct account account;
	bool account_known;
	int64_t account_s; /* Unix time of that */
	int64_t refused_until_us, refused_us;
	int64_t refused_ms; /* Unix time of the last refusal */
	int64_t remembered_us;
	bool has_news;                 /* since it was remembered */
	struct account_source *source; /* NULL: nobody is asked, or somebody is now */
	unsigned sources;              /* how many there were */
	int64_t asked_us, ask_at_us;
	char *complaint; /* why asking failed last; NULL: it did not */
	bool ends;

	GThread *thread; /* NULL: none */
	int stop_fd;     /* readable once the thread is to end */
};

static int64_t unix_s(void)
{
	return g_get_real_time() / G_USEC_PER_SEC;
}

/* ---- what is left ---- */

/* Of the whole account's; infinite: no limit is known. */
static double quota_of(const struct allowance *a)
{
	double quota = a->daily_quota > 0 ? (double)a->daily_quota : INFINITY;
	if (a->account_known && a->account.quota > 0)
		quota = MIN(quota, a->account.quota);
	return quota;
}

/* How much is used of what may be, 0 to 1 and beyond, n more recipients included. Others
 * use the account too: it counts which is nearer to its end. */
static double used(struct allowance *a, size_t n)
{
	double quota = quota_of(a);
	if (isinf(quota))
		return 0;
	double more = (double)(a->under_way + n);
	double own = (double)quota_sum(&a->sent, unix_s()) + more;
	double part = own / (quota * a->share);
	if (a->account_known && a->account.quota > 0 &&
		ABS(unix_s() - a->account_s) < SENT_KNOWN_S)
		part = MAX(part, (a->account.sent_24h + more) / a->account.quota);
	return part;
}

/* To which part of the quota mail of that priority may go. */
static double part_for(enum conf_priority priority)
{
	switch (priority) {
	case CONF_PRIORITY_LOW:
		return 0.95;
	case CONF_PRIORITY_HIGH:
		return 1;
	default:
		return 0.99;
	}
}

static bool has_quota(
	struct allowance *a, size_t n, enum conf_priority priority, int64_t now_us)
{
	return now_us >= a->refused_until_us && used(a, n) <= part_for(priority);
}

/* ---- what is shown and kept ---- */

static void show(struct allowance *a)
{
	double quota = quota_of(a);
	metrics_set(a->metrics, METRIC_RELAY_RATE, a->name, pace_rate(&a->pace));
	metrics_set(a->metrics, METRIC_RELAY_QUOTA, a->name,
		isinf(quota) ? 0 : quota * a->share);
	metrics_set(a->metrics, METRIC_RELAY_SENT_24H, a->name,
		(double)quota_sum(&a->sent, unix_s()));
}

/* "pace.NAME": a name of the settings may have "_", one of the memory may not. */
static char *memory_name(const struct allowance *a, const char *what)
{
	char *name = g_strjoin(".", what, a->name, NULL);
	return g_strdelimit(name, "_", '.');
}

static void remember_text(struct allowance *a, const char *what, const char *text)
{
	g_autofree char *name = memory_name(a, what);
	g_autofree char *line = g_strjoin(" ", a->host, text, NULL);
	a->memory.remember(a->memory.context, name, line);
}

static void remember(struct allowance *a)
{
	a->has_news = false;
	a->remembered_us = g_get_monotonic_time();
	if (!a->memory.remember)
		return;
	g_autofree char *pace = pace_print(&a->pace);
	g_autofree char *sent = quota_print(&a->sent);
	remember_text(a, "pace", pace);
	remember_text(a, "sent", sent);
}

/* What was remembered of this relay at this host; g_free(). */
static char *recall_text(struct allowance *a, const char *what)
{
	g_autofree char *name = memory_name(a, what);
	g_autofree char *line = a->memory.recall(a->memory.context, name);
	size_t bytes = strlen(a->host);
	if (!line || strncmp(line, a->host, bytes) != 0 || line[bytes] != ' ')
		return NULL;
	return g_strdup(line + bytes + 1);
}

static void recall(struct allowance *a)
{
	if (!a->memory.recall)
		return;
	g_autofree char *pace = recall_text(a, "pace");
	g_autofree char *sent = recall_text(a, "sent");
	bool learnt = pace && pace_restore(&a->pace, pace);
	if (sent)
		quota_parse(&a->sent, sent);
	if (!learnt)
		return;
	g_autofree char *rate = g_strdup_printf("%.1f", pace_rate(&a->pace));
	log_info("relay.rate", LOG_TEXT("relay", a->name), LOG_TEXT("rate", rate),
		LOG_TEXT("reason", "as it was learnt before"));
}

/* ---- the account ---- */

static void log_account(const struct allowance *a, const struct account *account)
{
	g_autofree char *rate = g_strdup_printf("%g", account->rate);
	g_autofree char *ours = g_strdup_printf("%.1f", a->share * account->rate);
	g_autofree char *quota = account->quota < 0
					 ? g_strdup("none")
					 : g_strdup_printf("%.0f", account->quota);
	log_info("relay.account", LOG_TEXT("relay", a->name), LOG_TEXT("max_rate", rate),
		LOG_TEXT("share", ours), LOG_TEXT("quota", quota),
		LOG_NUMBER("sent_24h", account->sent_24h),
		LOG_TEXT("enforcement", account->enforcement),
		LOG_TEXT("sandbox", account->production ? NULL : "true"));
}

static bool differs(const struct account *a, const struct account *b)
{
	return a->rate < b->rate || a->rate > b->rate || a->quota < b->quota ||
	       a->quota > b->quota || a->sends != b->sends ||
	       a->production != b->production ||
	       strcmp(a->enforcement, b->enforcement) != 0;
}

static void take_in(struct allowance *a, const struct account *account)
{
	bool news = !a->account_known || differs(&a->account, account);
	bool stopped = !account->sends && (!a->account_known || a->account.sends);
	a->account = *account;
	a->account_known = true;
	a->account_s = unix_s();
	pace_set_maximum(&a->pace, account->rate * a->share);
	g_clear_pointer(&a->complaint, g_free);
	a->has_news |= news;
	if (news)
		log_account(a, account);
	if (stopped)
		log_warning("relay.needs_attention", LOG_TEXT("relay", a->name),
			LOG_TEXT("reason", "SES does not send for this account"),
			LOG_TEXT("enforcement", account->enforcement),
			LOG_TEXT("advice", "see the account's status in SES's console"));
}

/* Each reason once: it is no fault of the mail's. */
static void complain(struct allowance *a, const GError *error)
{
	if (g_strcmp0(a->complaint, error->message) == 0)
		return;
	g_free(a->complaint);
	a->complaint = g_strdup(error->message);
	g_autofree char *rate = g_strdup_printf("%.1f", pace_rate(&a->pace));
	log_info("relay.account_unknown", LOG_TEXT("relay", a->name),
		LOG_TEXT("reason", error->message), LOG_TEXT("rate", rate));
}

/* Gives the mutex back while it asks. */
static void ask(struct allowance *a)
{
	struct account_source *source = g_steal_pointer(&a->source);
	struct account account;
	g_autoptr(GError) error = NULL;
	unsigned number = a->sources;
	a->asked_us = g_get_monotonic_time();
	g_mutex_unlock(&a->mutex);
	bool ok = account_ask(source, a->stop_fd, &account, &error);
	g_mutex_lock(&a->mutex);
	bool mend = g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND);
	/* The settings may have been read again meanwhile. */
	if (number != a->sources || a->ends) {
		account_source_free(&source);
		return;
	}
	a->source = source;
	a->ask_at_us = g_get_monotonic_time() + (ok || mend ? ASK_US : ASK_AGAIN_US);
	if (ok)
		take_in(a, &account);
	else
		complain(a, error);
}

/* ---- the thread ---- */

static int64_t ask_at_us(const struct allowance *a)
{
	return a->source ? MAX(a->ask_at_us, a->asked_us + ASK_LEAST_US) : INT64_MAX;
}

static void *run(void *context)
{
	struct allowance *a = context;
	g_mutex_lock(&a->mutex);
	while (!a->ends) {
		if (g_get_monotonic_time() >= ask_at_us(a))
			ask(a);
		show(a);
		if (a->has_news)
			remember(a);
		int64_t tick_us = g_get_monotonic_time() + TICK_US;
		if (!a->ends)
			g_cond_wait_until(
				&a->changed, &a->mutex, MIN(tick_us, ask_at_us(a)));
	}
	g_mutex_unlock(&a->mutex);
	return NULL;
}

static void end_thread(struct allowance *a)
{
	g_mutex_lock(&a->mutex);
	a->ends = true;
	g_cond_signal(&a->changed);
	g_mutex_unlock(&a->mutex);
	if (a->stop_fd >= 0 && eventfd_write(a->stop_fd, 1) < 0)
		g_error("an eventfd cannot be written");
	if (a->thread)
		g_thread_join(a->thread);
	if (a->stop_fd >= 0)
		close(a->stop_fd);
}

/* ---- life ---- */

static double share_of(const struct conf_relay *settings)
{
	double share = settings->rate_share;
	return share > 0 && share <= 1 ? share : 1;
}

static double rate_of(const struct conf_relay *settings)
{
	double rate = settings->rate;
	if (settings->rate_auto && rate <= 0)
		rate = RATE_UNKNOWN;
	return rate * share_of(settings);
}

/* Where the account is to be asked from now on, at once. */
static void set_source(struct allowance *a, const struct conf_relay *settings)
{
	g_autoptr(GError) error = NULL;
	account_source_free(&a->source);
	a->sources++;
	a->account_known &= settings->rate_auto;
	if (settings->rate_auto)
		a->source = account_source_new(settings, &error);
	a->ask_at_us = NEVER_US;
	if (error)
		complain(a, error);
}

static const char *name_of(const struct conf_relay *settings)
{
	return settings->name ? settings->name : CONF_RELAY_DEFAULT;
}

static const char *host_of(const struct conf_relay *settings)
{
	return settings->host ? settings->host : "-";
}

static struct allowance *make(const struct conf_relay *settings, struct metrics *metrics,
	const struct relay_memory *memory)
{
	struct allowance *a = g_new0(struct allowance, 1);
	g_atomic_ref_count_init(&a->references);
	g_mutex_init(&a->mutex);
	g_cond_init(&a->changed);
	a->name = g_strdup(name_of(settings));
	a->host = g_strdup(host_of(settings));
	a->metrics = metrics;
	if (memory)
		a->memory = *memory;
	a->share = share_of(settings);
	a->daily_quota = settings->daily_quota;
	a->asked_us = a->remembered_us = NEVER_US;
	a->stop_fd = eventfd(0, EFD_CLOEXEC);
	pace_init(&a->pace, rate_of(settings), settings->rate_auto);
	recall(a);
	set_source(a, settings);
	metrics_add(metrics, METRIC_RELAY_THROTTLED_TOTAL, a->name, 0);
	show(a);
	/* Without the thread mail goes all the same. */
	if (a->stop_fd >= 0 && !settings->maildir)
		a->thread = g_thread_try_new("allowance", run, a, NULL);
	return a;
}

static void destroy(struct allowance *a)
{
	end_thread(a);
	if (a->has_news)
		remember(a);
	account_source_free(&a->source);
	pace_deinit(&a->pace);
	g_mutex_clear(&a->mutex);
	g_cond_clear(&a->changed);
	g_free(a->complaint);
	g_free(a->name);
	g_free(a->host);
	g_free(a->key);
	g_free(a);
}

struct allowances *allowances_new(void)
{
	struct allowances *allowances = g_new0(struct allowances, 1);
	g_mutex_init(&allowances->mutex);
	allowances->table = g_hash_table_new(g_str_hash, g_str_equal);
	return allowances;
}

void allowances_free(struct allowances **allowances)
{
	struct allowances *all = g_steal_pointer(allowances);
	if (!all)
		return;
	g_assert(g_hash_table_size(all->table) == 0);
	g_hash_table_unref(all->table);
	g_mutex_clear(&all->mutex);
	g_free(all);
}

struct allowance *allowance_get(const struct conf_relay *settings,
	struct metrics *metrics, const struct relay_memory *memory, bool *is_new)
{
	struct allowances *among = memory ? memory->allowances : NULL;
	bool unused;
	is_new = is_new ? is_new : &unused;
	*is_new = true;
	if (!among)
		return make(settings, metrics, memory);
	g_autofree char *key = g_strjoin(" ", name_of(settings), host_of(settings), NULL);
	g_mutex_lock(&among->mutex);
	struct allowance *a = g_hash_table_lookup(among->table, key);
	*is_new = !a;
	if (a) {
		g_atomic_ref_count_inc(&a->references);
	} else {
		a = make(settings, metrics, memory);
		a->among = among;
		a->key = g_steal_pointer(&key);
		g_hash_table_insert(among->table, a->key, a);
	}
	g_mutex_unlock(&among->mutex);
	return a;
}

/* Whether it was the last; then it is not to be found any more. */
static bool drop_reference(struct allowance *a)
{
	if (!a->among)
		return g_atomic_ref_count_dec(&a->references);
	struct allowances *among = a->among;
	g_mutex_lock(&among->mutex);
	bool last = g_atomic_ref_count_dec(&a->references);
	if (last)
		g_hash_table_remove(among->table, a->key);
	g_mutex_unlock(&among->mutex);
	return last;
}

void allowance_unref(struct allowance **allowance)
{
	struct allowance *a = g_steal_pointer(allowance);
	if (a && drop_reference(a))
		destroy(a);
}

void allowance_apply(struct allowance *allowance, const struct conf_relay *settings)
{
	struct allowance *a = allowance;
	g_mutex_lock(&a->mutex);
	a->share = share_of(settings);
	a->daily_quota = settings->daily_quota;
	pace_set_rate(&a->pace, rate_of(settings), settings->rate_auto);
	set_source(a, settings);
	if (a->account_known)
		pace_set_maximum(&a->pace, a->account.rate * a->share);
	a->has_news = true;
	show(a);
	g_cond_signal(&a->changed);
	g_mutex_unlock(&a->mutex);
}

void allowance_hurry(struct allowance *allowance)
{
	pace_hurry(&allowance->pace);
}

/* ---- mail ---- */

size_t allowance_most(struct allowance *allowance)
{
	return pace_most(&allowance->pace);
}

static bool reserve(struct allowance *a, size_t n, enum conf_priority priority)
{
	g_mutex_lock(&a->mutex);
	bool has = has_quota(a, n, priority, g_get_monotonic_time());
	if (has)
		a->under_way += n;
	g_mutex_unlock(&a->mutex);
	return has;
}

enum allowance_answer allowance_take(struct allowance *allowance, size_t n,
	enum conf_priority priority, int64_t limit_us)
{
	if (!reserve(allowance, n, priority))
		return ALLOWANCE_QUOTA;
	if (pace_wait(&allowance->pace, n, (unsigned)priority, limit_us))
		return ALLOWANCE_GO;
	allowance_settle(allowance, n, 0);
	return ALLOWANCE_LATER;
}

void allowance_settle(struct allowance *allowance, size_t n, size_t n_sent)
{
	struct allowance *a = allowance;
	int64_t now_us = g_get_monotonic_time();
	if (n_sent > 0)
		pace_succeeded(&a->pace, n_sent, now_us);
	g_mutex_lock(&a->mutex);
	a->under_way -= n;
	if (n_sent > 0) {
		quota_add(&a->sent, n_sent, unix_s());
		a->account.sent_24h += (double)n_sent;
		a->refused_us = 0;
		a->has_news = true;
		show(a);
	}
	g_mutex_unlock(&a->mutex);
}

void allowance_throttled(struct allowance *allowance)
{
	struct allowance *a = allowance;
	int64_t now_us = g_get_monotonic_time();
	metrics_add(a->metrics, METRIC_RELAY_THROTTLED_TOTAL, a->name, 1);
	if (!pace_throttled(&a->pace, now_us))
		return;
	double per_s = pace_rate(&a->pace); /* 0: there is no limit to be lowered */
	g_autofree char *rate = per_s > 0 ? g_strdup_printf("%.1f", per_s) : NULL;
	log_info("relay.throttled", LOG_TEXT("relay", a->name), LOG_TEXT("rate", rate),
		LOG_NUMBER("pause_ms", pace_pause_left_us(&a->pace, now_us) / 1000));
	g_mutex_lock(&a->mutex);
	a->has_news = true;
	show(a);
	g_mutex_unlock(&a->mutex);
}

void allowance_quota_exceeded(struct allowance *allowance)
{
	struct allowance *a = allowance;
	int64_t now_us = g_get_monotonic_time();
	metrics_add(a->metrics, METRIC_RELAY_THROTTLED_TOTAL, a->name, 1);
	g_mutex_lock(&a->mutex);
	if (now_us >= a->refused_until_us) {
		a->refused_us = CLAMP(a->refused_us * 2, REFUSED_MIN_US, REFUSED_MAX_US);
		a->refused_until_us = now_us + a->refused_us;
		a->refused_ms = g_get_real_time() / 1000;
	}
	g_mutex_unlock(&a->mutex);
}

void allowance_asked(struct allowance *allowance, int64_t asked_ms)
{
	struct allowance *a = allowance;
	g_mutex_lock(&a->mutex);
	if (asked_ms > a->refused_ms)
		a->refused_until_us = 0;
	g_mutex_unlock(&a->mutex);
}

bool allowance_has_quota(struct allowance *allowance, enum conf_priority priority)
{
	g_mutex_lock(&allowance->mutex);
	bool has = has_quota(allowance, 1, priority, g_get_monotonic_time());
	g_mutex_unlock(&allowance->mutex);
	return has;
}

char *allowance_hold(struct allowance *allowance, enum conf_priority priority)
{
	static const char *const whose[] = {
		[CONF_PRIORITY_LOW] = ", low priority",
		[CONF_PRIORITY_NORMAL] = "",
		[CONF_PRIORITY_HIGH] = ", high priority",
	};
	size_t class = (size_t)priority;
	return g_strdup_printf("relay %s: quota%s", allowance->name,
		class < G_N_ELEMENTS(whose) ? whose[class] : "");
}

int64_t allowance_pause_left_us(struct allowance *allowance)
{
	return pace_pause_left_us(&allowance->pace, g_get_monotonic_time());
}
