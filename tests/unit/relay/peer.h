/*
 * peer - a scripted SMTP server on loopback, for tests of the relay client.
 *
 * Answers as a good server would, but for what the rules say. Each connection has a
 * thread; all end with peer_stop().
 */
#ifndef TESTS_UNIT_RELAY_PEER_H
#define TESTS_UNIT_RELAY_PEER_H

#include <glib.h>
#include <openssl/ssl.h>
#include <stdbool.h>

enum peer_action {
	PEER_REPLY,       /* text instead of the usual reply */
	PEER_REPLY_CLOSE, /* text, then the connection is closed */
	PEER_CLOSE,
	PEER_SILENT,  /* no reply; the connection stays until the client closes it */
	PEER_DRIBBLE, /* a reply that never ends, an octet at a time */
	PEER_FLOOD,   /* a reply of many megabytes */
};

struct peer_rule {
	/* start of a command line; "CONNECT", "DOT", "CONTENT" (in the middle) */
	const char *on;
	enum peer_action action;
	const char *text;
	unsigned times; /* how often it holds, over all connections; 0: always */
};

enum peer_tls { PEER_PLAIN, PEER_STARTTLS, PEER_WRAPPER };

struct peer_script {
	enum peer_tls tls;
	SSL_CTX *context;
	const char *ehlo;   /* lines "250-X\r\n" before the last; NULL: the usual ones */
	const char *inject; /* sent in the clear right behind the answer to STARTTLS */
	const struct peer_rule *rules; /* ended by one without on */
};

struct peer;

struct peer *peer_start(const struct peer_script *script);
unsigned peer_port(const struct peer *peer);
/* Everything that clients sent: "connect", each command line, "content:" and its octets
 * as they came, "close"; one per line. g_free(). */
char *peer_log(struct peer *peer);
/* Closes all connections. */
void peer_drop_all(struct peer *peer);
/* Waits until the log has text in it; false after 5 s. */
bool peer_await(struct peer *peer, const char *text);
void peer_stop(struct peer **peer);

/* Certificates made on the spot. */
struct peer_ca {
	EVP_PKEY *key;
	X509 *certificate;
};
void peer_ca_init(struct peer_ca *ca, const char *name);
void peer_ca_deinit(struct peer_ca *ca);
/* names: a subjectAltName, "DNS:x,IP:127.0.0.1"; lifetime in days from
 * now, negative: expired. */
SSL_CTX *peer_context(const struct peer_ca *ca, const char *names, int days);
void peer_ca_write(const struct peer_ca *ca, const char *path);

#endif
