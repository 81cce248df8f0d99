/* One signed question about the bucket, now and then. What the answer
 * means: lifecycle.c. */
#include "s3/retention.h"
#include "s3/fetch.h"
#include "s3/lifecycle.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_MS   5000
#define SIGNED_FOR_S 60
#define ASK_AGAIN_MS (6 * 3600 * 1000)
#define NO_ANSWER_MS (10 * 60 * 1000)
/* For both identities, from the start on: then links are signed without knowing. */
#define FIRST_ANSWER_MS (2 * TIMEOUT_MS)

struct s3_retention {
	struct s3_retention_basis basis;
	int stop_fd; /* readable once the thread is to end; -1: no thread */
	GThread *thread;
	unsigned expiry_s;
	struct s3_lifecycle_end warned; /* said in the log */
	GMutex asking;                  /* before lock */
	GMutex lock;
	struct s3_lifecycle *lifecycle; /* NULL: not known */
	bool answered;                  /* when asked last, if only by a refusal */
	GCond asked;                    /* first_by_us is 0 now */
	/* monotonic: the watch's first question has not ended yet and is not waited for
	 * beyond; 0: it has, or there is none */
	int64_t first_by_us;
	const struct s3_place *place; /* where it was asked last; NULL: nowhere yet */
	int64_t clock_s;              /* as the site's clock was off then */
};

/* The bucket's ?lifecycle, signed; g_free(). NULL: no credentials. */
static char *question(
	const struct s3_retention *retention, struct s3_credentials_chain *chain)
{
	struct s3_site *site = retention->basis.site;
	const struct s3_place *place = s3_site_place(site);
	int64_t now_s = s3_site_now_s(site);
	struct s3_credentials *credentials = s3_credentials_chain_get(chain, now_s, NULL);
	if (!credentials)
		return NULL;
	g_autofree char *path = s3_endpoint_path(&place->endpoint, "");
	g_autofree char *url = s3_endpoint_url(&place->endpoint, "");
	const struct sigv4_pair parameters[] = { { "lifecycle", "" } };
	const struct sigv4_request request = {
		.method = "GET",
		.host = place->endpoint.host,
		.path = path,
		.query = parameters,
		.n_query = G_N_ELEMENTS(parameters),
		.payload_sha256 = SIGV4_UNSIGNED_PAYLOAD,
	};
	g_autofree char *query = sigv4_presigned_query(
		place->signer, &credentials->keys, &request, now_s, SIGNED_FOR_S);
	s3_credentials_unref(credentials);
	return g_strconcat(url, "?", query, NULL);
}

/* NULL: not told. */
static struct s3_lifecycle *ask(const struct s3_retention *retention,
	struct s3_credentials_chain *chain, bool *answered)
{
	g_autofree char *url = chain ? question(retention, chain) : NULL;
	const struct s3_fetch request = {
		.method = "GET",
		.url = url,
		.timeout_ms = TIMEOUT_MS,
		.ca_file = retention->basis.ca_file,
		.stop_fd = retention->stop_fd,
	};
	struct s3_fetched answer;
	if (!url || !s3_fetch(&request, &answer, NULL))
		return NULL;
	struct s3_lifecycle *lifecycle = NULL;
	*answered = *answered || answer.status < 500;
	if (answer.status == 200)
		lifecycle = s3_lifecycle_parse(
			answer.body, answer.body_bytes, retention->basis.tags);
	s3_fetched_clear(&answer);
	return lifecycle;
}

/* Whether uploads have taught since that the bucket is elsewhere or the
 * clock is wrong. */
static bool has_moved(struct s3_retention *retention)
{
	struct s3_site *site = retention->basis.site;
	g_mutex_lock(&retention->lock);
	bool moved = retention->place &&
		     (retention->place != s3_site_place(site) ||
			     retention->clock_s != s3_site_time_s(site, 0));
	g_mutex_unlock(&retention->lock);
	return moved;
}

static void note_way(struct s3_retention *retention)
{
	struct s3_site *site = retention->basis.site;
	g_mutex_lock(&retention->lock);
	retention->place = s3_site_place(site);
	retention->clock_s = s3_site_time_s(site, 0);
	g_mutex_unlock(&retention->lock);
}

/* With asking held. */
static void ask_anew(struct s3_retention *retention)
{
	const struct s3_retention_basis *basis = &retention->basis;
	bool answered = false;
	note_way(retention);
	struct s3_lifecycle *lifecycle = ask(retention, basis->links, &answered);
	if (!lifecycle && basis->uploads != basis->links)
		lifecycle = ask(retention, basis->uploads, &answered);
	g_mutex_lock(&retention->lock);
	retention->answered = answered;
	if (answered) { /* else what was told before still holds */
		s3_lifecycle_free(&retention->lifecycle);
		retention->lifecycle = lifecycle;
	}
	g_mutex_unlock(&retention->lock);
}

void s3_retention_ask(struct s3_retention *retention)
{
	g_mutex_lock(&retention->asking);
	ask_anew(retention);
	g_mutex_unlock(&retention->asking);
}

static void ask_if_moved(struct s3_retention *retention)
{
	if (!has_moved(retention))
		return;
	g_mutex_lock(&retention->asking);
	if (has_moved(retention))
		ask_anew(retention);
	g_mutex_unlock(&retention->asking);
}

static struct s3_lifecycle_end end_of(
	struct s3_retention *retention, const char *key, int64_t stored_s)
{
	struct s3_lifecycle_end end = { 0 };
	g_mutex_lock(&retention->lock);
	if (retention->lifecycle)
		end = s3_lifecycle_end(retention->lifecycle, key, stored_s);
	g_mutex_unlock(&retention->lock);
	return end;
}

static void end_first_question(struct s3_retention *retention)
{
	g_mutex_lock(&retention->lock);
	retention->first_by_us = 0;
	g_cond_broadcast(&retention->asked);
	g_mutex_unlock(&retention->lock);
}

static void wait_for_first_answer(struct s3_retention *retention)
{
	g_mutex_lock(&retention->lock);
	bool in_time = true;
	while (retention->first_by_us && in_time)
		in_time = g_cond_wait_until(
			&retention->asked, &retention->lock, retention->first_by_us);
	g_mutex_unlock(&retention->lock);
}

int64_t s3_retention_kept_s(
	struct s3_retention *retention, const char *key, int64_t stored_s)
{
	wait_for_first_answer(retention);
	ask_if_moved(retention);
	struct s3_lifecycle_end end = end_of(retention, key, stored_s);
	return s3_lifecycle_kept_s(&end, stored_s);
}

/* ---- the thread ---- */

/* "after 7 d", "on 2027-01-01", "in the night after they came, since
 * 2025-01-01"; g_free(). */
static char *end_text(const struct s3_lifecycle_end *end, int64_t now_s)
{
	if (end->days)
		return g_strdup_printf("after %u d", end->days);
	g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc(end->date_s);
	g_autofree char *text = date ? g_date_time_format(date, "%Y-%m-%d") : NULL;
	return g_strconcat(
		end->date_s > now_s ? "on " : "in the night after they came, since ",
		text ? text : "a date", NULL);
}

/* By what keys begin with: their names have the day in them. */
static void warn(struct s3_retention *retention)
{
	const char *prefix = retention->basis.prefix;
	int64_t now_s = (int64_t)time(NULL);
	g_autofree char *key = g_strconcat(prefix ? prefix : "", prefix ? "/" : "", NULL);
	struct s3_lifecycle_end end = end_of(retention, key, now_s);
	bool is_nightly = !end.days && end.date_s && end.date_s <= now_s;
	int64_t kept_s = is_nightly ? 1 : s3_lifecycle_kept_s(&end, now_s);
	bool is_news = end.days != retention->warned.days ||
		       end.date_s != retention->warned.date_s;
	if (!kept_s || !is_news || retention->expiry_s <= kept_s)
		return;
	retention->warned = end;
	g_autofree char *text = end_text(&end, now_s);
	g_warning("links.expiry is %u h, but the lifecycle rules of bucket %s delete "
		  "objects %s: links end then, and the mail says so",
		retention->expiry_s / 3600, s3_site_bucket(retention->basis.site), text);
}

/* A refusal is an answer too: it will be the same in a while. */
static bool was_answered(struct s3_retention *retention)
{
	g_mutex_lock(&retention->lock);
	bool answered = retention->answered;
	g_mutex_unlock(&retention->lock);
	return answered;
}

static gpointer run(gpointer data)
{
	struct s3_retention *retention = data;
	struct pollfd stop = { .fd = retention->stop_fd, .events = POLLIN };
	int waited;
	do {
		s3_retention_ask(retention);
		end_first_question(retention);
		warn(retention);
		waited = poll(
			&stop, 1, was_answered(retention) ? ASK_AGAIN_MS : NO_ANSWER_MS);
	} while (waited == 0 || (waited < 0 && errno == EINTR));
	return NULL;
}

/* Signals are for the main thread: the new one inherits a mask with all of them blocked.
 * Without a thread nothing is known, as where it may not be asked. */
void s3_retention_watch(struct s3_retention *retention, unsigned expiry_s)
{
	if (retention->thread)
		return;
	retention->expiry_s = expiry_s;
	retention->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (retention->stop_fd < 0)
		return;
	sigset_t all, before;
	sigfillset(&all);
	retention->first_by_us =
		g_get_monotonic_time() + FIRST_ANSWER_MS * G_TIME_SPAN_MILLISECOND;
	pthread_sigmask(SIG_SETMASK, &all, &before);
	retention->thread = g_thread_try_new("retention", run, retention, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!retention->thread)
		end_first_question(retention);
}

/* ---- from birth to end ---- */

struct s3_retention *s3_retention_new(const struct s3_retention_basis *basis)
{
	struct s3_retention *retention = g_new0(struct s3_retention, 1);
	retention->basis = *basis;
	retention->stop_fd = -1;
	g_mutex_init(&retention->asking);
	g_mutex_init(&retention->lock);
	g_cond_init(&retention->asked);
	return retention;
}

void s3_retention_free(struct s3_retention **retention)
{
	struct s3_retention *gone = g_steal_pointer(retention);
	if (!gone)
		return;
	if (gone->thread) {
		if (eventfd_write(gone->stop_fd, 1) < 0)
			g_error("eventfd: %s", g_strerror(errno));
		g_thread_join(gone->thread);
	}
	if (gone->stop_fd >= 0)
		close(gone->stop_fd);
	s3_lifecycle_free(&gone->lifecycle);
	g_cond_clear(&gone->asked);
	g_mutex_clear(&gone->lock);
	g_mutex_clear(&gone->asking);
	g_free(gone);
}
