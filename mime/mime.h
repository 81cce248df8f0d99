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
enum mime_forwarded {
	MIME_FORWARDED_KEEP,
	MIME_FORWARDED_WHOLE,
	MIME_FORWARDED_INSIDE, /* its attachments are linked, in its own text */
};
enum mime_resource_forks { MIME_FORKS_LINK, MIME_FORKS_DROP };
/* A message that is over what the relay takes, with nothing in it left to link. */
enum mime_oversized { MIME_OVERSIZED_LINK, MIME_OVERSIZED_KEEP };
enum mime_tnef { MIME_TNEF_LINK, MIME_TNEF_KEEP, MIME_TNEF_EXTRACT };
/* A message whose only body is text: the links stand in that, or it gets HTML as well. */
enum mime_text_only { MIME_TEXT_ONLY_TEXT, MIME_TEXT_ONLY_BOTH };
enum mime_block_position { MIME_BLOCK_END, MIME_BLOCK_TOP };

/* What becomes of parts whose media type or file name fits; "*" in the pattern stands for
 * any run of octets, "?" for one; ASCII case does not count. */
enum mime_action { MIME_ACTION_KEEP, MIME_ACTION_LINK };
struct mime_rule {
	const char *pattern;
	enum mime_action action;
};
enum { MIME_RULES_MAX = 200 }; /* of types, and of names */

struct mime_template; /* mime/template.h */

/* Filled by conf/; strings belong to the settings' owner. Defaults:
 * mime_settings_init(). */
struct mime_settings {
	uint64_t min_size; /* octets decoded: an attachment below it stays; 0 links all */
	enum mime_inline_images inline_images;
	/* octets decoded: a kept inline part above it is linked after all */
	uint64_t inline_max;
	enum mime_forwarded forwarded; /* message/rfc822 */
	/* of INSIDE: messages within messages; deeper ones stay */
	size_t forwarded_depth;
	/* The first rule that fits decides, those of names before those of types. They
	 * say nothing of bodies, and nothing of what may not change. */
	const struct mime_rule *types, *names;
	size_t n_types, n_names;
	enum mime_resource_forks resource_forks; /* of AppleDouble, beside their data */
	enum mime_oversized oversized; /* the caller's, see mime_message_link_whole() */
	enum mime_tnef tnef;           /* EXTRACT: the caller adds what is in it */
	enum mime_block_position block_position;
	enum mime_text_only text_only;
	/* How the block is worded; NULL: as built in. Borrowed. */
	const struct mime_template *text_template, *html_template;
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
 * Reads the message of original_bytes octets at fd (borrowed; must stay open and
 * unchanged) and decides; where octets (borrowed; may be NULL) holds all of it
 * already, it is not read from fd. A message that cannot be understood is no
 * error: it has no attachments and mime_message_untouched_reason() says why. NULL
 * with MIME_ERROR_IO otherwise.
 */
struct mime_message *mime_message_new(int fd, const char *octets, uint64_t original_bytes,
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

/* How devices that can write to one address only name their recipients in the text. */
enum mime_marker {
	MIME_MARKER_COLON = 1,   /* :WORD:a@x.example,b@y.example:WORD: */
	MIME_MARKER_BRACKET = 2, /* WORD:[a@x.example,b@y.example]:WORD: */
};
struct mime_markers {
	unsigned forms;   /* of enum mime_marker */
	const char *word; /* letters, digits, hyphens, underscores; in any case */
	size_t max;       /* recipients */
	/* Whether it may be written to address; NULL: to any. */
	bool (*allows)(void *context, const char *address);
	void *context;
};

/*
 * Looks for lists of recipients in the texts of the message, after
 * mime_message_extract(). *addresses gets them, each once (of char *,
 * g_ptr_array_unref()), and mime_message_link() will take the markers out of all texts;
 * or, with NULL, *reason says in a phrase why there is no proper list (g_free()), without
 * showing anything of it, and the texts stay. markers and what it points to must outlive
 * the message. False with MIME_ERROR_IO.
 */
bool mime_message_recipients(struct mime_message *message,
	const struct mime_markers *markers, GPtrArray **addresses, char **reason,
	GError **error);

/* A sentence in UTF-8, one line, that mime_message_link() puts in front of the bodies.
 * unforeseen is a text that the sender cannot know: boundaries are made of it. */
void mime_message_set_notice(
	struct mime_message *message, const char *notice, const char *unforeseen);

/* Whether an attachment is an Outlook container, by its type or name. */
bool mime_attachment_is_tnef(const struct mime_attachment *attachment);

/* A file that the caller found in a container. */
struct mime_file {
	const char *name; /* UTF-8, not cleaned; NULL: it has none */
	uint64_t size;
	uint8_t sha256[32];
};

/*
 * After mime_message_extract(): attachment number container (by index) has files in it
 * (borrowed for the call), which are listed behind all others and get links like them.
 * n_files 0: it could not be read, and its decision says so.
 */
void mime_message_add_files(struct mime_message *message, size_t container,
	const struct mime_file *files, size_t n_files);

/*
 * Edits splice (of the same original) so that the attachments are gone and links stand in
 * the bodies. n_links is the number of attachments; 0 changes nothing. Edits the top
 * header block only in Content-*, MIME-Version, Lines: the caller may edit all other
 * header fields. False with MIME_ERROR_CONTENT when no body can carry the links or the
 * notice: the message must go whole.
 */
bool mime_message_link(struct mime_message *message, const struct mime_link *links,
	size_t n_links, struct splice *splice, GError **error);

/*
 * For a next hop that takes no line over 998 octets (RFC 5321, section 4.5.3.1.6), no NUL
 * and no octets but of texts above 127: edits splice so that the parts which stay in the
 * message have none; what they say stays the same. Texts of up to 2 MiB with such lines
 * become quoted-printable, larger ones and all other parts base64; lines that are too
 * long in either encoding are folded. *changed tells whether there were any.
 *
 * Left alone: messages that are not understood; signed and encrypted multiparts; texts
 * of up to 2 MiB with a long line in which inline PGP is recognised; headers of parts;
 * what stands before the first and behind the last part; message/ leaves; parts with an
 * unknown Content-Transfer-Encoding, or with two; NUL and octets above 127 in parts that
 * are encoded; parts that splice alters already. False with MIME_ERROR_IO.
 */
bool mime_message_shorten_lines(struct mime_message *message, struct splice *splice,
	bool *changed, GError **error);

/*
 * Shows mend each Content-Type and Content-Disposition in the headers of the parts, not
 * in the message's own or an attached message's: its lines, length octets of them. What
 * that returns (lines too, or nothing; newline ends the message's) takes the field's
 * place, and is freed; NULL: it stays. Fields in signed and encrypted multiparts and
 * those that splice alters already are not changed. False with MIME_ERROR_IO.
 */
typedef GString *(*mime_mend)(const char *field, size_t length, const char *newline);
bool mime_message_mend_fields(struct mime_message *message, struct splice *splice,
	mime_mend mend, GError **error);

/*
 * For a message that can go neither as it is nor without its attachments: all of it as
 * one attachment, "message.eml", whose octets are the original's. Reads and hashes it.
 * False with MIME_ERROR_IO.
 */
bool mime_message_whole(
	struct mime_message *message, struct mime_attachment *whole, GError **error);

/*
 * Edits splice (of the same original) so that the header stands over a body that says
 * explanation (a sentence for people, one line), behind a notice where one was set, and
 * links to whole. Of the header only
 * Content-*, MIME-Version and Lines change. False with MIME_ERROR_CONTENT when the header
 * has no end.
 */
bool mime_message_link_whole(struct mime_message *message,
	const struct mime_attachment *whole, const struct mime_link *link,
	const char *explanation, struct splice *splice, GError **error);

void mime_message_free(struct mime_message **message);

#endif
