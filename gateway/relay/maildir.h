/*
 * maildir - the relay's stand-in that needs no network: each
 * message one file of a Maildir.
 *
 * Written to tmp/, synced, renamed into new/, the folder synced. The file is Return-Path,
 * one Delivered-To per recipient, and the content as it is: CRLF line ends stay, so that
 * a stored message can be compared octet by octet with what a relay would have been
 * given. Threads: any.
 */
#ifndef GATEWAY_RELAY_MAILDIR_H
#define GATEWAY_RELAY_MAILDIR_H

#include "gateway/relay/relay.h"

/* Makes the folders where they are missing. GATEWAY_ERROR_MEND. */
bool maildir_prepare(const char *directory, GError **error);

/* Stores the message for these recipients, whose verdicts it sets; sets relay_id, the
 * file's name. hostname becomes part of that. */
void maildir_deliver(const char *directory, const char *hostname,
	struct relay_message *message, struct relay_recipient *const *recipients,
	size_t n_recipients);

#endif
