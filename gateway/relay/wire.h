/*
 * wire - a message's content as it goes over SMTP: CRLF line ends, dots doubled.
 *
 * RFC 5321, sections 2.3.8 and 4.5.2. What is already in that form is handed on as it is
 * and never copied. A bare LF becomes CRLF; a CR without LF becomes a space: hops differ
 * in whether they take it for a line end, and a message could pass one and be two behind
 * the next.
 *
 * Pure. Bytes may come in pieces of any size.
 */
#ifndef GATEWAY_RELAY_WIRE_H
#define GATEWAY_RELAY_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#define WIRE_LINE_BYTES_MAX 998 /* without CRLF: RFC 5321, 4.5.3.1.6 */

struct wire {
	bool mid_line;
	bool held_cr; /* the last octet was a CR, not passed on yet */
	void (*emit)(void *context, const char *data, size_t bytes);
	void *context;
};

/* Zero-initialise but for emit and context, then add all. */
void wire_add(struct wire *wire, const char *data, size_t bytes);

/* Ends the last line where it has no line end. The final dot is the caller's. */
void wire_end(struct wire *wire);

/* Looks for lines over WIRE_LINE_BYTES_MAX. Zero-initialise. */
struct wire_lines {
	size_t line_bytes;
	bool last_cr;
	bool too_long; /* out */
};
void wire_lines_add(struct wire_lines *lines, const char *data, size_t bytes);

#endif
