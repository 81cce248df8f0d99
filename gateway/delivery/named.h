/*
 * named - recipients that the text of a message names take the place of
 * those it came for.
 *
 * For devices that can write to one address only (settings: recipients). The same message
 * gets the same recipients however often it is tried; those who have it already keep
 * their state. Thread: any.
 */
#ifndef GATEWAY_DELIVERY_NAMED_H
#define GATEWAY_DELIVERY_NAMED_H

#include "conf/conf.h"
#include "gateway/delivery/rewriter.h"
#include "gateway/queue/queue.h"
#include <glib.h>
#include <stdbool.h>

/*
 * Changes message's recipients where the settings say that its text names them, and has
 * the rewriter take the markers out; or, where the text names none properly, makes
 * recipients.fallback the recipient and has the rewriter put the reason in front of the
 * text: *reason (g_free()), else NULL. False with error: try again later.
 */
bool named_apply(const struct conf *conf, struct queue_message *message,
	struct rewriter *rewriter, char **reason, GError **error);

#endif
