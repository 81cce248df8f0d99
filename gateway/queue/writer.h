/*
 * writer - the queue's one thread: it alone uses the database and
 * knows what is in flight.
 *
 * Internal to gateway/queue/: the struct that queue.c (the calls) and
 * writer.c (the thread) share. Members under "lock" are shared; those under
 * "writer" are the thread's own.
 */
#ifndef GATEWAY_QUEUE_WRITER_H
#define GATEWAY_QUEUE_WRITER_H

#include "gateway/queue/store.h"

/* Recipients of the messages that a lane holds in memory; one message always has room. */
#define LANE_RECIPIENTS 128
#define LANE_LOW        32 /* at or below: filled again from the database */

/* Messages due now, first in, first out. */
struct lane {
	GQueue messages;
	size_t recipients;
};

enum operation_kind {
	OPERATION_SUBMIT,
	OPERATION_ATTACHMENTS,
	OPERATION_RELAYING,
	OPERATION_FINISH,
};

/* How soon an operation is to be committed. */
enum urgency {
	URGENCY_WITH_NEXT, /* with the next transaction */
	URGENCY_SOON,      /* nobody waits for it: within some ms, better with others */
	URGENCY_NOW,       /* somebody waits for it */
};

/* Something for the next transaction. On the heap; RELAYING has two holders, the writer
 * and the caller who waits. */
struct operation {
	GList link; /* in pending or in a batch; data is the operation itself */
	enum operation_kind kind;
	struct queue_message *message; /* owned, but for RELAYING: its caller's */
	GError *error;

	struct spool *spool; /* SUBMIT */
	queue_submitted done;
	void *context;

	gatomicrefcount holders; /* RELAYING */
	GCond ended;
	bool has_ended; /* under lock */
};

struct queue {
	char *directory;
	char *spool_directory;
	int lock_fd;
	int spool_fd;
	GThread *thread;

	GMutex lock;
	struct conf_queue settings; /* directory is the member above */
	GCond work;                 /* for the writer */
	bool writer_waits;
	bool ending;
	GQueue pending; /* of operations */
	size_t urgent;  /* those of them that somebody waits for */
	int64_t due_us; /* monotonic time when those that may come soon must be committed */
	size_t submitting;
	GCond ready; /* for queue_take() */
	unsigned takers_waiting;
	bool stopped;
	struct lane fresh;   /* handed on from memory as they were committed */
	struct lane backlog; /* read from the database */
	bool backlog_turn;   /* neither lane starves the other */
	int64_t disk_due_ms; /* when the next message that is only on disk is due */
	struct store_totals totals;
	int64_t oldest_ms;

	GMutex room_lock;
	int64_t room_checked_us; /* monotonic; 0: never */
	uint64_t free_bytes;
	uint64_t free_inodes; /* UINT64_MAX: the file system has no such limit */

	/* writer */
	struct store *store;
	GHashTable *flights; /* id to struct flight */
	int64_t version;     /* of the database, as others change it */
	int64_t tick_us;     /* monotonic time of the next housekeeping */
	int64_t purge_us;    /* and of the next look for old history */
	bool failing;        /* the last transaction failed */
	bool oldest_unknown;
};

void *writer_run(void *queue);

/* With the lock held: whether the backlog is to be filled. */
bool writer_should_refill(const struct queue *queue, int64_t now_ms);

/* With the lock held. */
void writer_wake(struct queue *queue);

/* With the lock held: puts operation into pending, which owns it from here. */
void writer_add(struct queue *queue, struct operation *operation, enum urgency urgency);

/* Of a RELAYING operation, one holder's part. */
void writer_release(struct operation *operation);

#define WRITER_NEVER_US INT64_MAX

#endif
