/*
 * session - one client's dialogue: bytes in, replies out, no socket and no clock. Pure.
 *
 * RFC 5321, 1870 (SIZE), 2034, 2920 (PIPELINING), 3030 (CHUNKING), 3207 (STARTTLS), 3461
 * (DSN), 4954 (AUTH), 6152 (8BITMIME), 6531 (SMTPUTF8), 9422 (LIMITS).
 *
 * Owner:   the connection; a test or a fuzzer can be that owner.
 * Threads: one at a time.
 * Memory:  one partial line (at most 12 KiB) and SMTP_OUTPUT_BYTES_MAX of replies not
 *          yet sent.
 */
#ifndef GATEWAY_SMTP_SESSION_H
#define GATEWAY_SMTP_SESSION_H

#include "conf/conf.h"
#include "gateway/queue/queue.h"
#include "gateway/smtp/quirk.h"
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
	bool smtputf8;
	enum queue_ret ret;
	const char *envid; /* xtext as given; NULL: none */
};

struct smtp_rcpt {
	const char *address; /* as smtp_path_parse() gives it */
	unsigned notify;     /* of enum queue_notify */
	const char *orcpt;   /* as given; NULL: none */
};

/* What holds for the client: the listener's at first, from AUTH on its account's. */
struct smtp_terms {
	enum conf_profile profile; /* never LISTENER */
	uint64_t max_message_size;
	unsigned max_recipients;
};

/* What the session asks of its owner. Strings are lent for the call. */
struct smtp_session_callbacks {
	/* Opens a transaction: REPLY_MAIL_OK, or why not. */
	enum smtp_reply_id (*mail)(void *context, const struct smtp_mail *mail);
	/* REPLY_RCPT_OK, or why not. */
	enum smtp_reply_id (*recipient)(void *context, const struct smtp_rcpt *rcpt);
	/* The transaction is over without a message. */
	void (*reset)(void *context);
	/* Opens the message, at DATA or the first BDAT: REPLY_START_DATA, or why not. */
	enum smtp_reply_id (*data_begin)(void *context);
	/* How many octets data_bytes() can take now: at least 6, or 0 to make the session
	 * wait. (Two of them may come later, with BDAT's LAST, unasked.) */
	size_t (*data_room)(void *context);
	void (*data_bytes)(void *context, const char *bytes, size_t n_bytes);
	/* The message will be refused: what came of it may go. No data_bytes() follows,
	 * but reset() does. */
	void (*data_drop)(void *context, enum smtp_reply_id why);
	/* The message is complete; answer with smtp_session_data_done(). from: the body
	 * of its From field, unfolded (of more than one such field: of all, with commas
	 * between); "": it has none, NULL: one too long to be kept. */
	void (*data_end)(void *context, bool has_8bit, const char *from);
	/* Verify; answer with smtp_session_auth_done(). password NULL: they would act for
	 * another than themselves, which nobody may. */
	void (*auth)(void *context, const char *user, const char *password);
	/* AUTH EXTERNAL: the client's certificate is to count. user "": as it names;
	 * otherwise only that. Answer as to auth. */
	void (*auth_external)(void *context, const char *user);
	/* Begin the handshake once the output is sent; answer with
	 * smtp_session_tls_started(). */
	void (*starttls)(void *context);
	/* A reply of 400 or above was given. command is what it answers, cut
	 * and without secrets ("": not to be shown); NULL: to none, or as
	 * one of the calls above said. */
	void (*refused)(void *context, enum smtp_reply_id id, const char *command);
	/* The client did something that is forgiven; may be told many times. */
	void (*quirk)(void *context, enum quirk quirk);
};

/* listener, hostname and callbacks are borrowed for the session's life. The client's own
 * terms are the listener's until smtp_session_set_terms(). */
struct smtp_session *smtp_session_new(const struct conf_listener *listener,
	const char *hostname, const struct smtp_session_callbacks *callbacks,
	void *context);
/* Calls nothing. */
void smtp_session_free(struct smtp_session **session);

/* Before the greeting: extensions of the listener's hide_extensions are hidden. */
void smtp_session_hide_extensions(struct smtp_session *session);

/* Says the greeting. tls: the connection is encrypted from its first byte (RFC 8314);
 * certified as for smtp_session_tls_started(). */
void smtp_session_greet(struct smtp_session *session, bool tls, bool certified);

/* What REPLY_BLOCK_LISTED names; borrowed for the session's life. */
void smtp_session_set_block_list(struct smtp_session *session, const char *name);

/* Takes input; returns how much. Less than n_bytes: it waits for its owner (input
 * stopped), for its output to be sent, for room, or it is closed. */
size_t smtp_session_feed(struct smtp_session *session, const char *bytes, size_t n_bytes);

/* Replies to be sent; the owner empties it. */
GString *smtp_session_output(struct smtp_session *session);

/* Send the output, then close. */
bool smtp_session_is_closed(const struct smtp_session *session);
/* Waits for one of the answers below. */
bool smtp_session_is_stopped(const struct smtp_session *session);
/* A message is open: from data_begin() to data_end() or its end without one. Between two
 * BDAT too, though what is awaited is a command then. */
bool smtp_session_in_data(const struct smtp_session *session);

/* What has come of a line ends with a bare LF, which ends nothing: who sends such lines
 * may be waiting for a reply. After a second of silence call smtp_session_stalled(),
 * which refuses the line. */
bool smtp_session_awaits_cr_lf(const struct smtp_session *session);
void smtp_session_stalled(struct smtp_session *session);

/* Answers. */
/* certified: the client's certificate names a user: it counts as authenticated (no AUTH
 * is needed), and EXTERNAL is offered. Terms are the listener's again. */
void smtp_session_tls_started(struct smtp_session *session, bool certified);
/* Before smtp_session_auth_done(REPLY_AUTH_OK), or after a certificate was taken. */
void smtp_session_set_terms(struct smtp_session *session, const struct smtp_terms *terms);
/* REPLY_AUTH_OK, REPLY_AUTH_FAILED, REPLY_AUTH_UNAVAILABLE or
 * REPLY_TOO_MANY_AUTH_FAILURES. */
void smtp_session_auth_done(struct smtp_session *session, enum smtp_reply_id id);
unsigned smtp_session_auth_failures(const struct smtp_session *session);
/* REPLY_QUEUED (detail is the ID), REPLY_RELAYED, or why not; detail of what the next hop
 * says as hop_reply() gives it. Ends the transaction. */
void smtp_session_data_done(
	struct smtp_session *session, enum smtp_reply_id id, const char *detail);
/* Storage failed during the data: the rest is read and dropped, then id is said. */
void smtp_session_data_failed(struct smtp_session *session, enum smtp_reply_id id);

/* Says id (a 421, or a 5xx that ends the session) at once and closes. */
void smtp_session_end(struct smtp_session *session, enum smtp_reply_id id);
/* Ends with 421 4.3.2: now, or after the message at hand. */
void smtp_session_drain(struct smtp_session *session);

const char *smtp_session_helo(
	const struct smtp_session *session); /* printable; may be NULL */
bool smtp_session_is_esmtp(const struct smtp_session *session);
/* Whether the transaction is one of SMTPUTF8 (RFC 6531, for Received). */
bool smtp_session_is_utf8(const struct smtp_session *session);

#endif
