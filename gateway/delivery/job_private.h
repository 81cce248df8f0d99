/*
 * job_private - one delivery attempt's inside, shared by job.c (the steps and their
 * outcome), content.c (what is sent) and sending.c (by which relay). For no other file.
 */
#ifndef GATEWAY_DELIVERY_JOB_PRIVATE_H
#define GATEWAY_DELIVERY_JOB_PRIVATE_H

#include "gateway/delivery/groups.h"
#include "gateway/delivery/job.h"
#include "gateway/delivery/outcome.h"
#include "gateway/delivery/rewriter.h"
#include "gateway/delivery/stowing.h"

/* A message made ready for one relay of one route. */
struct content {
	const struct conf_route *route;
	const struct conf_relay *relay; /* NULL: there is none yet */
	struct splice *splice;
	char *reverse_path;
};

struct job {
	struct queue *queue;
	struct metrics *metrics;
	struct route *route;
	struct queue_message *message;
	int fd;
	struct rewriter *rewriter;
	struct stowing *stowing;
	struct content content; /* the one made last */
	char *unnamed;     /* why the text names no recipients, where it must; or NULL */
	bool explained;    /* why the message is untouched was logged */
	bool links_noted;  /* the links' ends were recorded */
	bool unrecorded;   /* what was stored is not in the queue's record yet */
	const char *relay; /* the last that was given the message; NULL: none */
	/* struct queue_recipient to the name of the relay whose verdict of this attempt
	 * it has; all borrowed */
	GHashTable *speakers;
	struct outcome outcome;
};

/* Makes job->content the message for that relay of that route (NULL: none fits), if it is
 * not that already. */
bool content_prepare(struct job *job, const struct conf_route *route,
	const struct conf_relay *relay, GError **error);
void content_clear(struct content *content);

/* Whether some relay that the message may go by can be used; where none can, each open
 * recipient has its verdict. */
bool sending_is_possible(struct job *job);

/* The first way's content, so that what is wrong with that is found before any relay is
 * asked. */
bool sending_prepare(struct job *job, GError **error);

/* Every outcome is a recipient's. */
void sending_run(struct job *job);

#endif
