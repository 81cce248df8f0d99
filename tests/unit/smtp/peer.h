/*
 * peer - a client of the door: what it says, and what it must hear.
 */
#ifndef TESTS_UNIT_SMTP_PEER_H
#define TESTS_UNIT_SMTP_PEER_H

#include "door.h"
#include <openssl/ssl.h>

struct peer {
	int fd;
	SSL *ssl;
	GString *got;
};

void peer_open(struct peer *peer, enum port port);
void peer_close(struct peer *peer);
bool peer_start_tls(struct peer *peer);

void send_bytes(struct peer *peer, const char *bytes, size_t n_bytes);
void say(struct peer *peer, const char *text);

/* Reads more; false at the end. */
bool hear(struct peer *peer);

/* The next whole reply must begin with want; its last line, g_free(). */
char *expect(struct peer *peer, const char *want);
void expect_only(struct peer *peer, const char *want);
/* The connection ends, and no further reply comes before. */
void expect_end(struct peer *peer);

/* Opens, up to the reply to EHLO. */
void greet(struct peer *peer, enum port port);
/* MAIL and RCPT, up to the reply to DATA. */
void begin_data(struct peer *peer);

#endif
