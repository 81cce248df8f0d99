/*
 * ehlo - what a server offers in its reply to EHLO.
 *
 * Pure. libetpan's own parser does not end on some replies, and reads them before TLS.
 */
#ifndef GATEWAY_RELAY_EHLO_H
#define GATEWAY_RELAY_EHLO_H

#include <stdbool.h>
#include <stdint.h>

struct ehlo {
	bool starttls;
	bool pipelining;
	bool body_8bit;
	bool smtputf8;
	bool dsn;
	bool auth_plain;
	bool auth_login;
	bool size;          /* SIZE= may be given with MAIL */
	uint64_t max_bytes; /* of a message; 0: the server names no limit */
};

/* text: the reply's lines without their code, joined by \n; the first is the server's
 * name. Keywords that are not known are passed over. */
void ehlo_parse(struct ehlo *ehlo, const char *text);

#endif
