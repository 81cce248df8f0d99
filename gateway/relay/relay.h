/*
 * relay - hands a message to the next hop: SES's SMTP interface, or a Maildir.
 *
 * Keeps a pool of connections (libetpan over an own OpenSSL mailstream_low driver).
 *
 * Owner:   the route, which all deliveries share.
 * Threads: any; relay_send() blocks its caller, within the time limits.
 */
#ifndef GATEWAY_RELAY_RELAY_H
#define GATEWAY_RELAY_RELAY_H

#include "conf/conf.h"
#include "gateway/admin/metrics.h"
#include "gateway/queue/queue.h"
#include "mime/splice.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct relay;
struct allowances;

/* What a relay learns of its pace and is to know after a restart. Threads: any. */
struct relay_memory {
	char *(*recall)(void *context, const char *name); /* g_free(); NULL: nothing */
	void (*remember)(void *context, const char *name, const char *text);
	void *context;
	/* By which relays of a reload go on with what those before them learnt
	 * (gateway/relay/allowance.h); NULL: each learns for itself */
	struct allowances *allowances;
};

/* settings and hostname (the EHLO name) are borrowed and must outlive it, and so must the
 * context of memory, which is copied and may be NULL. GATEWAY_ERROR_MEND: secrets not
 * readable, CA file not usable, Maildir not writable. Opens no connection. */
struct relay *relay_new(const struct conf_relay *settings, const char *hostname,
	struct metrics *metrics, const struct relay_memory *memory, GError **error);
/* When no relay_send() is under way. Closes idle connections with QUIT; clears
 * *relay, which may be NULL. */
void relay_free(struct relay **relay);

/* The gateway stops: a relay_send() that waits for a relay to be
 * reachable again gives up. */
void relay_hurry(struct relay *relay);

enum relay_verdict {
	RELAY_SENT,
	RELAY_DEFERRED,  /* 4xx, network, TLS, credentials: try again */
	RELAY_REFUSED,   /* 5xx about this message or recipient */
	RELAY_UNCERTAIN, /* the final dot may have been taken: no reply came */
	RELAY_HELD,      /* a person must mend what the relay complains of */
};

struct relay_recipient {
	const char *forward_path;   /* in: no angle brackets */
	const char *notify, *orcpt; /* in: of RFC 3461, as they go out; may be NULL */
	enum relay_verdict verdict; /* out */
	int reply_code;             /* out: 0 when the peer did not answer */
	char *reply;                /* out: text with enhanced code, one line */
	enum queue_failure failure; /* out, of DEFERRED */
	char *hold;                 /* out, of HELD: see queue_message.hold */
	/* out, of DEFERRED and HELD: the relay itself cannot be used, or not for this
	 * message, so that another one may be tried; nothing was taken */
	bool unusable;
	bool of_message;    /* out, beside it: that is so of this message only */
	bool relaying;      /* within before_final_dot(): it is of that transaction */
	const char *advice; /* out, of HELD: what to do; constant, may be NULL */
	const char *relay;  /* out: name of the relay that gave the verdict; borrowed */
};

struct relay_message {
	const char *id;           /* the gateway's, for names and log */
	const char *reverse_path; /* "" is the null one */
	bool body_8bit;           /* the content has octets above 127 */
	bool smtputf8;            /* the client gave SMTPUTF8 (RFC 6531) */
	const char *ret, *envid;  /* of RFC 3461, as they go out; may be NULL */
	enum conf_priority priority;
	bool impatient; /* its client waits: it waits for no connection for long */
	const struct splice *content;
	int fd;                             /* of the splice's original */
	struct relay_recipient *recipients; /* caller's array */
	size_t n_recipients;
	/* Called right before a final dot is sent (again for each transaction when
	 * recipients are split); false with error: the transaction is given up, its
	 * recipients DEFERRED. */
	bool (*before_final_dot)(void *context, GError **error);
	/* Called after each transaction but the last, whose verdicts stand; or NULL. */
	void (*between)(void *context);
	void *context;
	char *relay_id; /* out, g_free(): of the last 250; NULL: none is recognised */
	bool takes_dsn; /* out: the relay was told of RFC 3461's parameters */
};

/*
 * Sends it, splitting over settings->max_recipients, recipients that are not yet
 * RELAY_SENT on entry only (set verdicts to DEFERRED first). Every outcome stands in the
 * recipients; there is no other error. Adds dot-stuffing, nothing else. A content over
 * max_message_size, or lines over 998 octets where the peer would refuse them, is REFUSED
 * with a reason before any connection.
 *
 * Addresses beyond ASCII go as they are where the relay offers SMTPUTF8, elsewhere with
 * their domain in A-labels; a local part beyond ASCII is then REFUSED (5.6.7). What RFC
 * 3461 defines goes only to a relay that offers DSN (its section 5.2).
 */
void relay_send(struct relay *relay, struct relay_message *message);

/*
 * Whether it is worth preparing a message for it. False where it is known that it
 * cannot be used: verdict (DEFERRED or HELD) and what belongs to it stand in *why,
 * whose strings are the caller's (relay_recipient_clear()). Of the callers while it is
 * not reachable one at a time tries that, which blocks as connecting does; patient: it
 * waits for the time of that where it is near. asked_ms: when a person asked for it to
 * be sent (Unix time; 0: nobody did); then what failed before counts no more. The quota
 * is that of mail of priority.
 */
bool relay_is_usable(struct relay *relay, enum conf_priority priority, bool patient,
	int64_t asked_ms, struct relay_recipient *why);

/* The settings' name of it; as long as the relay. */
const char *relay_name(const struct relay *relay);

/* Whether a header beyond ASCII had better be said in encoded-words: the relay is SES, or
 * the client gave SMTPUTF8 and the relay does not offer it, which may take a connection
 * to find out. Blocks as relay_send() does. */
bool relay_wants_ascii(struct relay *relay, bool smtputf8);

/* Frees the out strings. */
void relay_recipient_clear(struct relay_recipient *recipient);

/* SES's SMTP password of an IAM secret access key for a region; g_free() after wiping. */
char *ses_smtp_password(const char *secret_access_key, const char *region);

/* Whether text has the form of a region's name. */
bool ses_is_region(const char *text);

/* "email-smtp.eu-west-1.amazonaws.com" gives "eu-west-1" (g_free), other hosts NULL. */
char *ses_region_of_host(const char *host);

#endif
