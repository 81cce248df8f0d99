/*
 * visit - what commands that read or change the queue's record begin with.
 *
 * Internal to gateway/queue/. Mistakes go to standard error, led by who ("stowage queue");
 * what is returned is a sysexits code.
 */
#ifndef GATEWAY_QUEUE_VISIT_H
#define GATEWAY_QUEUE_VISIT_H

#include "gateway/queue/store.h"

/* Opens the database of the queue in directory; store_close() it. */
int visit_open(
	const char *who, const char *directory, bool read_only, struct store **store);

/* The message whose ID begins with given, in any case. */
int visit_resolve(const char *who, struct store *store, const char *given,
	char id[MESSAGE_ID_BYTES]);

/* Prints error. */
int visit_report(const char *who, const GError *error);

#endif
