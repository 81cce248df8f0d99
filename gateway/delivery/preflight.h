/*
 * preflight - the top header block made fit for the relay, as edits of a splice.
 *
 * SES refuses a message with doubled singleton headers, an unverified From, or an
 * address that is none; and a client could steer it by X-SES-* headers of its own.
 * Pure: reads the block, edits the splice; the header fields that it does not name
 * stay byte-identical and in order. Of Content-*, MIME-Version and Lines it edits
 * only what mime/ left alone.
 */
#ifndef GATEWAY_DELIVERY_PREFLIGHT_H
#define GATEWAY_DELIVERY_PREFLIGHT_H

#include "conf/conf.h"
#include "mime/splice.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct preflight {
	const struct conf_sender *sender;
	/* What SES is told, each may be NULL: of the route, else of its relay. Tags are
	 * joined; of one name the first counts: account, listener, route, relay. */
	const struct conf_ses *route_ses, *relay_ses;
	const char *const *account_tags, *const *listener_tags;
	bool is_ses;              /* conf_relay_is_ses() */
	bool preserve_sender;     /* of the route */
	const char *hostname;     /* for a made Message-ID */
	const char *id;           /* the gateway's */
	const char *reverse_path; /* the client's; may be NULL, is "" */
	int64_t received_s;       /* for a missing Date */
	bool body_changed;        /* attachments were taken out: DKIM cannot hold */
	bool is_8bit;             /* the message has octets above 127 */
	bool wants_ascii;         /* so the relay wants its header */
};

/*
 * header: the message's first header_bytes octets, at least its whole top header block
 * (or all of a message without an empty line). mime_init() has been called.
 *
 * Removes X-SES-*, Return-Path, Bcc; DKIM-Signature when body, From or Sender change;
 * doubles of what may stand once (RFC 5322) after the first, but joins those of To and
 * Cc. Where sender.from is set and the sender not preserved: replaces a From that is
 * not verified by sender.display_name and <sender.from>; Reply-To gets the authors
 * unless there is one, X-Original-From the text that was there; a Sender that is not
 * verified becomes X-Original-Sender. A message whose author was replaced so before,
 * by another gateway, is not named twice. Adds what is missing of Date, From,
 * Message-ID and, where Content-* fields or 8-bit octets need it, MIME-Version, and
 * what SES is told (preflight_ses.h).
 *
 * With is_ses also: doubles of SES's own list and every DKIM-Signature go; lists of
 * addresses, a Content-Type and a Content-Disposition that SES refuses are mended
 * (preflight_addresses.h, preflight_type.h); the Message-ID, which SES
 * replaces, is named in References.
 *
 * With wants_ascii the header is of ASCII afterwards (preflight_words.h). Bare CR,
 * bare LF and NUL in the header are made harmless, its lines over 998 octets
 * folded. A line that is no field ends the header (an empty line is put before
 * it), or becomes X-Unparsed-Line where the header evidently goes on. New lines
 * end as the first one does.
 *
 * GATEWAY_ERROR_MEND: a setting cannot stand in a header. GATEWAY_ERROR_REJECT: an
 * earlier edit of the splice is in the way.
 */
bool preflight_edit(const struct preflight *preflight, const char *header,
	size_t header_bytes, struct splice *splice, GError **error);

/*
 * What is to stand for SES instead of a part's Content-Type or Content-Disposition, bytes
 * of its lines: the same as preflight_edit() makes of the message's own. g_string_free();
 * NULL: it stays.
 */
GString *preflight_part_field(const char *field, size_t bytes, const char *newline);

/* The reverse-path to use at the relay; g_free(). Uses sender, preserve_sender,
 * is_ses, id and reverse_path: sender.envelope, with "+ID" in its local part where
 * that is set (and CONF_SENDER_REPORT where the client's is the null one), else
 * sender.from, else the client's; the client's too with preserve_sender, unless it is
 * the null one, which SES refuses. */
char *preflight_reverse_path(const struct preflight *preflight);

#endif
