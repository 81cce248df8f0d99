/*
 * received - the trace of a message: our own Received field written, others' counted.
 * Pure. RFC 5321 sections 4.4 and 6.3, RFC 3848.
 */
#ifndef GATEWAY_SMTP_RECEIVED_H
#define GATEWAY_SMTP_RECEIVED_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct smtp_received {
	const char *helo;        /* as the client gave it; "" or NULL: unknown */
	const char *client;      /* numeric address */
	const char *client_name; /* from the DNS; "" or NULL: not known */
	const char *hostname;
	const char *id;
	bool esmtp;                           /* EHLO, not HELO */
	bool utf8;                            /* SMTPUTF8: UTF8SMTP (RFC 6531) */
	const char *tls_version, *tls_cipher; /* NULL without TLS */
	bool authenticated;
	/* NULL unless there is exactly one; left out beyond ASCII */
	const char *recipient;
	int64_t time_s; /* Unix time */
};

/* The field, folded, with its final CR LF. What a client chose cannot
 * break out of its place. */
GString *smtp_received_print(const struct smtp_received *received);

/* Watches the decoded message's header section for its Received and From fields. */
#define TRACE_FIELD_BYTES_MAX 8192
struct smtp_trace {
	const char *hostname;
	unsigned received; /* all of them */
	unsigned own;      /* those that we (hostname) wrote */
	bool in_header;
	uint64_t header_bytes; /* fed so far, with the empty line */
	bool line_started;
	bool from_is_cut;
	GString *from; /* NULL: none met */
	size_t field_bytes;
	char field[TRACE_FIELD_BYTES_MAX]; /* the beginning of the field at hand */
};

void smtp_trace_init(struct smtp_trace *trace, const char *hostname);
void smtp_trace_clear(struct smtp_trace *trace);
void smtp_trace_feed(struct smtp_trace *trace, const char *bytes, size_t n_bytes);
/* The message has ended, perhaps within its header section. */
void smtp_trace_end(struct smtp_trace *trace);

/* Whether the message goes in circles: over 50 hops, or over 5 times through here. */
bool smtp_trace_is_loop(const struct smtp_trace *trace);

/* After the end: the bodies of all From fields, unfolded, ", " between them, control
 * characters as "?"; "": there is none, NULL: over TRACE_FIELD_BYTES_MAX octets. */
const char *smtp_trace_from(const struct smtp_trace *trace);

#endif
