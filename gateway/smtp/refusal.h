/*
 * refusal - clients turned away: counted, and told as far as a flood allows.
 *
 * Thread: the loop's.
 */
#ifndef GATEWAY_SMTP_REFUSAL_H
#define GATEWAY_SMTP_REFUSAL_H

#include "gateway/smtp/front.h"

/* Before it was served. cause is a metric's label, of a fixed set; reason is for people,
 * NULL: the cause says it. */
void refusal_tell(struct front *front, const struct conf_listener *listener,
	const char *client, const char *cause, const char *reason);

/* In its session, with a reply that says what it was turned away for: counts those that
 * are the client's own doing; others are none of this. */
void refusal_count(struct front *front, enum smtp_reply_id id);

#endif
