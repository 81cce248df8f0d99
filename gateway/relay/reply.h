/*
 * reply - an SMTP reply, line by line, and what it means for the message.
 *
 * Pure. RFC 5321, section 4.2; RFC 2034 for the enhanced code. What counts as a matter
 * that a person can mend is a table of the texts that SES and common MTAs use: SES gives
 * few enhanced codes, and 554 for an unverified sender as for a broken message.
 */
#ifndef GATEWAY_RELAY_REPLY_H
#define GATEWAY_RELAY_REPLY_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

#define REPLY_TEXT_BYTES_MAX 8192 /* of all lines; what is beyond is dropped */

struct reply {
	int code; /* 200 to 599; 0: none yet */
	bool complete;
	GString *text; /* the lines without their code, joined by \n */
};

void reply_init(struct reply *reply);
void reply_clear(struct reply *reply);
void reply_deinit(struct reply *reply);

/*
 * Takes one line, with or without its line end. False: not a line of a reply, nothing
 * taken. Where lines differ in their code the last one's holds, as in other clients.
 */
bool reply_add_line(struct reply *reply, const char *line, size_t line_bytes);

/* The text in one line: valid UTF-8, no control characters, an enhanced code that each
 * line repeats given once. g_free(). */
char *reply_print(const struct reply *reply);

enum reply_kind {
	REPLY_DONE,     /* 2xx; 3xx where that is what was asked for */
	REPLY_RETRY,    /* passes by itself */
	REPLY_THROTTLE, /* passes by itself when the whole relay goes slower */
	REPLY_MEND,     /* passes once a person acted: retry, and tell the operator */
	REPLY_REFUSE,   /* will not work with this message or recipient */
};

/* Of an answer to MAIL, RCPT, DATA or the final dot. *advice (may be NULL) gets what to
 * do for REPLY_MEND, else NULL; constant text. */
enum reply_kind reply_classify(const struct reply *reply, const char **advice);

/*
 * What a person has to mend, in one to a few words that are the same for each message
 * that it keeps: "credentials", "sender", "access", "paused", "quota", "configuration
 * set", "recipients", "relaying", "network address", "hostname", "TLS". Where SES names
 * the identities that are not verified, "sender" with up to three of their domains:
 * "sender example.com, example.org". NULL: nothing (any kind but REPLY_MEND); g_free().
 */
char *reply_hold(const struct reply *reply);
/* The same of an answer given before any message, where "connection" stands for what no
 * rule knows. */
char *reply_hold_session(const struct reply *reply);

/* Of an answer given before any message: greeting, EHLO, STARTTLS, AUTH. It says nothing
 * about a message, so it never refuses one. */
enum reply_kind reply_classify_session(const struct reply *reply, const char **advice);

/* The peer's name for the message in its 250: SES "Ok ID", Postfix "queued as ID",
 * "id=ID". NULL if none is recognised; g_free(). */
char *reply_message_id(const struct reply *reply);

/* Why a connection or a transaction as a whole did not do. Zero-initialise. */
struct failure {
	enum reply_kind kind;
	int reply_code; /* 0: no reply */
	char *text;
	const char *advice; /* constant; may be NULL */
	char *hold;         /* of REPLY_MEND: reply_hold() of the reply; may be NULL */
};
/* Without a hold. */
void failure_set(struct failure *failure, enum reply_kind kind, int reply_code,
	const char *text, const char *advice);
/* Takes hold, which may be NULL; after failure_set(). */
void failure_set_hold(struct failure *failure, char *hold);
/* RETRY, or MEND for GATEWAY_ERROR_MEND. */
void failure_set_error(struct failure *failure, const GError *error);
void failure_clear(struct failure *failure);

#endif
