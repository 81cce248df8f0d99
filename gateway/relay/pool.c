/* Who gets which connection, and when the next one is opened or closed. What is said over
 * it is client.c's. */
#include "gateway/relay/pool.h"

#define REAPER_STEP_US (2 * G_USEC_PER_SEC)
#define BACKOFF_MIN_US G_USEC_PER_SEC
#define BACKOFF_MAX_US (5 * G_USEC_PER_SEC)
/* Wrong credentials do not get right by themselves, and SES counts them. Shorter than the
 * queue's own pause between two tries of what it holds. */
#define BACKOFF_MEND_MAX_US (40 * G_USEC_PER_SEC)
#define BACKOFF_DOUBLINGS   6

struct pool {
	const struct conf_relay *settings;
	const char *hostname;
	const struct transport_trust *trust;
	unsigned limit;
	GMutex mutex;
	GCond freed;   /* a connection, or a place for one */
	GCond opened;  /* for the reaper, which sleeps while nothing is open */
	GQueue idle;   /* of pool_connection; the most recently used first */
	unsigned open; /* idle, out, and being connected */
	bool probing;  /* one tries whether the relay is back */
	bool awaited;  /* one waits in pool_is_open() until it may try that */
	unsigned failures;
	int64_t blocked_until_us;
	int64_t failed_ms;      /* Unix time of the last failure */
	uint64_t failures_ever; /* unlike failures, never set back */
	bool hurried;           /* nobody waits for a blocked relay any more */
	struct failure last;
	bool closing;
	GThread *reaper;
};

static void close_connection(struct pool_connection *connection)
{
	client_free(&connection->client);
	g_free(connection);
}

static bool is_spent(
	const struct pool *pool, const struct pool_connection *c, int64_t now_us)
{
	int64_t life_us = (int64_t)pool->settings->connection_lifetime_s * G_USEC_PER_SEC;
	return c->messages >= pool->settings->messages_per_connection ||
	       now_us - c->born_us >= life_us;
}

static bool is_stale(
	const struct pool *pool, const struct pool_connection *c, int64_t now_us)
{
	return now_us - c->idle_since_us >= POOL_IDLE_S * G_USEC_PER_SEC ||
	       is_spent(pool, c, now_us);
}

/* With the mutex held: the idle connections that are stale, in a new list. */
static GSList *take_stale(struct pool *pool, int64_t now_us)
{
	GSList *stale = NULL;
	for (GList *at = pool->idle.head, *next; at; at = next) {
		next = at->next;
		if (!is_stale(pool, at->data, now_us))
			continue;
		stale = g_slist_prepend(stale, at->data);
		g_queue_delete_link(&pool->idle, at);
		pool->open--;
	}
	return stale;
}

/* QUIT takes time, and nobody asks for a connection just to have an old one closed. */
static gpointer reap(gpointer data)
{
	struct pool *pool = data;
	g_mutex_lock(&pool->mutex);
	while (!pool->closing) {
		int64_t now_us = g_get_monotonic_time();
		GSList *stale = take_stale(pool, now_us);
		if (stale) {
			g_cond_broadcast(&pool->freed);
			g_mutex_unlock(&pool->mutex);
			for (GSList *s = stale; s; s = s->next)
				close_connection(s->data);
			g_slist_free(stale);
			g_mutex_lock(&pool->mutex);
		} else if (pool->open) {
			g_cond_wait_until(
				&pool->opened, &pool->mutex, now_us + REAPER_STEP_US);
		} else {
			g_cond_wait(&pool->opened, &pool->mutex);
		}
	}
	g_mutex_unlock(&pool->mutex);
	return NULL;
}

struct pool *pool_new(const struct conf_relay *settings, const char *hostname,
	const struct transport_trust *trust)
{
	struct pool *pool = g_new0(struct pool, 1);
	pool->settings = settings;
	pool->hostname = hostname;
	pool->trust = trust;
	pool->limit = MAX(settings->connections, 1);
	g_mutex_init(&pool->mutex);
	g_cond_init(&pool->freed);
	g_cond_init(&pool->opened);
	g_queue_init(&pool->idle);
	pool->reaper = g_thread_new("relay-reaper", reap, pool);
	return pool;
}

/* With the mutex held. */
static void note_failure(struct pool *pool, const struct failure *failure)
{
	unsigned doublings = MIN(pool->failures, BACKOFF_DOUBLINGS);
	int64_t most = failure->kind == REPLY_MEND ? BACKOFF_MEND_MAX_US : BACKOFF_MAX_US;
	int64_t wait_us = MIN(BACKOFF_MIN_US << doublings, most);
	wait_us += (int64_t)g_random_int_range(0, (gint32)(wait_us / 4));
	pool->failures++;
	pool->failures_ever++;
	pool->failed_ms = g_get_real_time() / 1000;
	pool->blocked_until_us = g_get_monotonic_time() + wait_us;
	failure_set(&pool->last, failure->kind, failure->reply_code, failure->text,
		failure->advice);
	failure_set_hold(&pool->last, g_strdup(failure->hold));
}

/* With the mutex held on entry and return; the place for it is
 * counted in open already. */
static struct pool_connection *open_connection(struct pool *pool, struct failure *failure)
{
	bool probe = pool->failures > 0;
	pool->probing |= probe;
	g_cond_signal(&pool->opened);
	/* Of several addresses one may take connections and do nothing with them. */
	uint64_t address = pool->failures_ever;
	g_mutex_unlock(&pool->mutex);
	struct failure why = { 0 };
	struct client *client =
		client_new(pool->settings, pool->hostname, pool->trust, address, &why);
	g_mutex_lock(&pool->mutex);
	if (probe)
		pool->probing = false;
	if (!client) {
		note_failure(pool, &why);
		failure_clear(failure);
		*failure = why;
		pool->open--;
		g_cond_broadcast(&pool->freed);
		return NULL;
	}
	if (pool->failures) {
		pool->failures = 0;
		g_cond_broadcast(&pool->freed);
	}
	struct pool_connection *connection = g_new0(struct pool_connection, 1);
	connection->client = client;
	connection->born_us = g_get_monotonic_time();
	return connection;
}

/* With the mutex held on entry and return: an idle connection that
 * still works, or NULL. */
static struct pool_connection *take_idle(struct pool *pool)
{
	struct pool_connection *connection;
	while ((connection = g_queue_pop_head(&pool->idle))) {
		int64_t now_us = g_get_monotonic_time();
		if (!is_stale(pool, connection, now_us) &&
			client_is_usable(connection->client)) {
			connection->reused = true;
			return connection;
		}
		pool->open--;
		g_mutex_unlock(&pool->mutex);
		close_connection(connection);
		g_mutex_lock(&pool->mutex);
	}
	return NULL;
}

/* With the mutex held: an idle one gives its place to a fresh one. */
static bool make_place(struct pool *pool)
{
	struct pool_connection *oldest =
		pool->open >= pool->limit ? g_queue_pop_tail(&pool->idle) : NULL;
	if (oldest) {
		pool->open--;
		g_mutex_unlock(&pool->mutex);
		close_connection(oldest);
		g_mutex_lock(&pool->mutex);
	}
	return pool->open < pool->limit;
}

/* As long as others may hold a connection for one message each. */
static int64_t patience_us(const struct pool *pool)
{
	return (int64_t)(pool->settings->data_timeout_s +
			 pool->settings->command_timeout_s) *
	       G_USEC_PER_SEC;
}

static void fail_busy(struct failure *failure)
{
	failure_set(failure, REPLY_RETRY, 0,
		"all connections to the relay have been busy for long", NULL);
}

static void fail_blocked(const struct pool *pool, struct failure *failure)
{
	const struct failure *last = &pool->last;
	failure_set(failure, last->kind, last->reply_code, last->text, last->advice);
	failure_set_hold(failure, g_strdup(last->hold));
}

struct pool_connection *pool_take(
	struct pool *pool, bool fresh, int64_t limit_us, struct failure *failure)
{
	struct pool_connection *connection = NULL;
	g_mutex_lock(&pool->mutex);
	int64_t now_us = g_get_monotonic_time(),
		until_us = now_us + (limit_us > 0 ? limit_us : patience_us(pool));
	uint64_t failures_before = pool->failures_ever;
	for (;; now_us = g_get_monotonic_time()) {
		if (!fresh && (connection = take_idle(pool)))
			break;
		bool blocked = pool->failures && now_us < pool->blocked_until_us;
		bool probed = pool->failures && pool->probing;
		bool tried = pool->failures_ever != failures_before || pool->hurried ||
			     pool->last.kind == REPLY_MEND;
		if (blocked && !pool->open && tried) {
			fail_blocked(pool, failure);
			break;
		}
		if (!blocked && !probed && make_place(pool)) {
			pool->open++;
			connection = open_connection(pool, failure);
			if (connection || !pool->open)
				break;
			failure_clear(failure); /* not this message's: wait as below */
			continue;
		}
		if (now_us >= until_us) {
			pool->failures ? fail_blocked(pool, failure) : fail_busy(failure);
			break;
		}
		/* While others still have connections that work, one of those
		 * will do; and an older failure is not this message's: it waits
		 * for the next probe. */
		g_cond_wait_until(&pool->freed, &pool->mutex,
			blocked ? MIN(until_us, pool->blocked_until_us) : until_us);
	}
	g_mutex_unlock(&pool->mutex);
	return connection;
}

/* With the mutex held: no connection works, as far as is known. */
static bool is_down(const struct pool *pool)
{
	return pool->failures && pool->open <= (pool->probing ? 1 : 0);
}

/* With the mutex held: waits until it may be tried anew; false: others do that, or it is
 * not soon. */
static bool await_probe(struct pool *pool, bool patient, int64_t asked_ms)
{
	int64_t wait_us = pool->blocked_until_us - g_get_monotonic_time();
	if (pool->probing)
		return false;
	if (asked_ms > pool->failed_ms)
		return true;
	if (pool->awaited)
		return false;
	if (wait_us > 0 && (!patient || pool->last.kind == REPLY_MEND))
		return false;
	pool->awaited = true;
	while (!pool->hurried && is_down(pool) && !pool->probing &&
		g_get_monotonic_time() < pool->blocked_until_us)
		g_cond_wait_until(&pool->freed, &pool->mutex, pool->blocked_until_us);
	pool->awaited = false;
	return !pool->hurried;
}

bool pool_is_open(
	struct pool *pool, bool patient, int64_t asked_ms, struct failure *failure)
{
	g_mutex_lock(&pool->mutex);
	bool down = is_down(pool), may_try = down && await_probe(pool, patient, asked_ms);
	down = is_down(pool);
	if (may_try && down && !pool->probing && make_place(pool)) {
		pool->open++;
		struct pool_connection *connection = open_connection(pool, failure);
		if (connection) {
			connection->idle_since_us = connection->born_us;
			g_queue_push_head(&pool->idle, connection);
			g_cond_signal(&pool->freed);
		}
		down = !connection;
	} else if (down) {
		fail_blocked(pool, failure);
	}
	g_mutex_unlock(&pool->mutex);
	return !down;
}

void pool_hurry(struct pool *pool)
{
	g_mutex_lock(&pool->mutex);
	pool->hurried = true;
	g_cond_broadcast(&pool->freed);
	g_mutex_unlock(&pool->mutex);
}

void pool_put(
	struct pool *pool, struct pool_connection *connection, const struct failure *lost)
{
	int64_t now_us = g_get_monotonic_time();
	bool failed = lost && !connection->reused;
	connection->messages++;
	connection->idle_since_us = now_us;
	bool keep = !is_spent(pool, connection, now_us) &&
		    client_is_alive(connection->client);
	if (!keep)
		close_connection(connection);
	g_mutex_lock(&pool->mutex);
	if (keep)
		g_queue_push_head(&pool->idle, connection);
	else
		pool->open--;
	if (failed)
		note_failure(pool, lost);
	g_cond_signal(&pool->freed);
	g_mutex_unlock(&pool->mutex);
}

void pool_free(struct pool **pool)
{
	struct pool *p = *pool;
	if (!p)
		return;
	g_mutex_lock(&p->mutex);
	p->closing = true;
	g_cond_signal(&p->opened);
	g_mutex_unlock(&p->mutex);
	g_thread_join(p->reaper);
	struct pool_connection *connection;
	while ((connection = g_queue_pop_head(&p->idle)))
		close_connection(connection);
	failure_clear(&p->last);
	g_mutex_clear(&p->mutex);
	g_cond_clear(&p->freed);
	g_cond_clear(&p->opened);
	g_clear_pointer(pool, g_free);
}
