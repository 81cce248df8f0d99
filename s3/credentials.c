/* The chain: one provider, what it gave last, and the thread that asks it again. Which
 * provider that is, and how it is asked: provider.h. */
#include "s3/credentials.h"
#include "s3/credential_file.h"
#include "s3/credential_set.h"
#include "s3/error.h"
#include "s3/provider.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define RENEW_BEFORE_S   900
#define RENEW_SOONEST_S  1
#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS   60000
#define ASK_AGAIN_US     (2 * G_USEC_PER_SEC)
#define REFUSED_US       (INT64_C(1000) * S3_CREDENTIALS_REFUSED_MS)

struct s3_credentials_chain {
	const struct s3_settings *settings;
	int stop_fd; /* readable once the thread is to end */

	GMutex lock;   /* of all that follows */
	GCond news;    /* for the thread: something to do; for callers: something done */
	GArray *files; /* that say what the provider is */
	struct s3_provider *provider;
	struct s3_credentials *current; /* what it gave last */
	GError *failure;                /* why it gave nothing when it was asked last */
	unsigned failures;              /* in a row */
	int64_t due_us;                 /* monotonic: when to ask it next */
	int64_t asked_us;               /* when it was asked last, or is to be at once */
	int64_t refused_us; /* when it was asked because the store refused; 0: never */
	bool asking, stop;
	GThread *thread;
};

/* ---- when ---- */

int64_t s3_credentials_renew_in_s(int64_t life_s, double jitter)
{
	int64_t margin_s = CLAMP(life_s / 3, 1, RENEW_BEFORE_S);
	int64_t early_s = (int64_t)((double)margin_s * jitter / 10);
	return MAX(life_s - margin_s - early_s, RENEW_SOONEST_S);
}

static int64_t backoff_us(unsigned failures)
{
	int64_t bound_ms = BACKOFF_FIRST_MS;
	for (unsigned i = 1; i < failures && bound_ms < BACKOFF_MAX_MS; i++)
		bound_ms *= 2;
	bound_ms = MIN(bound_ms, BACKOFF_MAX_MS);
	return (int64_t)((double)bound_ms * 1000 * g_random_double_range(0.5, 1.0));
}

static bool is_usable(const struct s3_credentials *credentials, int64_t now_s)
{
	return credentials &&
	       (!credentials->expires_at_s || credentials->expires_at_s > now_s);
}

/* ---- what an answer does; with the lock held ---- */

static void take_success(struct s3_credentials_chain *chain, struct s3_credentials *got)
{
	int64_t now_s = (int64_t)time(NULL);
	s3_credentials_unref(chain->current);
	chain->current = got;
	g_clear_error(&chain->failure);
	chain->failures = 0;
	chain->due_us = G_MAXINT64;
	if (got->expires_at_s)
		chain->due_us = g_get_monotonic_time() +
				G_USEC_PER_SEC * s3_credentials_renew_in_s(
							 got->expires_at_s - now_s,
							 g_random_double());
}

/* Said once: until it works again nothing new can be said. */
static void warn(const struct s3_credentials_chain *chain)
{
	g_autoptr(GDateTime) end =
		g_date_time_new_from_unix_utc(chain->current->expires_at_s);
	g_autofree char *text = g_date_time_format_iso8601(end);
	g_log("s3", G_LOG_LEVEL_WARNING,
		"%s; those at hand are good until %s, and others are asked for until "
		"then",
		chain->failure->message, text);
}

static void take_failure(struct s3_credentials_chain *chain, GError *failure)
{
	g_clear_error(&chain->failure);
	chain->failure = failure;
	chain->failures++;
	chain->due_us = g_get_monotonic_time() + backoff_us(chain->failures);
	if (chain->failures == 1 && is_usable(chain->current, (int64_t)time(NULL)))
		warn(chain);
}

static void take(
	struct s3_credentials_chain *chain, struct s3_credentials *got, GError *failure)
{
	if (got && !is_usable(got, (int64_t)time(NULL))) {
		failure = g_error_new(S3_ERROR, S3_ERROR_RETRY,
			"credentials from %s: what it gave had expired already; check "
			"this machine's clock",
			got->source);
		s3_credentials_unref(got);
		got = NULL;
	}
	if (got)
		take_success(chain, got);
	else
		take_failure(chain, failure);
}

/* ---- the thread ---- */

static void ask(struct s3_credentials_chain *chain)
{
	struct s3_provider *provider = s3_provider_ref(chain->provider);
	GError *failure = NULL;
	chain->asking = true;
	chain->asked_us = g_get_monotonic_time();
	g_mutex_unlock(&chain->lock);
	struct s3_credentials *got = s3_provider_load(provider, chain->stop_fd, &failure);
	g_mutex_lock(&chain->lock);
	chain->asking = false;
	if (provider == chain->provider) {
		take(chain, got, failure);
	} else { /* the files say something else by now */
		s3_credentials_unref(got);
		g_clear_error(&failure);
	}
	s3_provider_unref(provider);
	g_cond_broadcast(&chain->news);
}

static gpointer run(gpointer data)
{
	struct s3_credentials_chain *chain = data;
	g_mutex_lock(&chain->lock);
	while (!chain->stop) {
		if (!chain->provider || !s3_provider_is_remote(chain->provider) ||
			chain->due_us == G_MAXINT64)
			g_cond_wait(&chain->news, &chain->lock);
		else if (g_get_monotonic_time() < chain->due_us)
			g_cond_wait_until(&chain->news, &chain->lock, chain->due_us);
		else
			ask(chain);
	}
	g_mutex_unlock(&chain->lock);
	return NULL;
}

/* Signals are for the main thread: the new one inherits a mask with all
 * of them blocked. */
static bool start_thread(struct s3_credentials_chain *chain, GError **error)
{
	if (chain->thread)
		return true;
	if (chain->stop_fd < 0)
		chain->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (chain->stop_fd < 0)
		return s3_fail(error, S3_ERROR_RETRY, "cannot ask for credentials: %s",
			g_strerror(errno));
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	g_autoptr(GError) cause = NULL;
	chain->thread = g_thread_try_new("credentials", run, chain, &cause);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return chain->thread || s3_fail(error, S3_ERROR_RETRY,
					"cannot ask for credentials: %s", cause->message);
}

/* ---- the chain; with the lock held ---- */

static void forget(struct s3_credentials_chain *chain)
{
	g_clear_pointer(&chain->provider, s3_provider_unref);
	g_clear_pointer(&chain->current, s3_credentials_unref);
	g_clear_error(&chain->failure);
	chain->failures = 0;
	chain->asked_us = chain->due_us = g_get_monotonic_time();
}

static bool resolve(struct s3_credentials_chain *chain, GError **error)
{
	if (chain->provider && !s3_credential_files_changed(chain->files))
		return true;
	forget(chain);
	s3_credential_files_clear(chain->files);
	chain->provider = s3_provider_resolve(chain->settings, chain->files, error);
	if (!chain->provider)
		return false;
	if (s3_provider_is_remote(chain->provider)) {
		g_cond_broadcast(&chain->news);
		if (start_thread(chain, error))
			return true;
		forget(chain);
		return false;
	}
	chain->current = s3_provider_load(chain->provider, -1, error);
	return chain->current != NULL;
}

static bool is_under_way(const struct s3_credentials_chain *chain)
{
	return chain->asking || chain->due_us <= g_get_monotonic_time();
}

/* After a sleep of the machine the clock may say what no timer has noticed. And who asks
 * after a failure may know that it is mended. */
static bool is_worth_asking(const struct s3_credentials_chain *chain, int64_t now_s)
{
	return !is_usable(chain->current, now_s) && !is_under_way(chain) &&
	       (!chain->failures ||
		       g_get_monotonic_time() >= chain->asked_us + ASK_AGAIN_US);
}

static void wait_for_answer(struct s3_credentials_chain *chain, int64_t now_s)
{
	if (is_worth_asking(chain, now_s)) {
		chain->asked_us = chain->due_us = g_get_monotonic_time();
		g_cond_broadcast(&chain->news);
	}
	int64_t end_us = chain->asked_us + INT64_C(1000) * S3_CREDENTIALS_WAIT_MS;
	while (!is_usable(chain->current, now_s) && is_under_way(chain) &&
		g_get_monotonic_time() < end_us)
		g_cond_wait_until(&chain->news, &chain->lock, end_us);
}

static void explain(const struct s3_credentials_chain *chain, GError **error)
{
	const char *source = chain->provider->source;
	if (!s3_provider_is_remote(chain->provider))
		s3_fail(error, S3_ERROR_MEND,
			"credentials from %s have expired: renew them", source);
	else if (chain->failure && error)
		*error = g_error_copy(chain->failure);
	else
		s3_fail(error, S3_ERROR_RETRY,
			"credentials from %s: no answer yet, still waiting", source);
}

static struct s3_credentials *get_locked(
	struct s3_credentials_chain *chain, int64_t now_s, GError **error)
{
	if (!resolve(chain, error))
		return NULL;
	if (s3_provider_is_remote(chain->provider))
		wait_for_answer(chain, now_s);
	if (is_usable(chain->current, now_s))
		return s3_credential_set_ref(chain->current);
	explain(chain, error);
	return NULL;
}

struct s3_credentials *s3_credentials_chain_get(
	struct s3_credentials_chain *chain, int64_t now_s, GError **error)
{
	GError *failure = NULL;
	g_mutex_lock(&chain->lock);
	struct s3_credentials *credentials = get_locked(chain, now_s, &failure);
	g_mutex_unlock(&chain->lock);
	if (failure) {
		s3_error_set_subject(failure, S3_SUBJECT_CREDENTIALS);
		g_propagate_error(error, failure);
	}
	return credentials;
}

static bool is_same(const struct s3_credentials *a, const struct s3_credentials *b)
{
	return a && !strcmp(a->keys.access_key_id, b->keys.access_key_id) &&
	       !strcmp(a->keys.secret_access_key, b->keys.secret_access_key) &&
	       !g_strcmp0(a->keys.session_token, b->keys.session_token);
}

/* Those refused are given up at once: nobody is to sign with them while others are asked
 * for. */
static bool refused_locked(
	struct s3_credentials_chain *chain, const struct s3_credentials *used)
{
	if (!resolve(chain, NULL))
		return false;
	if (!is_same(chain->current, used))
		return true;
	int64_t now_us = g_get_monotonic_time();
	if (!s3_provider_is_remote(chain->provider) ||
		(chain->refused_us && now_us < chain->refused_us + REFUSED_US))
		return false;
	g_clear_pointer(&chain->current, s3_credentials_unref);
	g_clear_error(&chain->failure);
	chain->failures = 0;
	chain->refused_us = chain->asked_us = chain->due_us = now_us;
	g_cond_broadcast(&chain->news);
	g_log("s3", G_LOG_LEVEL_WARNING,
		"the store refuses the credentials from %s: others are asked for",
		used->source);
	return true;
}

bool s3_credentials_chain_refused(
	struct s3_credentials_chain *chain, const struct s3_credentials *used)
{
	g_mutex_lock(&chain->lock);
	bool others = refused_locked(chain, used);
	g_mutex_unlock(&chain->lock);
	return others;
}

bool s3_credentials_chain_check(
	struct s3_credentials_chain *chain, int64_t now_s, GError **error)
{
	g_mutex_lock(&chain->lock);
	bool sound = resolve(chain, error);
	if (sound && !s3_provider_is_remote(chain->provider) &&
		!is_usable(chain->current, now_s)) {
		explain(chain, error);
		sound = false;
	}
	g_mutex_unlock(&chain->lock);
	return sound;
}

/* ---- from birth to end ---- */

struct s3_credentials_chain *s3_credentials_chain_new(const struct s3_settings *settings)
{
	struct s3_credentials_chain *chain = g_new0(struct s3_credentials_chain, 1);
	chain->settings = settings;
	chain->stop_fd = -1;
	chain->files = s3_credential_files_new();
	g_mutex_init(&chain->lock);
	g_cond_init(&chain->news);
	return chain;
}

static void stop_thread(struct s3_credentials_chain *chain)
{
	if (!chain->thread)
		return;
	g_mutex_lock(&chain->lock);
	chain->stop = true;
	g_cond_broadcast(&chain->news);
	g_mutex_unlock(&chain->lock);
	if (eventfd_write(chain->stop_fd, 1) < 0)
		g_error("eventfd: %s", g_strerror(errno));
	g_thread_join(chain->thread);
}

void s3_credentials_chain_free(struct s3_credentials_chain **chain)
{
	struct s3_credentials_chain *gone = g_steal_pointer(chain);
	if (!gone)
		return;
	stop_thread(gone);
	forget(gone);
	if (gone->stop_fd >= 0)
		close(gone->stop_fd);
	g_array_unref(gone->files);
	g_mutex_clear(&gone->lock);
	g_cond_clear(&gone->news);
	g_free(gone);
}

char *s3_credentials_describe(const struct s3_settings *settings, GError **error)
{
	g_autoptr(GArray) files = s3_credential_files_new();
	struct s3_provider *provider = s3_provider_resolve(settings, files, error);
	if (!provider)
		return NULL;
	char *source = g_strdup(provider->source);
	s3_provider_unref(provider);
	return source;
}
