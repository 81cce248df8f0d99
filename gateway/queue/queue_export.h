/*
 * queue_export - stowage queue export: the octets of messages as they came, to standard
 * output, or into new files of a directory or a Maildir.
 *
 * Internal to gateway/queue/.
 */
#ifndef GATEWAY_QUEUE_QUEUE_EXPORT_H
#define GATEWAY_QUEUE_QUEUE_EXPORT_H

#include "gateway/queue/visit.h"

#define QUEUE_EXPORT_OPTIONS                                                             \
	(OPTION_STATE | OPTION_FILTERS | OPTION_LIMIT | OPTION_ALL | OPTION_JSON |       \
		OPTION_INTO | OPTION_ENVELOPE)

int queue_export(struct visit *visit);

#endif
