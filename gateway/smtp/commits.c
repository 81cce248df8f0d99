/* A locked list and one uv_async. Committing is the queue's, answering the
 * connection's matter. */
#include "gateway/smtp/commits.h"

#include "gateway/smtp/hop.h"

struct commits {
	uv_async_t async;
	struct queue *queue;
	GMutex lock;
	GQueue answered; /* of struct commit; under the lock */
	void (*closed)(void *context);
	void *context;
};

struct commit {
	struct commits *commits;
	GError *error;
	enum smtp_reply_id id;
	char *detail;
	commits_done done;
	void *context;
	GList link;
};

/* On any thread. */
static void answer(struct commit *commit)
{
	struct commits *commits = commit->commits;
	g_mutex_lock(&commits->lock);
	g_queue_push_tail_link(&commits->answered, &commit->link);
	/* Under the lock: once it is free the loop may answer this
	 * and close the handle. */
	uv_async_send(&commits->async);
	g_mutex_unlock(&commits->lock);
}

/* On the queue's writer thread. */
static void submitted(void *context, const char *id, const GError *error)
{
	(void)id;
	struct commit *commit = context;
	commit->error = error ? g_error_copy(error) : NULL;
	commit->id = REPLY_QUEUED;
	answer(commit);
}

/* On a delivery's thread, or the queue's. */
static void passed(void *context, struct queue_message *message)
{
	struct commit *commit = context;
	if (hop_has_some(message)) {
		queue_keep(commit->commits->queue, message, submitted, commit);
		return;
	}
	commit->id = hop_reply(message, &commit->detail);
	answer(commit);
}

static struct commit *take_answered(struct commits *commits)
{
	g_mutex_lock(&commits->lock);
	GList *link = g_queue_pop_head_link(&commits->answered);
	g_mutex_unlock(&commits->lock);
	return link ? link->data : NULL;
}

static void deliver(uv_async_t *async)
{
	struct commits *commits = async->data;
	struct commit *commit;
	while ((commit = take_answered(commits))) {
		const struct commit_outcome outcome = { commit->error, commit->id,
			commit->detail };
		commit->done(commit->context, &outcome);
		g_clear_error(&commit->error);
		g_free(commit->detail);
		g_free(commit);
	}
}

struct commits *commits_new(uv_loop_t *loop, struct queue *queue)
{
	struct commits *commits = g_new0(struct commits, 1);
	commits->queue = queue;
	commits->async.data = commits;
	g_mutex_init(&commits->lock);
	g_queue_init(&commits->answered);
	int status = uv_async_init(loop, &commits->async, deliver);
	g_assert(!status);
	return commits;
}

static struct commit *commit_new(
	struct commits *commits, commits_done done, void *context)
{
	struct commit *commit = g_new0(struct commit, 1);
	commit->commits = commits;
	commit->done = done;
	commit->context = context;
	commit->link.data = commit;
	return commit;
}

void commits_submit(struct commits *commits, struct queue_message *message,
	struct spool *spool, commits_done done, void *context)
{
	struct commit *commit = commit_new(commits, done, context);
	queue_submit(commits->queue, message, spool, submitted, commit);
}

void commits_pass(struct commits *commits, struct queue_message *message,
	struct spool *spool, commits_done done, void *context)
{
	struct commit *commit = commit_new(commits, done, context);
	queue_pass(commits->queue, message, spool, passed, commit);
}

static void free_closed(uv_handle_t *handle)
{
	struct commits *commits = handle->data;
	void (*closed)(void *) = commits->closed;
	void *context = commits->context;
	g_mutex_clear(&commits->lock);
	g_free(commits);
	closed(context);
}

void commits_close(struct commits **commits, void (*closed)(void *context), void *context)
{
	(*commits)->closed = closed;
	(*commits)->context = context;
	uv_close((uv_handle_t *)&(*commits)->async, free_closed);
	*commits = NULL;
}
