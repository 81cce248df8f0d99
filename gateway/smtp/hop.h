/*
 * hop - what the next hop's answers to a message are to the client that waits for them
 * (listeners that accept: relay). Pure.
 */
#ifndef GATEWAY_SMTP_HOP_H
#define GATEWAY_SMTP_HOP_H

#include "gateway/queue/queue.h"
#include "gateway/smtp/reply.h"

/* Of a detail, so that a reply fits RFC 5321's 512 octets (section 4.5.3.1.5). */
#define HOP_DETAIL_BYTES_MAX 506

/* Whether some recipients have the message and some have not, or may have it and are
 * not to get it twice: it can be neither accepted nor refused as a whole, and what is
 * left of it has to be kept. */
bool hop_has_some(const struct queue_message *message);

/*
 * The reply for message after its one attempt, and its detail: g_free(); one line of
 * printable ASCII that begins with an enhanced code and ends with the message's ID.
 * Everybody has it: REPLY_RELAYED. Everybody was refused: REPLY_HOP_550 to _554, in the
 * next hop's words. Else REPLY_HOP_DEFERRED, with what the next hop said; without a word
 * from it only the kind of trouble, since details of it are for the log.
 */
enum smtp_reply_id hop_reply(const struct queue_message *message, char **detail);

#endif
