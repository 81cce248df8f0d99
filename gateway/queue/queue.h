/*
 * queue - every accepted message, from 250 until it is sent, bounced or dead, and the
 * record of it afterwards: spool files and one SQLite database (WAL, synchronous=FULL).
 *
 * One writer thread commits; what arrives together shares the syncs (group commit).
 * Threads: every call may be made from any thread unless said otherwise.
 * A second process cannot open the same queue with queue_new() (flock); the command line
 * reads and retries on a connection of its own beside a running gateway, which notices
 * within a second.
 */
#ifndef GATEWAY_QUEUE_QUEUE_H
#define GATEWAY_QUEUE_QUEUE_H

#include "conf/conf.h"
#include "gateway/queue/spool.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* A ULID in lower case: 48 bits of Unix time in ms, 80 random
 * bits, Crockford's base32. */
#define MESSAGE_ID_BYTES 27 /* with the NUL */
void message_id_new(char id[MESSAGE_ID_BYTES]);
/* Whether text has the form of an ID (what may become a file name). */
bool message_id_is_valid(const char *text);

/* Stored as words; the order of the enum is not stored. */
enum queue_state {
	QUEUE_RECEIVED,  /* accepted, not tried yet */
	QUEUE_REWRITING, /* a delivery reads it */
	QUEUE_UPLOADING, /* a delivery stores its attachments */
	QUEUE_DEFERRED,  /* tried, to be tried again at next_attempt_ms */
	QUEUE_RELAYING,  /* journalled before the final dot went to the relay */
	/* final dot sent, no reply seen: may be relayed twice when retried */
	QUEUE_UNCERTAIN,
	/* Waits for a person: one who held it, or one who can mend what
	 * keeps it (hold) */
	QUEUE_HELD,
	QUEUE_SENT,    /* the relay took it for every recipient */
	QUEUE_BOUNCED, /* its sender was told that it failed */
	QUEUE_DEAD,    /* will not be tried by itself any more; kept, visible */
	QUEUE_STATES,
};
const char *queue_state_name(enum queue_state state);
bool queue_state_parse(const char *name, enum queue_state *state);
/* SENT, BOUNCED or DEAD. */
bool queue_state_is_final(enum queue_state state);

/* NOTIFY of RFC 3461, section 4.1. DEFAULT: not given, which means FAILURE (and DELAY, as
 * a server likes). NEVER stands alone. */
enum queue_notify {
	QUEUE_NOTIFY_DEFAULT = 0,
	QUEUE_NOTIFY_NEVER = 1,
	QUEUE_NOTIFY_SUCCESS = 2,
	QUEUE_NOTIFY_FAILURE = 4,
	QUEUE_NOTIFY_DELAY = 8,
};
/* NOTIFY's value for it ("SUCCESS,FAILURE"), as stored; NULL for DEFAULT. */
const char *queue_notify_name(unsigned notify);
/* Of such a name; DEFAULT for NULL and any other text. */
unsigned queue_notify_parse(const char *name);

/* RET of RFC 3461, section 4.3. */
enum queue_ret { QUEUE_RET_DEFAULT, QUEUE_RET_FULL, QUEUE_RET_HDRS };
/* "FULL", "HDRS"; NULL for DEFAULT. */
const char *queue_ret_name(enum queue_ret ret);
enum queue_ret queue_ret_parse(const char *name);

/* What failed, which decides how soon is tried again. */
enum queue_failure {
	QUEUE_FAILURE_MESSAGE,  /* of this message: greylisting, a full mailbox */
	QUEUE_FAILURE_UPSTREAM, /* the relay or the store does not answer */
	QUEUE_FAILURE_THROTTLE, /* there is too much at once */
};

/* One change of a message or of one of its recipients; never changed once recorded. */
struct queue_event {
	int64_t at_ms; /* Unix time */
	enum queue_state state;
	int recipient;  /* its index; -1: the message */
	int reply_code; /* of the counterpart; 0: none */
	char *text;     /* the reply, or the reason; may be NULL */
	char *peer;     /* the counterpart: a relay's or the store's name; may be NULL */
};
#define QUEUE_EVENTS_MAX 1000 /* kept of one message: the first ones and the last */

struct queue_recipient {
	char *original;     /* as given in RCPT */
	char *forward_path; /* where it goes after the listener's map */
	unsigned notify;    /* of enum queue_notify */
	char *orcpt;        /* ORCPT, "rfc822;" and xtext as given; may be NULL */
	enum queue_state state;
	int reply_code; /* the relay's last, 0: none */
	char *reply;    /* text; may be NULL */
	/* SUCCESS, DELAY: what its sender was told already, or is by the relay */
	unsigned told;
};

struct queue_attachment {
	size_t number; /* the MIME part's */
	char *key;
	char *file_name;
	char *media_type;
	uint64_t size;
	char sha256[65];      /* hex */
	int64_t expires_at_s; /* of the link last made */
	int64_t revoked_at_s; /* the object was deleted by a person; 0: it was not */
};

/* One message's envelope and fate. Owned by whoever holds it; strings by it. */
struct queue_message {
	char id[MESSAGE_ID_BYTES];
	uint8_t seed[16]; /* random: keys of its attachments derive from it */
	enum queue_state state;
	unsigned attempts;
	int64_t received_ms; /* Unix time */
	int64_t next_attempt_ms;
	int64_t finished_ms; /* 0: not finished */
	int64_t retried_ms;  /* when a person last asked for a retry, 0: never */
	uint64_t size;       /* octets in the spool file */
	char *octets;        /* these, of spool_share(); NULL: no longer in memory */
	bool body_8bit;      /* it has octets above 127 */
	bool smtputf8;       /* SMTPUTF8 was given */
	bool may_bounce;     /* its sender was authenticated, or of a trusted network */
	enum queue_ret ret;
	char *envid;    /* ENVID, xtext as given; may be NULL */
	bool uncertain; /* was uncertain at least once: possibly sent twice */
	/* While HELD: what a person has to mend, one text for all that wait for the same
	 * thing ("relay default: credentials"); NULL: a person holds it */
	char *hold;
	enum conf_priority priority;
	char *listener;
	char *client;          /* numeric address */
	char *helo;            /* may be NULL */
	char *user;            /* authenticated as; may be NULL */
	char *reverse_path;    /* "" is the null reverse-path */
	char *reason;          /* of the last change, for people; may be NULL */
	char *relay_id;        /* the relay's id of it, from its 250; may be NULL */
	GPtrArray *recipients; /* of struct queue_recipient */
	/* since it was taken: addresses too are to be recorded */
	bool recipients_changed;
	GPtrArray *attachments; /* of struct queue_attachment; empty until uploaded */
	/* of struct queue_event: those not recorded yet; after store_load_events() all */
	GPtrArray *events;
	/* The queue's own: where it is in flight, or that it is one of queue_pass() */
	struct flight *flight;
	struct transit *transit;
};

/* A message with random id and seed, received now, and empty arrays
 * that own their elements. */
struct queue_message *queue_message_new(void);
/* The same, but id, seed and times are its caller's to fill in. */
struct queue_message *queue_message_blank(void);
void queue_message_free(struct queue_message *message); /* NULL is taken */
struct queue_recipient *queue_message_add_recipient(
	struct queue_message *message, const char *original, const char *forward_path);
struct queue_attachment *queue_message_add_attachment(struct queue_message *message);
/* Adds an event of now, to be recorded with the message's next record;
 * texts are copied. */
void queue_message_add_event(struct queue_message *message, int recipient,
	enum queue_state state, int reply_code, const char *text, const char *peer);

struct queue;

/*
 * Opens or makes the queue in settings->directory (mode 0700), takes its lock, checks the
 * database. In the background, where it takes long: removes orphans (spool files without
 * a row), turns what was RELAYING at a crash into UNCERTAIN, due for retry.
 * GATEWAY_ERROR_MEND: another gateway runs on it, not readable, not writable, corrupt, of
 * a newer version; GATEWAY_ERROR_FULL: no room for its record. settings is copied.
 */
struct queue *queue_new(const struct conf_queue *settings, GError **error);

/* The directory for spool_new() and temporary files. */
const char *queue_spool_directory(const struct queue *queue);

/*
 * Whether there is room for a message of about size octets: disk and inode floors,
 * ceiling of messages. False with GATEWAY_ERROR_RETRY: answer 452 4.3.1. Cheap: for the
 * front loop.
 */
bool queue_has_room(struct queue *queue, uint64_t size, GError **error);
/* For whoever chooses between gateways: false, with error, too where the last messages
 * could not be written, until that is possible again. Their clients were told so: a MAIL
 * is no reason to ask this. */
bool queue_is_ready(struct queue *queue, GError **error);

/*
 * Makes message durable: spool file, directory, row. Takes both. done is
 * called once, on the writer thread: error NULL means 250 may be said, and the
 * message is due for delivery. GATEWAY_ERROR_FULL: the disk has no room (452);
 * GATEWAY_ERROR_RETRY: another fault (451).
 */
typedef void (*queue_submitted)(void *context, const char *id, const GError *error);
void queue_submit(struct queue *queue, struct queue_message *message, struct spool *spool,
	queue_submitted done, void *context);

/*
 * Hands message to the deliveries without making anything durable, for listeners that
 * accept: relay. Takes both. Once it was tried, passed is called with it, on a delivery's
 * or the writer's thread: its state and those of its recipients stand in it. It lives
 * during the call; the spool file is gone afterwards, unless passed has taken it with
 * queue_keep(), and only the links are recorded, of what went or may have gone. A queue
 * that stops hands over what was not taken as DEFERRED.
 */
typedef void (*queue_passed)(void *context, struct queue_message *message);
void queue_pass(struct queue *queue, struct queue_message *message, struct spool *spool,
	queue_passed passed, void *context);
/* Within passed: the message becomes one of the queue, durable, with its recipients'
 * states as they stand. done as in queue_submit(). */
void queue_keep(struct queue *queue, struct queue_message *message, queue_submitted done,
	void *context);

/* The next message that is due, now in flight: the caller owns it until
 * queue_finish(). Blocks. NULL after queue_stop(). Messages are never held in memory
 * beyond a small read-ahead. */
struct queue_message *queue_take(struct queue *queue);
/* The same of high priority alone: for one delivery more, so that an alarm need not wait
 * until those that are under way have had their turn at the relay. */
struct queue_message *queue_take_urgent(struct queue *queue);

/* A read-only descriptor of the message's spool file, -1 with error. close() it.
 * GATEWAY_ERROR_REJECT: it is not there, or not as long as it was. */
int queue_open_spool(
	struct queue *queue, const struct queue_message *message, GError **error);

/* That message, which is in flight, is in state now (REWRITING, UPLOADING). The event is
 * kept in it; the state is recorded when it lasts. Costs next to nothing. */
void queue_note_state(
	struct queue *queue, struct queue_message *message, enum queue_state state);

/* Records message->attachments with the next commit, without waiting for it. */
void queue_record_attachments(struct queue *queue, const struct queue_message *message);

/* Journals that the final dot is about to be sent (RELAYING), the recipients that are
 * settled already, and the events so far. Blocks until durable. Fails too where a person
 * has held or deleted the message meanwhile. */
bool queue_mark_relaying(
	struct queue *queue, const struct queue_message *message, GError **error);

/*
 * Ends the flight: records state, reason, recipients, relay_id, attempts, next_attempt_ms
 * and uncertain as they stand in message, which it takes. SENT deletes the spool file
 * once that is durable; BOUNCED and DEAD keep it. HELD by a fault is due again at
 * next_attempt_ms, at the end of its lifetime at the latest, if nothing is mended before.
 * Does not wait.
 */
void queue_finish(struct queue *queue, struct queue_message *message);

/* What messages are held by a fault wait for: from now on those with this hold are due
 * (NULL: with any). Without a call one of them is tried now and then; once that one is no
 * longer held for the same reason, the others follow. */
void queue_release(struct queue *queue, const char *hold);

/* The Unix time at which message is given up: its lifetime runs from when it came, or a
 * person last asked for a retry; what the clock was set forward since is none of it. */
int64_t queue_lifetime_end_ms(struct queue *queue, const struct queue_message *message);

/* By how much the clock of the day was set forward since that Unix time: so much less
 * time has passed than it seems. What it leapt while no gateway ran is not known. */
int64_t queue_leapt_ms(struct queue *queue, int64_t since_ms);

/* A short text kept over restarts under name (letters, digits, "-", "."); recorded with
 * the next commit. queue_recall(): g_free(), NULL: none. For few names. */
void queue_remember(struct queue *queue, const char *name, const char *text);
char *queue_recall(struct queue *queue, const char *name);

/* Counts by state and the oldest unfinished message's received_ms
 * (0: none), for metrics. */
void queue_statistics(
	struct queue *queue, size_t counts[QUEUE_STATES], int64_t *oldest_ms);

/* queue_take() returns NULL from now on; submissions and finishes still work. */
void queue_stop(struct queue *queue);

/* New values of floors, ceilings and schedule; the directory cannot change. One message
 * of each hold is tried soon: what it waited for may have been mended with them. */
void queue_set_settings(struct queue *queue, const struct conf_queue *settings);

/* Commits what is pending, ends the writer, releases the lock. */
void queue_free(struct queue **queue);

/* When to try again after the attempts-th failure (1 is the first) of that
 * kind, in ms from now: a growing wait with jitter between
 * settings->retry_first_s and retry_max_s. */
int64_t queue_retry_delay_ms(
	const struct conf_queue *settings, enum queue_failure failure, unsigned attempts);

#endif
