/*
 * session_private - what the files of the session share: session.c (life, lines, the
 * table of verbs), session_hello.c (HELO, EHLO, STARTTLS), session_auth.c,
 * session_mail.c (MAIL, RCPT), session_data.c (DATA, BDAT).
 */
#ifndef GATEWAY_SMTP_SESSION_PRIVATE_H
#define GATEWAY_SMTP_SESSION_PRIVATE_H

#include "gateway/smtp/auth.h"
#include "gateway/smtp/data.h"
#include "gateway/smtp/received.h"
#include "gateway/smtp/session.h"
#include "gateway/smtp/slice.h"

enum smtp_state {
	STARTED = 1,
	GREETED = 2,
	MAIL_GIVEN = 4,
	RCPT_GIVEN = 8,
	CHUNK_GIVEN = 16,   /* between the BDAT of one message */
	CHUNK_REFUSED = 32, /* one of them failed: the others are dropped */
	IN_TRANSACTION = MAIL_GIVEN | RCPT_GIVEN | CHUNK_GIVEN | CHUNK_REFUSED,
	ANY_STATE = STARTED | GREETED | IN_TRANSACTION,
};

/* What exists while a message is taken in. */
struct body {
	struct smtp_data decoder;
	struct smtp_trace trace;
	uint64_t bytes;
	bool has_8bit;
	enum smtp_reply_id refusal;
};

struct smtp_session {
	const struct conf_listener *listener;
	const char *hostname, *block_list;
	const struct smtp_session_callbacks *callbacks;
	void *context;
	struct smtp_terms terms;
	enum smtp_state state;
	bool tls, certified, authenticated, esmtp, utf8;
	bool stopped, closed, draining, hides;
	unsigned errors, idle_commands, auth_failures, recipients, recipients_over;
	struct slice command; /* at hand; start NULL: none, or the owner knows all */
	const struct smtp_verb *verb; /* its verb; NULL: none, or not known */
	GString *line, *output;
	size_t line_bytes;   /* of the partial line, of which line holds the beginning */
	bool line_is_broken; /* a bare LF was in it */
	bool line_ends_cr, line_ends_lf;
	char *helo;
	struct smtp_auth auth;
	struct body *body;
	uint64_t chunk_bytes, chunk_left; /* of the BDAT at hand; those still to come */
	bool chunk_is_last;
	const struct smtp_verb *chunk_verb; /* NULL: the owner knows of the refusal */
	enum smtp_reply_id chunk_refusal;   /* of the chunk at hand, or of those before */
};

/* Verbs. args have no blanks round them. */
enum smtp_reply_id session_on_helo(struct smtp_session *s, struct slice args);
enum smtp_reply_id session_on_ehlo(struct smtp_session *s, struct slice args);
enum smtp_reply_id session_on_starttls(struct smtp_session *s, struct slice args);
enum smtp_reply_id session_on_auth(struct smtp_session *s, struct slice args);
enum smtp_reply_id session_on_mail(struct smtp_session *s, struct slice args);
enum smtp_reply_id session_on_rcpt(struct smtp_session *s, struct slice args);
enum smtp_reply_id session_on_data(struct smtp_session *s, struct slice args);
enum smtp_reply_id session_on_bdat(struct smtp_session *s, struct slice args);
enum smtp_reply_id session_on_vrfy(struct smtp_session *s, struct slice args);

/* A line of the exchange behind AUTH. */
void session_run_auth_line(struct smtp_session *s, struct slice line, bool too_long);

/* A BDAT that is refused with id: its octets come all the same, and the reply follows
 * them. */
enum smtp_reply_id session_refuse_bdat(
	struct smtp_session *s, struct slice args, enum smtp_reply_id id);
/* Whether octets of DATA or BDAT come next, and takes them: how many. */
bool session_awaits_octets(const struct smtp_session *s);
size_t session_take_octets(struct smtp_session *s, const char *bytes, size_t n_bytes);
void session_refuse_body(struct smtp_session *s, enum smtp_reply_id id);
void session_free_body(struct smtp_session *s);

/* Whether clients are to know and use it: name as in EHLO's reply. */
bool session_offers(const struct smtp_session *s, const char *extension);
/* Whether it is kept from this client. */
bool session_hides(const struct smtp_session *s, const char *extension);

/* A reply, counted and told. */
void session_say(struct smtp_session *s, enum smtp_reply_id id, const char *detail);
/* A reply to a command, with what its text wants to know. */
void session_answer(struct smtp_session *s, enum smtp_reply_id id);
/* A reply that was given before: no new error of the client. */
void session_answer_again(struct smtp_session *s, enum smtp_reply_id id);

void session_end_transaction(struct smtp_session *s);
void session_close_if_drained(struct smtp_session *s);
/* One more command that brings no mail nearer. True: it is one too many. */
bool session_is_idle_flood(struct smtp_session *s);
/* The owner has refused the command, and has said so where it says such things. */
void session_forget_command(struct smtp_session *s);

static inline bool session_is_legacy(const struct smtp_session *s)
{
	return s->terms.profile == CONF_PROFILE_LEGACY;
}

static inline void session_tell_quirk(const struct smtp_session *s, enum quirk quirk)
{
	s->callbacks->quirk(s->context, quirk);
}

#endif
