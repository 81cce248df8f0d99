/*
 * session - one client's dialogue: bytes in, replies out, no socket and no clock. Pure.
 *
 * RFC 5321, 1870 (SIZE), 2034, 2920 (PIPELINING), 3207 (STARTTLS), 4954 (AUTH), 6152
 * (8BITMIME), 9422 (LIMITS).
 *
 * Owner:   the connection; a test or a fuzzer can be that owner.
 * Threads: one at a time.
 * Memory:  one partial line (at most 12 KiB) and SMTP_OUTPUT_BYTES_MAX of replies not
 *          yet sent.
 */
#ifndef GATEWAY_SMTP_SESSION_H
#define GATEWAY_SMTP_SESSION_H

#include "conf/conf.h"
#include "gateway/smtp/reply.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* No input is taken while this much waits to be sent. */
#define SMTP_OUTPUT_BYTES_MAX 8192

struct smtp_session;

struct smtp_mail {
	const char *reverse_path; /* "" is the null reverse-path */
	uint64_t size;            /* as declared, 0: not */
	bool body_8bit;           /* BODY=8BITMIME */
};

/* What the session asks of its owner. Strings are lent for the call. */
struct smtp_session_callbacks {
	/* Opens a transaction: REPLY_MAIL_OK, or why not. */
	enum smtp_reply_id (*mail)(void *context, const struct smtp_mail *mail);
	/* REPLY_RCPT_OK, or why not. address as smtp_path_parse() gives it. */
	enum smtp_reply_id (*recipient)(void *context, const char *address);
	/* The transaction is over without a message. */
	void (*reset)(void *context);
	/* Opens the message: REPLY_START_DATA, or why not. */
	enum smtp_reply_id (*data_begin)(void *context);
	/* How many octets data_bytes() can take now. */
	size_t (*data_room)(void *context);
	void (*data_bytes)(void *context, const char *bytes, size_t n_bytes);
	/* The message will be refused: what came of it may go. More calls may follow. */
	void (*data_drop)(void *context, enum smtp_reply_id why);
	/* The message is complete; answer with smtp_session_data_done(). */
	void (*data_end)(void *context, bool has_8bit);
	/* Verify; answer with smtp_session_auth_done(). password NULL: they would act for
	 * another than themselves, which nobody may. */
	void (*auth)(void *context, const char *user, const char *password);
	/* Begin the handshake once the output is sent; answer with
	 * smtp_session_tls_started(). */
	void (*starttls)(void *context);
	/* A reply of 400 or above was given. command is what it answers, cut and without
	 * secrets ("": not to be shown); NULL: to none, or as one of the calls above said. */
	void (*refused)(void *context, enum smtp_reply_id id, const char *command);
};

/* listener, hostname and callbacks are borrowed for the session's life. */
struct smtp_session *smtp_session_new(const struct conf_listener *listener,
	const char *hostname, const struct smtp_session_callbacks *callbacks,
	void *context);
/* Calls nothing. */
void smtp_session_free(struct smtp_session **session);

/* Says the greeting. tls: the connection is encrypted from its first byte (RFC 8314). */
void smtp_session_greet(struct smtp_session *session, bool tls);

/* Takes input; returns how much. Less than n_bytes: it waits for its owner (input
 * stopped), for its output to be sent, for room, or it is closed. */
size_t smtp_session_feed(struct smtp_session *session, const char *bytes, size_t n_bytes);

/* Replies to be sent; the owner empties it. */
GString *smtp_session_output(struct smtp_session *session);

/* Send the output, then close. */
bool smtp_session_is_closed(const struct smtp_session *session);
/* Waits for one of the answers below. */
bool smtp_session_is_stopped(const struct smtp_session *session);
bool smtp_session_in_data(const struct smtp_session *session);

/* What has come of a line ends with a bare LF, which ends nothing: who sends such lines
 * may be waiting for a reply. After a second of silence call smtp_session_stalled(),
 * which refuses the line. */
bool smtp_session_awaits_cr_lf(const struct smtp_session *session);
void smtp_session_stalled(struct smtp_session *session);

/* Answers. */
void smtp_session_tls_started(struct smtp_session *session);
/* REPLY_AUTH_OK, REPLY_AUTH_FAILED or REPLY_AUTH_UNAVAILABLE. */
void smtp_session_auth_done(struct smtp_session *session, enum smtp_reply_id id);
unsigned smtp_session_auth_failures(const struct smtp_session *session);
/* REPLY_QUEUED (detail is the ID) or why not. Ends the transaction. */
void smtp_session_data_done(
	struct smtp_session *session, enum smtp_reply_id id, const char *detail);
/* Storage failed during the data: the rest is read and dropped, then id is said. */
void smtp_session_data_failed(struct smtp_session *session, enum smtp_reply_id id);

/* Says a 421 at once and closes. */
void smtp_session_end(struct smtp_session *session, enum smtp_reply_id id);
/* Ends with 421 4.3.2: now, or after the message at hand. */
void smtp_session_drain(struct smtp_session *session);

const char *smtp_session_helo(
	const struct smtp_session *session); /* printable; may be NULL */
bool smtp_session_is_esmtp(const struct smtp_session *session);

#endif
