/* A bounded queue in front of uv_queue_work(). Verifying a password is policy/'s. */
#include "gateway/smtp/verifier.h"

#include <openssl/crypto.h>
#include <string.h>

#define AT_A_TIME_MAX 2 /* of libuv's four threads */
#define WAITING_MAX   256

struct verifier {
	uv_loop_t *loop;
	GQueue waiting;
	unsigned running;
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
	g_queue_init(&verifier->waiting);
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
	while (verifier->running < AT_A_TIME_MAX &&
		!g_queue_is_empty(&verifier->waiting)) {
		struct verification *v = g_queue_pop_head(&verifier->waiting);
		if (!v->done) {
			verification_free(v);
			continue;
		}
		verifier->running++;
		uv_queue_work(verifier->loop, &v->work, work, worked);
	}
	if (verifier->freed && !verifier->running)
		g_free(verifier);
}

void verifier_free(struct verifier **verifier)
{
	if (!*verifier)
		return;
	for (GList *link = (*verifier)->waiting.head; link; link = link->next)
		((struct verification *)link->data)->done = NULL;
	(*verifier)->freed = true;
	run_next(*verifier);
	*verifier = NULL;
}

struct verification *verifier_start(struct verifier *verifier, struct users *users,
	const char *user, const char *password, void (*done)(void *context, bool good),
	void *context)
{
	if (g_queue_get_length(&verifier->waiting) >= WAITING_MAX)
		return NULL;
	struct verification *v = g_new0(struct verification, 1);
	v->verifier = verifier;
	v->work.data = v;
	v->users = users_ref(users);
	v->user = g_strdup(user);
	v->password = g_strdup(password);
	v->done = done;
	v->context = context;
	g_queue_push_tail(&verifier->waiting, v);
	run_next(verifier);
	return v;
}

void verification_forget(struct verification **verification)
{
	if (*verification)
		(*verification)->done = NULL;
	*verification = NULL;
}
