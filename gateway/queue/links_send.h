/*
 * links_send - new links sent to those who got the message, as a message of the queue.
 *
 * Internal to gateway/queue/.
 */
#ifndef GATEWAY_QUEUE_LINKS_SEND_H
#define GATEWAY_QUEUE_LINKS_SEND_H

#include "gateway/queue/visit.h"

/* One link of the mail's text. */
void links_send_add(
	GString *text, const struct queue_attachment *attachment, const char *url);

/*
 * Puts a mail with text into the queue, for those recipients to whom original was sent
 * (all of them where it was to none); its ID in id. They do not see each other. A gateway
 * that runs beside takes it within a second.
 */
bool links_send(const struct visit *visit, const struct queue_message *original,
	const char *text, char id[MESSAGE_ID_BYTES], GError **error);

#endif
