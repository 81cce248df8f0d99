/* Writes a small mail with links and stores it in the queue from beside the gateway: file
 * first, then the row. Leaves relaying to the gateway. */
#include "gateway/queue/links_send.h"

#include "gateway/error.h"
#include "gateway/queue/queue_text.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_CHARACTERS 76 /* of base64; RFC 2045, section 6.8 */

static char *utc(int64_t unix_s, const char *format)
{
	g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(unix_s);
	return time ? g_date_time_format(time, format) : g_strdup("?");
}

void links_send_add(
	GString *text, const struct queue_attachment *attachment, const char *url)
{
	g_autofree char *name = queue_text_visible(
		attachment->file_name ? attachment->file_name : "a file without a name");
	g_autofree char *size =
		g_format_size_full(attachment->size, G_FORMAT_SIZE_IEC_UNITS);
	g_autofree char *until = utc(attachment->expires_at_s, "%Y-%m-%d %H:%M UTC");
	g_string_append_printf(
		text, "%s (%s), until %s:\r\n%s\r\n\r\n", name, size, until, url);
}

/* --- the mail --- */

/* Links may be longer than a line of a mail. */
static void append_base64(GString *out, const char *text)
{
	g_autofree char *encoded = g_base64_encode((const guchar *)text, strlen(text));
	for (const char *p = encoded; *p;) {
		size_t n = strnlen(p, LINE_CHARACTERS);
		g_string_append_len(out, p, (gssize)n);
		g_string_append(out, "\r\n");
		p += n;
	}
}

static const char *author(
	const struct visit *visit, const struct queue_message *original, char **made)
{
	if (visit->conf->sender.from)
		return visit->conf->sender.from;
	if (*original->reverse_path)
		return original->reverse_path;
	*made = g_strconcat("postmaster@", visit->conf->hostname, NULL);
	return *made;
}

static GString *print(const struct visit *visit, const struct queue_message *original,
	const struct queue_message *mail, const char *text)
{
	g_autofree char *made = NULL;
	g_autofree char *from = queue_text_visible(author(visit, original, &made));
	g_autofree char *date = utc(visit->now_ms / 1000, "%a, %d %b %Y %H:%M:%S +0000");
	g_autofree char *day = utc(original->received_ms / 1000, "%Y-%m-%d %H:%M UTC");
	g_autofree char *sender = queue_text_visible(original->reverse_path);
	const struct queue_recipient *first = mail->recipients->pdata[0];
	g_autofree char *to = mail->recipients->len == 1
				      ? queue_text_visible(first->forward_path)
				      : g_strdup("undisclosed-recipients:;");
	g_autofree char *body =
		g_strdup_printf("The files of the message that came from %s on %s\r\n"
				"can be read under new links:\r\n\r\n%s",
			*sender ? sender : "an automatic sender", day, text);
	GString *out = g_string_new(NULL);
	g_string_printf(out,
		"From: <%s>\r\nTo: %s\r\nSubject: New links to your files\r\n"
		"Date: %s\r\nMessage-ID: <%s@%s>\r\nAuto-Submitted: auto-generated\r\n"
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
		"Content-Transfer-Encoding: base64\r\n\r\n",
		from, to, date, mail->id, visit->conf->hostname);
	append_base64(out, body);
	return out;
}

static void add_recipients(
	struct queue_message *mail, const struct queue_message *original, bool sent_only)
{
	for (guint i = 0; i < original->recipients->len; i++) {
		const struct queue_recipient *r = original->recipients->pdata[i];
		if (!sent_only || r->state == QUEUE_SENT)
			queue_message_add_recipient(
				mail, r->forward_path, r->forward_path);
	}
}

static struct queue_message *make_mail(const struct queue_message *original)
{
	struct queue_message *mail = queue_message_new();
	mail->listener = g_strdup("links");
	mail->client = g_strdup("");
	mail->reverse_path = g_strdup(original->reverse_path);
	mail->priority = original->priority;
	mail->smtputf8 = original->smtputf8;
	add_recipients(mail, original, true);
	if (mail->recipients->len == 0)
		add_recipients(mail, original, false);
	return mail;
}

/* --- into the queue --- */

static bool write_spool(struct spool *spool, const GString *text, GError **error)
{
	for (size_t done = 0; done < text->len;) {
		done += spool_append(spool, text->str + done, text->len - done);
		if (done < text->len && !spool_flush(spool, error))
			return false;
	}
	return spool_commit(spool, error);
}

/* What root makes must be the gateway's to read and to remove. */
static bool hand_to_gateway(const char *path, GError **error)
{
	g_autofree char *folder = g_path_get_dirname(path);
	g_autofree char *directory = g_path_get_dirname(folder);
	const char *const made[] = { directory, folder, path };
	struct stat owner = { 0 };
	bool ok = stat(directory, &owner) == 0;
	for (size_t i = 0; ok && i < G_N_ELEMENTS(made); i++) {
		int fd = open(made[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		ok = fd >= 0 &&
		     (geteuid() != 0 || fchown(fd, owner.st_uid, owner.st_gid) == 0) &&
		     fsync(fd) == 0;
		if (fd >= 0)
			close(fd);
	}
	if (!ok)
		g_set_error(error, GATEWAY_ERROR, gateway_error_of_errno(errno), "%s: %s",
			path, g_strerror(errno));
	return ok;
}

static bool insert(struct store *store, const struct queue_message *mail, GError **error)
{
	struct store_totals changes = { 0 };
	changes.messages[mail->state]++;
	bool ok = store_begin(store, error) && store_insert(store, mail, error) &&
		  store_add_totals(store, &changes, error) && store_commit(store, error);
	if (!ok)
		store_rollback(store);
	return ok;
}

bool links_send(const struct visit *visit, const struct queue_message *original,
	const char *text, char id[MESSAGE_ID_BYTES], GError **error)
{
	if (original->recipients->len == 0) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT,
			"has no recipients to send links to");
		return false;
	}
	struct queue_message *mail = make_mail(original);
	g_strlcpy(id, mail->id, MESSAGE_ID_BYTES);
	GString *content = print(visit, original, mail, text);
	g_autofree char *path = visit_spool_path(visit, mail->id);
	g_autofree char *directory =
		g_build_filename(visit->conf->queue.directory, "incoming", NULL);
	struct spool *spool = spool_new(directory, mail->id);
	mail->size = content->len;
	bool ok = write_spool(spool, content, error) && hand_to_gateway(path, error) &&
		  insert(visit->store, mail, error);
	if (ok)
		spool_free(&spool);
	else
		spool_discard(&spool);
	g_string_free(content, TRUE);
	queue_message_free(mail);
	return ok;
}
