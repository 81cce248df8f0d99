/*
 * rewriter - mime/ applied to one message: attachments out, into memory or unlinked
 * temporary files.
 *
 * The one door to mime/ for gateway/, so that the work can move to a process of its own.
 * Thread: any; one struct belongs to one thread.
 */
#ifndef GATEWAY_DELIVERY_REWRITER_H
#define GATEWAY_DELIVERY_REWRITER_H

#include "mime/mime.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct rewriter;

/* Reads and extracts: size octets at fd (borrowed). Temporary files go to directory. NULL
 * with error: try again later. */
struct rewriter *rewriter_new(int fd, uint64_t size, const struct mime_settings *settings,
	const char *directory, GError **error);

const struct mime_message *rewriter_message(const struct rewriter *rewriter);
size_t rewriter_attachments(
	const struct rewriter *rewriter, const struct mime_attachment **attachments);
/* The decoded octets of attachment index; NULL: they are at rewriter_fd(). Owned by the
 * rewriter, as the descriptor is; -1: there is none. */
const char *rewriter_octets(const struct rewriter *rewriter, size_t index);
int rewriter_fd(const struct rewriter *rewriter, size_t index);

/* See mime_message_link(). */
bool rewriter_link(struct rewriter *rewriter, const struct mime_link *links,
	size_t n_links, struct splice *splice, GError **error);

void rewriter_free(struct rewriter **rewriter);

#endif
