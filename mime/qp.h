/*
 * qp - quoted-printable text bodies (RFC 2045, section 6.7): places
 * in them, and writing it.
 *
 * Reading is lenient here: what is no escape stands for itself, so that any
 * body can be edited by inserting between its octets. decode.c has the
 * strict reader, for attachments.
 *
 * Private to mime/. Pure.
 */
#ifndef MIME_QP_H
#define MIME_QP_H

#include <glib.h>
#include <stddef.h>

enum { QP_LINE_BYTES = 76 };

void qp_decode(const char *raw, size_t length, GString *out);

/* A place in both, to go on from; zero: the beginning. */
struct qp_place {
	size_t raw, decoded;
};

/* Where in raw the octet number decoded_offset begins, behind any soft line break before
 * it; length when the text ends there. place must not be behind that, and becomes it. */
size_t qp_raw_offset(
	const char *raw, size_t length, struct qp_place *place, size_t decoded_offset);

/*
 * Appends text as quoted-printable whose lines have at most QP_LINE_BYTES octets and
 * never begin with '-', '.' or "From ". newline is the message's: where text has it, the
 * line ends; other CR and LF are escaped. The first line is taken to begin in column 0.
 */
void qp_encode(const char *text, size_t length, const char *newline, GString *out);

#endif
