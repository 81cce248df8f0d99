/* A report's way into the queue. Its words are bounce.c's. */
#include "gateway/delivery/bouncing.h"

#include "gateway/delivery/preflight_text.h"
#include "gateway/log.h"
#include <string.h>
#include <unistd.h>

static bool is_end(enum bounce_action action)
{
	return action == BOUNCE_FAILED || action == BOUNCE_UNKNOWN;
}

/* False: there is nothing to tell. What a person holds has no time that it is late by, and
 * those kept wait for one. */
static bool choose_actions(const struct bouncing *bouncing,
	const struct queue_message *message, enum bounce_action *actions)
{
	bool by_person = message->state == QUEUE_HELD && !message->hold;
	bool any = false;
	for (guint i = 0; i < message->recipients->len; i++) {
		if (bouncing->kept[i])
			continue;
		actions[i] = bounce_action_for(message->recipients->pdata[i],
			message->state == QUEUE_DEAD, bouncing->late && !by_person);
		any |= actions[i] != BOUNCE_NOTHING;
	}
	return any;
}

/* RET is about reports of a failure; others have the header alone (RFC 3461, 4.3). */
static bool wants_whole(
	const struct queue_message *message, const enum bounce_action *actions)
{
	bool any_end = false;
	for (guint i = 0; i < message->recipients->len && !any_end; i++)
		any_end = is_end(actions[i]);
	return any_end && message->ret == QUEUE_RET_FULL &&
	       message->size <= BOUNCE_ORIGINAL_BYTES_MAX;
}

/* Its first octets: all of them where *is_whole, which is unset where they cannot be
 * read, else as many as a header may have. */
static GByteArray *read_original(
	const struct queue_message *message, int fd, bool *is_whole)
{
	uint64_t wanted =
		*is_whole ? message->size : MIN(message->size, BOUNCE_HEADER_BYTES_MAX);
	GByteArray *original = g_byte_array_new();
	g_byte_array_set_size(original, (guint)wanted);
	size_t have = 0;
	while (fd >= 0 && have < wanted) {
		ssize_t n = pread(fd, original->data + have, wanted - have, (off_t)have);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	g_byte_array_set_size(original, (guint)have);
	*is_whole &= have == message->size;
	return original;
}

/* Whether the message is itself an answer, or is from where answers come back to. */
static bool would_loop(
	const struct conf *conf, const struct queue_message *message, int fd)
{
	bool is_whole = false;
	if (bounce_is_own_path(&conf->sender, message->reverse_path))
		return true;
	g_autoptr(GByteArray) original = read_original(message, fd, &is_whole);
	return bounce_is_answer((const char *)original->data, original->len);
}

static GString *print(const struct bouncing *bouncing,
	const struct queue_message *message, const enum bounce_action *actions, int fd,
	const char *id)
{
	const struct conf *conf = bouncing->conf;
	bool is_whole = wants_whole(message, actions);
	g_autoptr(GByteArray) original = read_original(message, fd, &is_whole);
	g_autofree char *daemon = g_strconcat("MAILER-DAEMON@", conf->hostname, NULL);
	const struct bounce bounce = {
		.message = message,
		.actions = actions,
		.id = id,
		.hostname = conf->hostname,
		.from = conf->sender.from ? conf->sender.from : daemon,
		.hosts = bouncing->hosts,
		.original = (const char *)original->data,
		.original_bytes = original->len,
		.is_whole = is_whole,
		.now_s = g_get_real_time() / G_USEC_PER_SEC,
		.until_s = bouncing->end_ms / 1000,
	};
	return bounce_print(&bounce);
}

/* One submission waited for. */
struct submission {
	GMutex lock;
	GCond done;
	bool is_done;
	GError *error;
};

static void on_submitted(void *context, const char *id, const GError *error)
{
	(void)id;
	struct submission *submission = context;
	g_mutex_lock(&submission->lock);
	submission->is_done = true;
	submission->error = error ? g_error_copy(error) : NULL;
	g_cond_signal(&submission->done);
	g_mutex_unlock(&submission->lock);
}

/* Takes report and spool. */
static bool submit(struct queue *queue, struct queue_message *report, struct spool *spool,
	GError **error)
{
	struct submission submission = { 0 };
	g_mutex_init(&submission.lock);
	g_cond_init(&submission.done);
	queue_submit(queue, report, spool, on_submitted, &submission);
	g_mutex_lock(&submission.lock);
	while (!submission.is_done)
		g_cond_wait(&submission.done, &submission.lock);
	g_mutex_unlock(&submission.lock);
	g_cond_clear(&submission.done);
	g_mutex_clear(&submission.lock);
	if (!submission.error)
		return true;
	g_propagate_error(error, submission.error);
	return false;
}

/* Fills spool with text. */
static bool write_spool(struct spool *spool, const GString *text, GError **error)
{
	for (size_t done = 0; done < text->len;) {
		done += spool_append(spool, text->str + done, text->len - done);
		if (done < text->len && !spool_flush(spool, error))
			return false;
	}
	return true;
}

static bool queue_report(const struct bouncing *bouncing,
	const struct queue_message *message, const enum bounce_action *actions, int fd,
	char id[MESSAGE_ID_BYTES], GError **error)
{
	struct queue *queue = bouncing->queue;
	struct queue_message *report = queue_message_new();
	g_strlcpy(id, report->id, MESSAGE_ID_BYTES);
	g_autoptr(GString) text = print(bouncing, message, actions, fd, report->id);
	struct spool *spool = spool_new(queue_spool_directory(queue), report->id);
	report->reverse_path = g_strdup(""); /* RFC 5321, 4.5.5: never answered */
	report->listener = g_strdup("bounce");
	report->client = g_strdup(message->client);
	report->body_8bit = !text_is_ascii(text->str, text->len);
	report->smtputf8 = message->smtputf8;
	queue_message_add_recipient(report, message->reverse_path, message->reverse_path);
	if (write_spool(spool, text, error))
		return submit(queue, report, spool, error);
	spool_free(&spool);
	queue_message_free(report);
	return false;
}

static void note_told(struct queue_recipient *recipient, enum bounce_action action)
{
	if (is_end(action))
		recipient->state = QUEUE_BOUNCED;
	else if (action == BOUNCE_DELAYED)
		recipient->told |= QUEUE_NOTIFY_DELAY;
	else if (action == BOUNCE_RELAYED)
		recipient->told |= QUEUE_NOTIFY_SUCCESS;
}

/* Where the report is of some only, the message's history says of whom. */
static void add_events(
	struct queue_message *message, const enum bounce_action *actions, const char *id)
{
	g_autofree char *text = g_strdup_printf("its sender was told so: %s", id);
	for (guint i = 0; i < message->recipients->len; i++) {
		if (is_end(actions[i]))
			queue_message_add_event(
				message, (int)i, QUEUE_BOUNCED, 0, text, NULL);
	}
}

/* Who was told is settled; id: of the report. */
static void settle(
	struct queue_message *message, const enum bounce_action *actions, const char *id)
{
	bool all_settled = true, all_told = true;
	for (guint i = 0; i < message->recipients->len; i++) {
		struct queue_recipient *recipient = message->recipients->pdata[i];
		note_told(recipient, actions[i]);
		all_told &= is_end(actions[i]);
		all_settled &= recipient->state == QUEUE_BOUNCED ||
			       recipient->state == QUEUE_SENT;
	}
	if (message->state == QUEUE_DEAD && all_settled)
		message->state = QUEUE_BOUNCED;
	if (!all_told)
		add_events(message, actions, id);
}

/* The reply to the first that was refused; else why the message has failed. */
static char *reason_of(
	const struct queue_message *message, const enum bounce_action *actions)
{
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *r = message->recipients->pdata[i];
		if (actions[i] == BOUNCE_FAILED && r->state == QUEUE_DEAD &&
			r->reply_code)
			return g_strdup_printf("<%s>: %d %s", r->forward_path,
				r->reply_code, r->reply ? r->reply : "");
	}
	return g_strdup(message->reason);
}

/* To one who may be told, and has something to hear. fd: the message's spool, -1: the
 * report goes without it. */
static bool tell(const struct bouncing *bouncing, struct queue_message *message,
	const enum bounce_action *actions, int fd, GError **error)
{
	char id[MESSAGE_ID_BYTES];
	if (would_loop(bouncing->conf, message, fd))
		return true;
	if (!queue_report(bouncing, message, actions, fd, id, error))
		return false;
	g_autofree char *reason = reason_of(message, actions);
	settle(message, actions, id);
	log_info("bounce.queued", LOG_TEXT("id", message->id), LOG_TEXT("bounce_id", id),
		LOG_TEXT("recipient", message->reverse_path), LOG_TEXT("reason", reason));
	return true;
}

bool bouncing_report(
	const struct bouncing *bouncing, struct queue_message *message, GError **error)
{
	g_autofree enum bounce_action *actions =
		g_new0(enum bounce_action, message->recipients->len + 1);
	if (!bouncing->conf->queue.bounces || !bounce_is_possible(message) ||
		!choose_actions(bouncing, message, actions))
		return true;
	int fd = queue_open_spool(bouncing->queue, message, NULL);
	bool told = tell(bouncing, message, actions, fd, error);
	if (fd >= 0)
		close(fd);
	return told;
}
