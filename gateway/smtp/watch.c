/* Rounds: look at all files in a worker, load there what has changed and is still again,
 * put it in force on the loop. How files look and load is settings.c's. */
#include "gateway/smtp/watch.h"

#include "gateway/log.h"

#include <openssl/crypto.h>
#include <string.h>

/* While files change: looks at them, each a quarter of the interval after the other. */
#define LOOKS_PER_INTERVAL 4
/* A file that never is still is loaded after so many looks. */
#define RESTLESS_LOOKS_MAX 40

/* One of SMTP_FILES as a round finds it. */
struct sight {
	char *before; /* as when they were loaded, or could not be */
	char *last;   /* at the last look, where that was another one; else NULL */
	char *now;
	unsigned restless; /* looks since they changed */
	bool was_loaded;   /* or could not be: error says why */
	void *loaded;
	GError *error;
};

struct watch {
	uv_timer_t timer;
	uv_work_t round;
	unsigned interval_ms;
	struct metrics *metrics;
	struct smtp_settings *settings;  /* followed; NULL: not yet */
	struct smtp_settings *looked_at; /* by the round under way */
	struct sight sights[SMTP_FILES]; /* the round's, while one is under way */
	unsigned pins; /* the handle, while it has not closed; the round under way */
	bool closed;
	void (*fresh)(void *context, struct smtp_settings *settings);
	void *context;
};

/* What OpenSSL keeps for a thread would lie in libuv's until the process ends. */
static void *load_tls(const struct conf *conf, GError **error)
{
	struct smtp_tls *tls = smtp_tls_load(conf, error);
	OPENSSL_thread_stop();
	return tls;
}

static void *load_users(const struct conf *conf, GError **error)
{
	return users_load(conf->users_file, error);
}

static void drop_tls(void *loaded)
{
	struct smtp_tls *tls = loaded;
	smtp_tls_unref(&tls);
}

static void drop_users(void *loaded)
{
	struct users *users = loaded;
	users_unref(&users);
}

static const struct kind {
	const char *reloaded, *failed; /* events */
	void *(*load)(const struct conf *conf, GError **error);
	void (*drop)(void *loaded); /* NULL is taken */
} kinds[SMTP_FILES] = {
	[SMTP_FILES_TLS] = { "tls.reloaded", "tls.reload_failed", load_tls, drop_tls },
	[SMTP_FILES_USERS] = { "users.reloaded", "users.reload_failed", load_users,
		drop_users },
};

/* ---- in a worker ---- */

static bool is_ripe(const struct sight *sight)
{
	return !g_strcmp0(sight->now, sight->last) ||
	       sight->restless >= RESTLESS_LOOKS_MAX;
}

static void look(struct sight *sight, const struct conf *conf, enum smtp_files files)
{
	sight->now = smtp_files_look(conf, files);
	if (!strcmp(sight->now, sight->before) || !is_ripe(sight))
		return;
	sight->was_loaded = true;
	sight->loaded = kinds[files].load(conf, &sight->error);
}

static void do_round(uv_work_t *round)
{
	struct watch *watch = round->data;
	for (unsigned i = 0; i < SMTP_FILES; i++)
		look(&watch->sights[i], watch->looked_at->conf, (enum smtp_files)i);
}

/* ---- on the loop ---- */

static void drop_loaded(struct sight *sight, const struct kind *kind)
{
	kind->drop(sight->loaded);
	sight->loaded = NULL;
	sight->was_loaded = false;
	g_clear_error(&sight->error);
}

static void forget_looks(struct sight *sight)
{
	g_clear_pointer(&sight->before, g_free);
	g_clear_pointer(&sight->last, g_free);
	g_clear_pointer(&sight->now, g_free);
	sight->restless = 0;
}

static void unpin(struct watch *watch)
{
	if (--watch->pins)
		return;
	for (unsigned i = 0; i < SMTP_FILES; i++) {
		drop_loaded(&watch->sights[i], &kinds[i]);
		forget_looks(&watch->sights[i]);
	}
	g_free(watch);
}

/* Now is the last of the next look; loaded, it is what the next change is to. */
static void remember(struct sight *sight)
{
	g_clear_pointer(&sight->last, g_free);
	if (sight->was_loaded) {
		g_free(sight->before);
		sight->before = g_steal_pointer(&sight->now);
	} else if (strcmp(sight->now, sight->before)) {
		sight->last = g_steal_pointer(&sight->now);
		sight->restless++;
		return;
	}
	g_clear_pointer(&sight->now, g_free);
	sight->restless = 0;
}

static void report(const struct sight *sight, const struct kind *kind)
{
	if (!sight->was_loaded)
		return;
	g_autofree char *file = smtp_files_changed(sight->before, sight->now);
	if (sight->loaded)
		log_info(kind->reloaded, LOG_TEXT("file", file),
			LOG_TEXT("reason", "the file has changed"));
	else
		log_warning(kind->failed, LOG_TEXT("file", file),
			LOG_TEXT("reason", sight->error->message));
}

static void put_in_force(struct watch *watch)
{
	struct smtp_tls *tls = watch->sights[SMTP_FILES_TLS].loaded;
	struct users *users = watch->sights[SMTP_FILES_USERS].loaded;
	if (!tls && !users)
		return;
	struct smtp_settings *fresh =
		smtp_settings_with(watch->settings, tls, users, watch->metrics);
	for (unsigned i = 0; i < SMTP_FILES; i++) {
		g_free(fresh->looks[i]);
		fresh->looks[i] = g_strdup(watch->sights[i].before);
	}
	smtp_settings_unref(&watch->settings);
	watch->settings = fresh;
	watch->fresh(watch->context, fresh);
}

static void start_round(uv_timer_t *timer);

static void start_timer(struct watch *watch)
{
	bool restless = false;
	for (unsigned i = 0; i < SMTP_FILES; i++)
		restless |= watch->sights[i].last != NULL;
	uint64_t wait_ms =
		restless ? watch->interval_ms / LOOKS_PER_INTERVAL : watch->interval_ms;
	uv_timer_start(&watch->timer, start_round, wait_ms, 0);
}

/* Of settings that are followed no more: nothing that was seen or loaded counts. */
static void begin_anew(struct watch *watch)
{
	for (unsigned i = 0; i < SMTP_FILES; i++) {
		struct sight *sight = &watch->sights[i];
		drop_loaded(sight, &kinds[i]);
		forget_looks(sight);
		sight->before = g_strdup(watch->settings->looks[i]);
	}
}

static void end_round(struct watch *watch)
{
	for (unsigned i = 0; i < SMTP_FILES; i++) {
		report(&watch->sights[i], &kinds[i]);
		remember(&watch->sights[i]);
	}
	put_in_force(watch);
	for (unsigned i = 0; i < SMTP_FILES; i++)
		drop_loaded(&watch->sights[i], &kinds[i]);
}

static void on_round_done(uv_work_t *round, int status)
{
	struct watch *watch = round->data;
	bool is_over = watch->closed || status != 0;
	bool counts = !is_over && watch->looked_at == watch->settings;
	smtp_settings_unref(&watch->looked_at);
	if (counts)
		end_round(watch);
	else if (!is_over)
		begin_anew(watch);
	if (!watch->closed)
		start_timer(watch);
	unpin(watch);
}

static void start_round(uv_timer_t *timer)
{
	struct watch *watch = timer->data;
	watch->looked_at = smtp_settings_ref(watch->settings);
	watch->pins++;
	uv_queue_work(timer->loop, &watch->round, do_round, on_round_done);
}

struct watch *watch_new(uv_loop_t *loop, unsigned interval_ms, struct metrics *metrics,
	void (*fresh)(void *context, struct smtp_settings *settings), void *context)
{
	struct watch *watch = g_new0(struct watch, 1);
	watch->interval_ms = interval_ms;
	watch->metrics = metrics;
	watch->fresh = fresh;
	watch->context = context;
	uv_timer_init(loop, &watch->timer);
	uv_unref((uv_handle_t *)&watch->timer);
	watch->timer.data = watch->round.data = watch;
	watch->pins = 1;
	return watch;
}

void watch_follow(struct watch *watch, struct smtp_settings *settings)
{
	smtp_settings_ref(settings);
	if (watch->settings)
		smtp_settings_unref(&watch->settings);
	watch->settings = settings;
	if (watch->looked_at)
		return; /* a round is under way, and ends with nothing */
	begin_anew(watch);
	start_timer(watch);
}

static void on_closed(uv_handle_t *handle)
{
	unpin(handle->data);
}

void watch_close(struct watch **watch)
{
	struct watch *old = *watch;
	*watch = NULL;
	if (!old)
		return;
	old->closed = true;
	if (old->settings)
		smtp_settings_unref(&old->settings);
	uv_close((uv_handle_t *)&old->timer, on_closed);
}
