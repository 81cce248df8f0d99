/* Bounded queues in front of uv_queue_work(), one for each client address, served in
 * turn. Verifying a password is policy/'s. */
#include "gateway/smtp/verifier.h"

#include <netinet/in.h>
#include <openssl/crypto.h>
#include <string.h>

#define AT_A_TIME_MAX 2 /* of libuv's four threads */
#define WAITING_MAX   256
#define WAITING_CLIENT_MAX                                                               \
	64 /* of one address: a fleet behind one, that starts at once */

/* A client address with someone waiting. */
struct origin {
	guint64 key;
	GQueue waiting; /* of struct verification */
	GList link;
};

struct verifier {
	uv_loop_t *loop;
	GHashTable *origins; /* by key */
	GQueue turns;        /* of struct origin */
	unsigned waiting, running;
	bool freed;
};

struct verification {
	struct verifier *verifier;
	uv_work_t work;
	struct users *users;
	char *user, *password;
	bool good;
	void (*done)(void *context, bool good); /* NULL: forgotten */
	void *context;
};

struct verifier *verifier_new(uv_loop_t *loop)
{
	struct verifier *verifier = g_new0(struct verifier, 1);
	verifier->loop = loop;
	verifier->origins =
		g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
	g_queue_init(&verifier->turns);
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

static struct origin *find_or_add_origin(struct verifier *verifier, guint64 key)
{
	struct origin *origin = g_hash_table_lookup(verifier->origins, &key);
	if (!origin) {
		origin = g_new0(struct origin, 1);
		origin->key = key;
		origin->link.data = origin;
		g_queue_init(&origin->waiting);
		g_hash_table_insert(verifier->origins, &origin->key, origin);
		g_queue_push_tail_link(&verifier->turns, &origin->link);
	}
	return origin;
}

/* One of each address before a second of any. NULL: nobody waits. */
static struct verification *next(struct verifier *verifier)
{
	struct origin *origin = g_queue_peek_head(&verifier->turns);
	if (!origin)
		return NULL;
	struct verification *v = g_queue_pop_head(&origin->waiting);
	verifier->waiting--;
	g_queue_unlink(&verifier->turns, &origin->link);
	if (g_queue_is_empty(&origin->waiting))
		g_hash_table_remove(verifier->origins, &origin->key);
	else
		g_queue_push_tail_link(&verifier->turns, &origin->link);
	return v;
}

/* ---- work ---- */

static void work(uv_work_t *request)
{
	struct verification *v = request->data;
	v->good = users_verify(v->users, v->user, v->password);
}

static void run_next(struct verifier *verifier);

static void worked(uv_work_t *request, int status)
{
	struct verification *v = request->data;
	struct verifier *verifier = v->verifier;
	verifier->running--;
	if (v->done)
		v->done(v->context, v->good && !status);
	verification_free(v);
	run_next(verifier);
}

static void run_next(struct verifier *verifier)
{
	while (verifier->running < AT_A_TIME_MAX) {
		struct verification *v = next(verifier);
		if (!v)
			break;
		if (v->done && !verifier->freed) {
			verifier->running++;
			uv_queue_work(verifier->loop, &v->work, work, worked);
		} else {
			verification_free(v);
		}
	}
	if (verifier->freed && !verifier->running) {
		g_hash_table_unref(verifier->origins);
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
	const struct sockaddr *client, const char *user, const char *password,
	void (*done)(void *context, bool good), void *context)
{
	if (verifier->waiting >= WAITING_MAX)
		return NULL;
	struct origin *origin = find_or_add_origin(verifier, key_of(client));
	if (g_queue_get_length(&origin->waiting) >= WAITING_CLIENT_MAX)
		return NULL;
	struct verification *v = g_new0(struct verification, 1);
	v->verifier = verifier;
	v->work.data = v;
	v->users = users_ref(users);
	v->user = g_strdup(user);
	v->password = g_strdup(password);
	v->done = done;
	v->context = context;
	g_queue_push_tail(&origin->waiting, v);
	verifier->waiting++;
	run_next(verifier);
	return v;
}

void verification_forget(struct verification **verification)
{
	if (*verification)
		(*verification)->done = NULL;
	*verification = NULL;
}
