/* What goes out: the links in the text and the header made fit for one relay. */
#include "gateway/delivery/job_private.h"

#include "gateway/delivery/preflight.h"
#include "gateway/delivery/preflight_text.h"
#include "gateway/error.h"
#include "gateway/log.h"
#include "gateway/queue/spool.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define HEADER_BYTES_FIRST 16384

static bool has_empty_line(const uint8_t *octets, size_t n)
{
	return memmem(octets, n, "\n\r\n", 3) || memmem(octets, n, "\n\n", 2);
}

static ssize_t read_original(const struct job *job, uint8_t *to, size_t n, size_t offset)
{
	if (!job->message->octets)
		return pread(job->fd, to, n, (off_t)offset);
	memcpy(to, job->message->octets + offset, n);
	return (ssize_t)n;
}

/* Reads at least the octets up to the empty line that ends the header block. */
static GByteArray *read_header(const struct job *job, GError **error)
{
	const uint64_t message_bytes = job->message->size;
	g_autoptr(GByteArray) header = g_byte_array_new();
	size_t wanted = HEADER_BYTES_FIRST;
	for (;;) {
		wanted = (size_t)MIN((uint64_t)wanted, message_bytes);
		size_t have = header->len;
		g_byte_array_set_size(header, (guint)wanted);
		ssize_t n = read_original(job, header->data + have, wanted - have, have);
		if (n < 0 || (size_t)n < wanted - have) {
			g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
				"cannot read the spooled message: %s",
				n < 0 ? g_strerror(errno) : "it is shorter than it was");
			return NULL;
		}
		if (wanted == message_bytes || has_empty_line(header->data, wanted))
			return g_steal_pointer(&header);
		if (wanted >= SPOOL_HEADER_BYTES_MAX) {
			g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT,
				"the header block is over %d octets",
				SPOOL_HEADER_BYTES_MAX);
			return NULL;
		}
		wanted *= 4;
	}
}

/* Into the queue's record: what was stored, and until when its links are good. */
static void record_links(struct job *job)
{
	GPtrArray *stored = job->message->attachments;
	for (guint i = 0; i < stored->len; i++) {
		struct queue_attachment *attachment = g_ptr_array_index(stored, i);
		attachment->expires_at_s = stowing_expires_at_s(job->stowing, i);
	}
	queue_record_attachments(job->queue, job->message);
	job->unrecorded = false;
}

/* In front of a message whose text cannot be changed: what would stand in that. */
static void say_in_header(struct job *job)
{
	g_autofree char *field =
		g_strdup_printf("X-Stowage-Notice: the text names no recipients to whom "
				"it can be sent:\r\n %s\r\n",
			job->unnamed);
	splice_replace(job->content.splice, 0, 0, field, strlen(field));
}

static bool write_links(struct job *job, bool *linked, GError **error)
{
	g_autofree char *why = NULL;
	job->content.splice = stowing_link(job->stowing, job->rewriter, job->route->store,
		g_get_real_time() / G_USEC_PER_SEC, job->message->size, linked, &why,
		error);
	if (!job->content.splice)
		return false;
	if (why && !job->explained)
		log_warning("message.untouched", LOG_TEXT("id", job->message->id),
			LOG_TEXT("reason", why));
	job->explained = true;
	if (job->unnamed && !*linked)
		say_in_header(job);
	if (stowing_attachments(job->stowing) > 0 && !job->links_noted)
		record_links(job);
	job->links_noted = true;
	return true;
}

/* SES refuses long lines and headers of parts that it cannot read, and may refuse what is
 * binary. */
static bool mend_parts(struct job *job, bool *shortened, GError **error)
{
	*shortened = false;
	if (!conf_relay_is_ses(job->content.relay))
		return true;
	if (!rewriter_shorten_lines(
		    job->rewriter, job->content.splice, shortened, error) ||
		!rewriter_mend_fields(
			job->rewriter, job->content.splice, preflight_part_field, error))
		return false;
	if (*shortened)
		log_info("message.lines_shortened", LOG_TEXT("id", job->message->id));
	return true;
}

static const char *const *listener_tags(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->n_listeners; i++) {
		if (!g_strcmp0(conf->listeners[i].name, name))
			return conf->listeners[i].tags;
	}
	return NULL;
}

static const char *const *account_tags(const struct conf *conf, const char *user)
{
	const struct conf_account *account = user ? conf_account_find(conf, user) : NULL;
	return account ? account->tags : NULL;
}

/* Whether the header, as far as it was read, has to be said in ASCII. */
static bool wants_ascii(
	const struct job *job, const struct conf_relay *relay, const GByteArray *header)
{
	return job->message->body_8bit &&
	       !text_is_ascii((const char *)header->data, header->len) &&
	       relay_wants_ascii(relays_find(job->route->relays, relay->name),
		       job->message->smtputf8);
}

static bool edit_header(struct job *job, bool linked, bool shortened, GError **error)
{
	struct content *content = &job->content;
	const struct conf *conf = job->route->conf;
	const struct queue_message *message = job->message;
	g_autoptr(GByteArray) header = read_header(job, error);
	if (!header)
		return false;
	const struct preflight preflight = {
		.sender = &conf->sender,
		.route_ses = content->route ? &content->route->ses : NULL,
		.relay_ses = &content->relay->ses,
		.account_tags = account_tags(conf, message->user),
		.listener_tags = listener_tags(conf, message->listener),
		.is_ses = conf_relay_is_ses(content->relay),
		.preserve_sender = content->route && content->route->preserve_sender,
		.hostname = conf->hostname,
		.id = message->id,
		.reverse_path = message->reverse_path,
		.received_s = message->received_ms / 1000,
		.body_changed = linked,
		.is_8bit = message->body_8bit || shortened,
		.wants_ascii = wants_ascii(job, content->relay, header),
	};
	content->reverse_path = preflight_reverse_path(&preflight);
	return preflight_edit(&preflight, (const char *)header->data, header->len,
		content->splice, error);
}

bool content_prepare(struct job *job, const struct conf_route *route,
	const struct conf_relay *relay, GError **error)
{
	struct content *content = &job->content;
	bool linked = false, shortened = false;
	if (content->relay == relay && content->route == route)
		return true;
	content_clear(content);
	content->route = route;
	content->relay = relay;
	if (write_links(job, &linked, error) && mend_parts(job, &shortened, error) &&
		edit_header(job, linked, shortened, error))
		return true;
	content_clear(content);
	return false;
}

void content_clear(struct content *content)
{
	splice_free(&content->splice);
	g_free(content->reverse_path);
	*content = (struct content){ 0 };
}
