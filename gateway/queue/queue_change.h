/*
 * queue_change - the verbs of stowage queue that change messages: retry, redrive, hold,
 * release, delete.
 *
 * Internal to gateway/queue/. Beside a running gateway each is one transaction for many
 * messages: it takes effect whole, or is refused for what the gateway is just relaying.
 */
#ifndef GATEWAY_QUEUE_QUEUE_CHANGE_H
#define GATEWAY_QUEUE_QUEUE_CHANGE_H

#include "gateway/queue/visit.h"

#define QUEUE_CHANGE_OPTIONS                                                             \
	(OPTION_STATE | OPTION_FILTERS | OPTION_LIMIT | OPTION_ALL | OPTION_JSON |       \
		OPTION_DRY_RUN)

int queue_change_retry(struct visit *visit);
int queue_change_redrive(struct visit *visit);
int queue_change_hold(struct visit *visit);
int queue_change_release(struct visit *visit);
int queue_change_delete(struct visit *visit);

#endif
