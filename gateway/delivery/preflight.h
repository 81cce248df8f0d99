/*
 * preflight - the top header block made fit for SES, as edits of a splice.
 *
 * SES refuses a message with doubled singleton headers, an unverified From, or none
 * at all; and a client could steer it by X-SES-* headers of its own. Pure: reads the
 * block, edits the splice; the header fields that it does not name stay
 * byte-identical and in order. Never edits Content-*, MIME-Version or Lines where
 * they stand once (those are mime/'s).
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
	const char *configuration_set; /* NULL: no header */
	const char *hostname;          /* for a made Message-ID */
	const char *id;                /* the gateway's */
	const char *reverse_path;      /* the client's, for a missing From */
	int64_t received_s;            /* for a missing Date */
	bool body_changed;             /* attachments were taken out: DKIM cannot hold */
	bool is_8bit;                  /* the message has octets above 127 */
	bool wants_ascii;              /* so the relay wants its header */
};

/*
 * header: the message's first header_bytes octets, at least its whole top header block
 * (or all of a message without an empty line). mime_init() has been called.
 *
 * Removes X-SES-*, Return-Path, Bcc; DKIM-Signature when body or From change; doubles of
 * what may stand once (RFC 5322 and SES's list) after the first, but joins those of To
 * and Cc. Where sender.from is set: replaces a From that is not verified by "Name via
 * DOMAIN" <sender.from>, DOMAIN being that address's; Reply-To gets the authors unless
 * there is one, X-Original-From the text that was there; a Sender that is not verified
 * goes. Adds X-SES-CONFIGURATION-SET, and what is missing of Date, From, Message-ID and,
 * where Content-* fields or 8-bit octets need it, MIME-Version. With wants_ascii, raw
 * 8-bit text and names become encoded-words, and DKIM-Signature goes with them. Bare
 * CR, bare LF and NUL in the header are made harmless, its lines over 998 octets folded
 * at blanks. A line that is no field ends the header (an empty line is put before it), or
 * becomes X-Unparsed-Line where the header evidently goes on. New lines end as the first
 * one does.
 *
 * GATEWAY_ERROR_MEND: a setting cannot stand in a header. GATEWAY_ERROR_REJECT: an
 * earlier edit of the splice is in the way.
 */
bool preflight_edit(const struct preflight *preflight, const char *header,
	size_t header_bytes, struct splice *splice, GError **error);

/* The reverse-path to use at the relay (see conf_sender.envelope); g_free(). */
char *preflight_reverse_path(const struct conf_sender *sender, const char *reverse_path);

#endif
