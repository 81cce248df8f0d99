/*
 * tls_pair - OpenSSL's own client and our server, memory to memory.
 */
#ifndef TESTS_UNIT_SMTP_TLS_PAIR_H
#define TESTS_UNIT_SMTP_TLS_PAIR_H

#include "gateway/smtp/tls.h"
#include "identity.h"
#include <openssl/ssl.h>

struct pair {
	SSL_CTX *context;
	SSL *client;
	struct tls *server;
	enum tls_status status; /* the server's last */
	size_t piece;           /* how much of the wire's bytes arrive at a time */
};

/* What is special about the client. */
struct pair_client {
	int version;                     /* 0: what both can */
	const char *ciphers;             /* up to TLS 1.2; NULL: all */
	const char *server_name;         /* NULL: it asks for none */
	const struct identity *identity; /* NULL: it shows none */
	const struct identity *above;    /* the rest of its chain; NULL: none */
};

void pair_init(struct pair *pair, struct tls_context *context,
	const struct pair_client *client, size_t piece);
void pair_clear(struct pair *pair);

/* Moves the server's output to the client. */
void pair_to_client(struct pair *pair);
/* Moves the client's output to the server, which does step with each piece. */
void pair_to_server(
	struct pair *pair, void (*step)(struct pair *, void *), void *context);

/* Until both have done it, or one has given up. */
void pair_shake_hands(struct pair *pair);

/* A step: reads all plaintext, to a GString. */
void pair_read(struct pair *pair, void *got);

/* The common name in the server's certificate; g_free(). */
char *pair_server_name(const struct pair *pair);

#endif
