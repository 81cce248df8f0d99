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

/* Reads and extracts: size octets at fd, or in octets where that is not NULL (all
 * borrowed, as settings are, for the rewriter's life). Temporary files go to directory.
 * NULL with error: try again later. */
struct rewriter *rewriter_new(int fd, const char *octets, uint64_t size,
	const struct mime_settings *settings, const char *directory, GError **error);

const struct mime_message *rewriter_message(const struct rewriter *rewriter);
size_t rewriter_attachments(
	const struct rewriter *rewriter, const struct mime_attachment **attachments);
/* The decoded octets of attachment index; NULL: they are at rewriter_fd(). Owned by the
 * rewriter, as the descriptor is; -1: there is none. */
const char *rewriter_octets(const struct rewriter *rewriter, size_t index);
int rewriter_fd(const struct rewriter *rewriter, size_t index);

/*
 * Where the message, with links for what is linked, and where shortens what
 * rewriter_shorten_lines() makes of the rest, would be over max_bytes (0: no bound) and
 * the settings say so, all of it becomes one attachment, whose octets are fd's; what was
 * linked is not any more. False with error: try again later.
 */
bool rewriter_fit(
	struct rewriter *rewriter, uint64_t max_bytes, bool shortens, GError **error);

/* Whether rewriter_fit() did so. */
bool rewriter_is_whole(const struct rewriter *rewriter);

/* See mime_message_shorten_lines(). */
bool rewriter_shorten_lines(
	struct rewriter *rewriter, struct splice *splice, bool *changed, GError **error);

/* See mime_message_mend_fields(). */
bool rewriter_mend_fields(
	struct rewriter *rewriter, struct splice *splice, mime_mend mend, GError **error);

/* See mime_message_link(), or mime_message_link_whole() where rewriter_is_whole(). */
bool rewriter_link(struct rewriter *rewriter, const struct mime_link *links,
	size_t n_links, struct splice *splice, GError **error);

/* See mime_message_recipients() and mime_message_set_notice(). Of markers only the word
 * is borrowed for the rewriter's life. */
bool rewriter_recipients(struct rewriter *rewriter, const struct mime_markers *markers,
	GPtrArray **addresses, char **reason, GError **error);
void rewriter_set_notice(
	struct rewriter *rewriter, const char *notice, const char *unforeseen);
/* Whether one of these leaves something to do without any attachment. */
bool rewriter_edits_text(const struct rewriter *rewriter);

void rewriter_free(struct rewriter **rewriter);

#endif
