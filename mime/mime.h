/*
 * mime - a message in; its attachments, and the same message with
 * links in their place, out.
 *
 * Pure: descriptors and memory in and out; no network, no clock, no loop. A message
 * passes three calls: mime_message_new() reads it and decides for each part,
 * mime_message_extract() decodes the attachments, mime_message_link() writes links into
 * the bodies as edits of a splice. Memory does not depend on the message's size and is
 * bounded by settings' limits.
 *
 * Threads: a struct mime_message belongs to one thread at a time; several threads may
 * each have their own. Call mime_init() once before the first.
 */
#ifndef MIME_MIME_H
#define MIME_MIME_H

#include "mime/splice.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* MIME_ERROR_IO: a descriptor failed; try again later.
 * MIME_ERROR_CONTENT: the message. */
enum mime_error { MIME_ERROR_IO, MIME_ERROR_CONTENT };
#define MIME_ERROR (mime_error_quark())
GQuark mime_error_quark(void);

enum mime_inline_images { MIME_INLINE_KEEP, MIME_INLINE_LINK };
enum mime_forwarded { MIME_FORWARDED_KEEP, MIME_FORWARDED_WHOLE };
enum mime_block_position { MIME_BLOCK_END, MIME_BLOCK_TOP };

/* Filled by conf/; strings belong to the settings' owner. Defaults:
 * mime_settings_init(). */
struct mime_settings {
	uint64_t min_size; /* octets decoded: an attachment below it stays; 0 links all */
	enum mime_inline_images inline_images;
	/* octets decoded: a kept inline part above it is linked after all */
	uint64_t inline_max;
	enum mime_forwarded forwarded; /* message/rfc822 */
	enum mime_block_position block_position;
	/* Beyond any of these the message is not parsed and goes out unchanged. */
	uint64_t max_header_bytes; /* of one header block */
	size_t max_parts;
	size_t max_depth;
};

/* The defaults, for tests and for conf/'s table. */
void mime_settings_init(struct mime_settings *settings);

/* Once per process, before any other call here. */
void mime_init(void);

/* One attachment: filled by mime_message_new(), size and hash by
 * mime_message_extract(). */
struct mime_attachment {
	size_t part; /* its number in reading order, from 1, counting all leaf parts */
	/* cleaned UTF-8: no path, control, bidi; 1..200 octets; not empty */
	const char *file_name;
	/* "image/jpeg": lower case, cleaned; application/octet-stream */
	const char *media_type;
	const char *reason; /* why it is linked, for log and manifest, a static text */
	uint64_t size;      /* octets decoded */
	uint8_t sha256[32]; /* of the decoded octets */
};

/* Where an attachment can be fetched: filled by the caller, in
 * order of the attachments. */
struct mime_link {
	const char *url;     /* ASCII, no blanks, quotes or angle brackets */
	const char *expires; /* for people: "2026-11-27 14:05 UTC"; NULL: not said */
};

struct mime_message;

/*
 * Reads the message of original_bytes octets at fd (borrowed; must stay open
 * and unchanged) and decides. A message that cannot be understood is no error:
 * it has no attachments and mime_message_untouched_reason() says why. NULL
 * with MIME_ERROR_IO otherwise.
 */
struct mime_message *mime_message_new(int fd, uint64_t original_bytes,
	const struct mime_settings *settings, GError **error);

/* Why the whole message is left as it is (signed, broken, over a limit), or NULL. */
const char *mime_message_untouched_reason(const struct mime_message *message);

/* One line for each leaf part: number, type, name, decision, reason.
 * For log and manifest. */
struct mime_decision {
	size_t part;
	const char *media_type;
	const char *file_name; /* may be NULL */
	bool linked;
	const char *reason;
};
size_t mime_message_decisions(
	const struct mime_message *message, const struct mime_decision **decisions);

/*
 * Decodes every attachment, in one pass with constant memory, hashing. open_output gives
 * a descriptor for attachment number index (kept by the caller), or -1 with error set.
 * Decoding is strict: an attachment whose encoding two readers would decode differently
 * stays in the message, its decision says so, and open_output is told by discard (the
 * descriptor's content is of no use). So the number of attachments may be smaller
 * afterwards: ask again. False with MIME_ERROR_IO, or with open_output's error.
 */
struct mime_output {
	int (*open_output)(void *context, size_t index, GError **error);
	/* What attachment index was given is not wanted: the next one
	 * has the same index. */
	void (*discard_output)(void *context, size_t index);
	void *context;
	/* Takes n octets more of attachment index; not called for an empty one. NULL:
	 * they are written to open_output's descriptor. Else that is not called. */
	bool (*write_output)(void *context, size_t index, const char *octets, size_t n,
		GError **error);
};
bool mime_message_extract(
	struct mime_message *message, const struct mime_output *output, GError **error);

size_t mime_message_attachments(
	const struct mime_message *message, const struct mime_attachment **attachments);

/*
 * Edits splice (of the same original) so that the attachments are gone and links stand in
 * the bodies. n_links is the number of attachments; 0 changes nothing. Edits the top
 * header block only in Content-*, MIME-Version, Lines: the caller may edit all other
 * header fields. False with MIME_ERROR_CONTENT when no body can carry the links: the
 * message must go whole.
 */
bool mime_message_link(struct mime_message *message, const struct mime_link *links,
	size_t n_links, struct splice *splice, GError **error);

void mime_message_free(struct mime_message **message);

#endif
