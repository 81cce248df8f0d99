/* Bounded queues in front of uv_queue_work(): two lanes, and in each one queue for each
 * client address, served in turn. Verifying a password is policy/'s. */
#include "gateway/smtp/verifier.h"

#include <netinet/in.h>
#include <openssl/crypto.h>
#include <string.h>

#define AT_A_TIME_MAX 2   /* of libuv's four threads */
#define WAITING_MAX   256 /* of a lane */
#define WAITING_CLIENT_MAX                                                               \
	64 /* of one address: a fleet behind one, that starts at once */

/* A client address with someone waiting. */
struct origin {
	guint64 key;
	GQueue waiting; /* of struct verification */
	GList link;
};

struct lane {
	GHashTable *origins; /* by key */
	GQueue turns;        /* of struct origin */
	unsigned waiting;
};

struct verifier {
	uv_loop_t *loop;
	struct lane known, others;
	unsigned running;
	bool freed;
};

struct verification {
	struct verifier *verifier;
	uv_work_t work;
	struct users *users;
	char *user, *password;
	bool is_wanted, good;
	const struct verifier_callbacks *callbacks; /* NULL: forgotten */
	void *context;
};

static void lane_init(struct lane *lane)
{
	lane->origins = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
	g_queue_init(&lane->turns);
}

struct verifier *verifier_new(uv_loop_t *loop)
{
	struct verifier *verifier = g_new0(struct verifier, 1);
	verifier->loop = loop;
	lane_init(&verifier->known);
	lane_init(&verifier->others);
	return verifier;
}

static void verification_free(struct verification *verification)
{
	OPENSSL_cleanse(verification->password, strlen(verification->password));
	g_free(verification->password);
	g_free(verification->user);
	users_unref(&verification->users);
	g_free(verification);
}

/* ---- who is next ---- */

/* An IPv4 address, or an IPv6 /64. */
static guint64 key_of(const struct sockaddr *client)
{
	guint64 key = 0;
	if (client->sa_family == AF_INET6)
		memcpy(&key, &((const struct sockaddr_in6 *)client)->sin6_addr,
			sizeof(key));
	else
		key = ((const struct sockaddr_in *)client)->sin_addr.s_addr;
	return key;
}

static struct origin *find_or_add_origin(struct lane *lane, guint64 key)
{
	struct origin *origin = g_hash_table_lookup(lane->origins, &key);
	if (!origin) {
		origin = g_new0(struct origin, 1);
		origin->key = key;
		origin->link.data = origin;
		g_queue_init(&origin->waiting);
		g_hash_table_insert(lane->origins, &origin->key, origin);
		g_queue_push_tail_link(&lane->turns, &origin->link);
	}
	return origin;
}

/* One of each address before a second of any. NULL: nobody waits. */
static struct verification *next(struct lane *lane)
{
	struct origin *origin = g_queue_peek_head(&lane->turns);
	if (!origin)
		return NULL;
	struct verification *v = g_queue_pop_head(&origin->waiting);
	lane->waiting--;
	g_queue_unlink(&lane->turns, &origin->link);
	if (g_queue_is_empty(&origin->waiting))
		g_hash_table_remove(lane->origins, &origin->key);
	else
		g_queue_push_tail_link(&lane->turns, &origin->link);
	return v;
}

/* ---- work ---- */

static void work(uv_work_t *request)
{
	struct verification *v = request->data;
	v->good = v->is_wanted && users_verify(v->users, v->user, v->password);
}

static void run_next(struct verifier *verifier);

static void worked(uv_work_t *request, int status)
{
	struct verification *v = request->data;
	struct verifier *verifier = v->verifier;
	verifier->running--;
	if (v->callbacks)
		v->callbacks->done(v->context, v->good && !status);
	verification_free(v);
	run_next(verifier);
}

/* Who is not wanted any more takes the same way, so that nobody hears of it before
 * verifier_start() has returned. */
static void run(struct verifier *verifier, struct verification *v)
{
	v->is_wanted = v->callbacks->is_wanted(v->context);
	verifier->running++;
	uv_queue_work(verifier->loop, &v->work, work, worked);
}

static void run_next(struct verifier *verifier)
{
	while (verifier->running < AT_A_TIME_MAX) {
		struct verification *v = next(&verifier->known);
		if (!v)
			v = next(&verifier->others);
		if (!v)
			break;
		if (v->callbacks && !verifier->freed)
			run(verifier, v);
		else
			verification_free(v);
	}
	if (verifier->freed && !verifier->running) {
		g_hash_table_unref(verifier->known.origins);
		g_hash_table_unref(verifier->others.origins);
		g_free(verifier);
	}
}

void verifier_free(struct verifier **verifier)
{
	struct verifier *old = *verifier;
	*verifier = NULL;
	if (!old)
		return;
	old->freed = true;
	run_next(old);
}

struct verification *verifier_start(struct verifier *verifier, struct users *users,
	const struct login *login, const struct verifier_callbacks *callbacks,
	void *context)
{
	struct lane *lane = login->is_known ? &verifier->known : &verifier->others;
	if (lane->waiting >= WAITING_MAX)
		return NULL;
	struct origin *origin = find_or_add_origin(lane, key_of(login->client));
	if (g_queue_get_length(&origin->waiting) >= WAITING_CLIENT_MAX)
		return NULL;
	struct verification *v = g_new0(struct verification, 1);
	v->verifier = verifier;
	v->work.data = v;
	v->users = users_ref(users);
	v->user = g_strdup(login->user);
	v->password = g_strdup(login->password);
	v->callbacks = callbacks;
	v->context = context;
	g_queue_push_tail(&origin->waiting, v);
	lane->waiting++;
	run_next(verifier);
	return v;
}

void verification_forget(struct verification **verification)
{
	if (*verification)
		(*verification)->callbacks = NULL;
	*verification = NULL;
}
