/*
 * writer - the queue's thread: it alone uses the database and knows what is in flight.
 *
 * Internal to gateway/queue/: the struct that the calls (queue.c, passage.c, transit.c,
 * notes.c, room.c) and the thread share (writer.c, and its topics: spooling.c,
 * writer_refill.c, writer_house.c, holds.c). Members under "lock" are shared; those under
 * "writer" are the thread's own.
 */
#ifndef GATEWAY_QUEUE_WRITER_H
#define GATEWAY_QUEUE_WRITER_H

#include "gateway/queue/clock.h"
#include "gateway/queue/folders.h"
#include "gateway/queue/lanes.h"
#include "gateway/queue/recovery.h"
#include "gateway/queue/store.h"

enum operation_kind {
	OPERATION_SUBMIT,
	OPERATION_ATTACHMENTS,
	OPERATION_RELAYING,
	OPERATION_FINISH,
	OPERATION_NOTE,
	OPERATION_PASS,   /* not recorded */
	OPERATION_PASSED, /* it has ended: its links */
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
	bool spooled;        /* its file and its name were synced, or that has failed */
	queue_submitted done;
	void *context;

	char *name, *text; /* NOTE */

	gatomicrefcount holders; /* RELAYING */
	GCond ended;
	bool has_ended; /* under lock */
};

/* A message that lies in a lane or was taken, as the database has it. The message points
 * to it; the writer owns it. */
struct flight {
	char id[MESSAGE_ID_BYTES];
	enum queue_state stored;
	char *hold;      /* as stored; NULL: none */
	int64_t version; /* of the database when it was read: see struct queue */
	gint noted; /* atomic: enum queue_state of queue_note_state(); RECEIVED: none */
	gint seen;  /* noted at the last tick */
	bool is_probe;      /* of its hold */
	bool gone, held;    /* by a person, while it was in flight */
	bool unheld;        /* so: it is no longer among those of its hold */
	bool overruled;     /* its end is not the attempt's, but a person's */
	int64_t retried_ms; /* as last seen in the database */
};

/* A message of queue_pass(): nothing of it is recorded on its way. */
struct transit {
	struct spool *spool;
	queue_passed passed;
	void *context;
	bool kept;
};

struct holds;

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
	bool tick_wanted; /* housekeeping at once */
	bool ending;
	GQueue pending; /* of operations */
	size_t urgent;  /* those of them that somebody waits for */
	/* monotonic time when those that may come soon must be committed */
	int64_t due_us;
	size_t submitting;
	size_t spooling; /* sets of submissions that threads of spooling.c have */
	GCond ready;     /* for queue_take() */
	unsigned takers_waiting;
	GCond alarm; /* for queue_take_urgent() */
	bool alarm_awaited;
	bool stopped;
	struct lanes lanes;
	struct store_totals totals;
	int64_t oldest_ms;
	GHashTable *notes;   /* name to text */
	GPtrArray *releases; /* of char *: holds of queue_release() */
	bool release_all;
	bool probe_all;
	bool unwritable;  /* the database was tried, and could not be written to */
	bool unspoolable; /* the same of the spool directory */
	struct clock clock;
	int64_t clock_moved_us; /* nobody was told yet; 0: it did not */

	GMutex room_lock;
	int64_t room_checked_us; /* monotonic; 0: never */
	uint64_t free_bytes;
	uint64_t free_inodes; /* UINT64_MAX: the file system has no such limit */
	bool read_only;

	/* writer */
	struct store *store;
	struct folders *folders;
	struct spooling *spooler;
	struct recovery *recovery; /* NULL: it is over */
	struct holds *holds;
	GHashTable *flights;  /* id to struct flight */
	int64_t version;      /* of the database, as others change it: at the last tick */
	int64_t tick_us;      /* monotonic time of the next housekeeping */
	int64_t purge_us;     /* and of the next look for old history */
	bool clock_went_back; /* what is planned is to be looked at */
	bool failing;         /* the last transaction failed */
	bool oldest_unknown;
};

void *writer_run(void *queue);

/* With the lock held. */
void writer_wake(struct queue *queue);

/* With the lock held. */
void writer_watch_clock(struct queue *queue);

/* With the lock held: puts operation into pending, which owns it from here. */
void writer_add(struct queue *queue, struct operation *operation, enum urgency urgency);

/* Of a RELAYING operation, one holder's part. */
void writer_release(struct operation *operation);

/* --- the writer thread's own --- */

/* NULL: that message is not in flight. */
struct flight *writer_flight(const struct queue *queue, const char *id);

/* Whether so much of the disk is left as the record of what is queued may need: without
 * it nothing could leave any more. What came in since the floor was last looked at, or
 * was large, may have gone beyond that. GATEWAY_ERROR_FULL. */
bool writer_has_reserve(struct queue *queue, GError **error);

bool writer_is_in_flight(void *queue, const char *id);
/* No attempt is ever planned further ahead. */
int64_t writer_longest_wait_ms(struct queue *queue);

/* Hands a due message to queue_take(); NULL when the lane is full: then it stays on
 * disk, and the message is still the caller's. */
struct flight *writer_hand_over(
	struct queue *queue, bool fresh, struct queue_message *message);

/* A transaction was committed that changed the totals so. */
void writer_note_success(struct queue *queue, const struct store_totals *changes);

/* Reads what is due into the lanes that run low. */
void writer_refill(struct queue *queue);

/* Once a second: what others changed, states that last, old history,
 * the oldest message. */
void writer_keep_house(struct queue *queue);

/* After queue_stop(): gives back what queue_pass() has brought and nobody took. */
void writer_refuse_transit(struct queue *queue);

/* One small step of what need not be done at once: recovery, release of what was held.
 * True while there is more. */
bool writer_work_on(struct queue *queue);

#define WRITER_CLOCK_NOTE "clock.leaps" /* name of what clock_recall() takes */
#define WRITER_NEVER_US   INT64_MAX
#define WRITER_TICK_US    G_TIME_SPAN_SECOND

#endif
