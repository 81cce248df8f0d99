/*
 * bounce - delivery status notifications: who is to hear what of a message's recipients,
 * and the report itself. Pure.
 *
 * RFC 3461 (NOTIFY, RET, ENVID, ORCPT), RFC 3462 (multipart/report), RFC 3464
 * (message/delivery-status), RFC 3834 (Auto-Submitted).
 */
#ifndef GATEWAY_DELIVERY_BOUNCE_H
#define GATEWAY_DELIVERY_BOUNCE_H

#include "conf/conf.h"
#include "gateway/queue/queue.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Octets of the original that a report carries: its header section, or with RET=FULL all
 * of it where it is not larger, in a report of a failure (RFC 3461, 4.3). */
#define BOUNCE_HEADER_BYTES_MAX   16384
#define BOUNCE_ORIGINAL_BYTES_MAX (1024 * 1024)

enum bounce_action {
	BOUNCE_NOTHING,
	BOUNCE_FAILED,
	BOUNCE_UNKNOWN, /* given up: sent, and never answered */
	BOUNCE_DELAYED,
	BOUNCE_RELAYED, /* to a relay that reports no success (RFC 3461, 5.2.2) */
};

/* Whether anyone may be told anything of message: its sender was authenticated or of a
 * trusted network (a stranger's reverse-path may be anybody's), and is not the null
 * reverse-path, which is how bounces of bounces are avoided. */
bool bounce_is_possible(const struct queue_message *message);

/* Whether a header says that its message is a report or another answer of a machine:
 * multipart/report, or Auto-Submitted: auto-replied, both with comments and parameters
 * as their RFCs allow. Answered, it could be so for ever, since what goes through SES has
 * a reverse-path. */
bool bounce_is_answer(const char *header, size_t bytes);

/* Whether a reverse-path is one that the gateway itself gave a message
 * ("bounces+ID@..."): what is sent there would come back here. */
bool bounce_is_own_path(const struct conf_sender *sender, const char *reverse_path);

/*
 * What the sender has still to hear of recipient, as it stands after an attempt: what it
 * was told already is BOUNCED, or in told. over: the message is given up, so that what is
 * still open has failed. late: so that who asked for it hears of the delay.
 */
enum bounce_action bounce_action_for(
	const struct queue_recipient *recipient, bool over, bool late);

/* When (Unix time) the sender is to hear that message waits: some hours after it came,
 * where NOTIFY=DELAY asks for that and it was not told yet; INT64_MAX: never. leapt_ms:
 * queue_leapt_ms() since it was received. */
int64_t bounce_delay_ms(const struct queue_message *message, int64_t leapt_ms);

struct bounce {
	const struct queue_message *message;
	const enum bounce_action *actions; /* one for each of its recipients */
	const char *const *hosts;          /* likewise, Remote-MTA; NULL: not known */
	const char *id;                    /* of the report, for its Message-ID */
	const char *hostname;              /* Reporting-MTA */
	const char *from;                  /* address in From */
	/* The original's first octets: all of it (is_whole) or its header section,
	 * possibly cut. */
	const char *original;
	size_t original_bytes;
	bool is_whole;
	int64_t now_s;
	int64_t until_s; /* what is delayed is tried until then */
};

/* The report as a message, lines ended by CR LF. What others said
 * stands in it cleaned. */
GString *bounce_print(const struct bounce *bounce);

#endif
