/*
 * reply - everything the front door says, in one table.
 *
 * Codes: RFC 5321 section 4.2, RFC 3207, RFC 4954; enhanced codes: RFC 3463 and the IANA
 * registry. By RFC 2034 the greeting, what answers EHLO and HELO, and 3xx carry none.
 */
#ifndef GATEWAY_SMTP_REPLY_H
#define GATEWAY_SMTP_REPLY_H

#include <glib.h>
#include <stdbool.h>

enum smtp_reply_id {
	REPLY_NONE, /* nothing is to be said, or not yet */
	/* 2xx, 3xx */
	REPLY_GREETING,
	REPLY_HELO_OK,
	REPLY_START_TLS,
	REPLY_AUTH_OK,
	REPLY_AUTH_CHALLENGE,
	REPLY_MAIL_OK,
	REPLY_RCPT_OK,
	REPLY_START_DATA,
	REPLY_CHUNK_OK,
	REPLY_QUEUED,
	REPLY_RELAYED, /* this and HOP_...: see hop.h */
	REPLY_OK,
	REPLY_CANNOT_VRFY,
	REPLY_HELP,
	REPLY_BYE,
	/* 421: the connection closes behind it */
	REPLY_SHUTDOWN,
	REPLY_TIMEOUT,
	REPLY_TOO_SLOW,
	REPLY_TOO_MANY_ERRORS,
	REPLY_TOO_MANY_AUTH_FAILURES,
	REPLY_TOO_MANY_CONNECTIONS,
	REPLY_TOO_MANY_FROM_CLIENT,
	REPLY_NOT_SMTP,
	REPLY_TLS_TOO_SOON,
	/* 4xx */
	REPLY_NO_ROOM,
	REPLY_TOO_MANY_RECIPIENTS,
	REPLY_LOCAL_ERROR,
	REPLY_CLIENT_TOO_FAST,
	REPLY_USER_TOO_FAST,
	REPLY_NO_REVERSE_DNS,
	REPLY_TLS_UNAVAILABLE,
	REPLY_AUTH_UNAVAILABLE,
	REPLY_HOP_DEFERRED,
	/* 5xx: the command */
	REPLY_UNKNOWN_COMMAND,
	REPLY_NOT_IMPLEMENTED,
	REPLY_LINE_TOO_LONG,
	REPLY_BARE_LINE_FEED,
	REPLY_BAD_CHARACTER,
	REPLY_NO_ARGUMENTS,
	REPLY_NEEDS_ARGUMENT,
	REPLY_HELO_SYNTAX,
	REPLY_MAIL_SYNTAX,
	REPLY_RCPT_SYNTAX,
	REPLY_NO_EHLO,
	REPLY_NO_MAIL,
	REPLY_NO_RECIPIENT,
	REPLY_IN_TRANSACTION,
	REPLY_TLS_ACTIVE,
	REPLY_TLS_NEEDED,
	/* 5xx: addresses and parameters */
	REPLY_SENDER_SYNTAX,
	REPLY_SENDER_TOO_LONG,
	REPLY_RECIPIENT_SYNTAX,
	REPLY_RECIPIENT_TOO_LONG,
	REPLY_NOT_ASCII,
	REPLY_PARAMETER_SYNTAX,
	REPLY_PARAMETER_DUPLICATE,
	REPLY_PARAMETER_UNKNOWN,
	REPLY_SIZE_SYNTAX,
	REPLY_BODY_SYNTAX,
	REPLY_AUTH_PARAMETER_SYNTAX,
	REPLY_TOO_BIG,
	REPLY_DSN_SYNTAX,
	REPLY_HEADER_TOO_BIG,
	REPLY_BDAT_SYNTAX,
	REPLY_BDAT_UNBOUNDED,
	REPLY_UTF8_NEEDED,
	/* 5xx: AUTH */
	REPLY_AUTH_NEEDED,
	REPLY_AUTH_DONE,
	REPLY_AUTH_NEEDS_TLS,
	REPLY_AUTH_MECHANISM,
	REPLY_AUTH_SYNTAX,
	REPLY_AUTH_TOO_LONG,
	REPLY_AUTH_CANCELLED,
	REPLY_AUTH_FAILED,
	/* 5xx: policy and content */
	REPLY_CLIENT_REFUSED,
	REPLY_CLIENT_UNKNOWN,
	REPLY_EARLY_TALKER,
	REPLY_BLOCK_LISTED,
	REPLY_CERTIFICATE_NEEDED,
	REPLY_SENDER_NOT_ALLOWED,
	REPLY_FROM_NOT_ALLOWED,
	REPLY_RECIPIENT_NOT_ALLOWED,
	REPLY_NO_RELAY,
	REPLY_NO_SUCH_RECIPIENT,
	REPLY_RECIPIENT_LOOP,
	REPLY_BARE_LINE_ENDS,
	REPLY_TOO_MANY_HOPS,
	/* 5xx: the next hop's */
	REPLY_HOP_550,
	REPLY_HOP_551,
	REPLY_HOP_552,
	REPLY_HOP_553,
	REPLY_HOP_554,
	REPLY_IDS,
};

struct smtp_reply {
	unsigned code;
	/* "" where RFC 2034 wants none; NULL: the detail begins with it */
	const char *enhanced;
	const char *text; /* "{}" stands for a detail: the host's name in refusals */
};

const struct smtp_reply *smtp_reply(enum smtp_reply_id id);

/* Its text without a detail, for the log. */
const char *smtp_reply_reason(enum smtp_reply_id id);

/* Whether another host said it: it counts for or against nobody here. */
bool smtp_reply_is_quoted(enum smtp_reply_id id);

/* Whether the connection closes behind it. */
bool smtp_reply_closes(enum smtp_reply_id id);

/* Appends one reply line. detail may be NULL; it must not hold CR or LF. */
void smtp_reply_append(GString *out, enum smtp_reply_id id, const char *detail);
/* The same without the enhanced code, on which a client may break. */
void smtp_reply_append_plain(GString *out, enum smtp_reply_id id, const char *detail);

#endif
