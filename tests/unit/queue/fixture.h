/*
 * fixture - a queue in a directory of its own, and what the tests of the queue do to it.
 */
#ifndef TESTS_UNIT_QUEUE_FIXTURE_H
#define TESTS_UNIT_QUEUE_FIXTURE_H

#include "gateway/queue/queue.h"
#include "gateway/queue/store.h"

struct fixture {
	char *directory; /* the queue's */
	char *root;      /* holds the directory; removed at the end */
	struct conf_queue settings;
	struct queue *queue; /* NULL: not open */
};

/* A fresh directory, no queue yet. root NULL: in the directory for temporary files. */
void fixture_init(struct fixture *fixture, const char *root);
void fixture_open(struct fixture *fixture);
void fixture_close(struct fixture *fixture);
/* Ends one that runs, and opens it again. */
void fixture_reopen(struct fixture *fixture);
/* Closes, and removes all. */
void fixture_clear(struct fixture *fixture);

/* An envelope as a session makes it. */
struct queue_message *fixture_message(unsigned recipients);
/* Submits message with content and waits for the verdict. */
bool fixture_submit_message(struct fixture *fixture, struct queue_message *message,
	const char *content, size_t content_bytes, GError **error);
/* Submits a message to one recipient; its id in id. Fails the test if that fails. */
void fixture_submit(struct fixture *fixture, char id[MESSAGE_ID_BYTES]);
/* Takes what must be the message id. */
struct queue_message *fixture_take(struct fixture *fixture, const char *id);
/* Ends the flight in state, due again after wait_ms. */
void fixture_finish(struct fixture *fixture, struct queue_message *message,
	enum queue_state state, int64_t wait_ms);
/* Once a later submission is durable, so is what was handed in before it. Leaves one
 * message that was sent, and one that is due in an hour. */
void fixture_settle(struct fixture *fixture);

/* The number of messages in state. */
size_t fixture_count(const struct fixture *fixture, enum queue_state state);
/* The path of the message's spool file. */
char *fixture_spool(const struct fixture *fixture, const char *id);
bool fixture_has_file(const struct fixture *fixture, const char *id);
/* The message as another process sees it; NULL: there is none. */
struct queue_message *fixture_look(const struct fixture *fixture, const char *id);
/* Runs SQL on the closed or open queue, as a person could. */
void fixture_execute(const struct fixture *fixture, const char *script);
char *fixture_path(const struct fixture *fixture, const char *name);

/* For cmocka: an open queue of its own for each test, as *state. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

#endif
