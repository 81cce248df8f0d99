/*
 * front - what all sessions of a server share, and what is known of one client.
 */
#ifndef GATEWAY_SMTP_FRONT_H
#define GATEWAY_SMTP_FRONT_H

#include "gateway/smtp/ceilings.h"
#include "gateway/smtp/commits.h"
#include "gateway/smtp/screener.h"
#include "gateway/smtp/session.h"
#include "gateway/smtp/settings.h"
#include "gateway/smtp/telling.h"
#include "gateway/smtp/turns.h"
#include "gateway/smtp/verifier.h"
#include <netinet/in.h>

struct front {
	uv_loop_t *loop;
	struct queue *queue;     /* borrowed */
	struct metrics *metrics; /* borrowed */
	struct verifier *verifier;
	struct commits *commits;
	struct ceilings *ceilings;
	struct screener *screener;
	struct turns *turns; /* of struct connection */
	struct telling refusals, quirks, tls_failures;
	struct tellings replies;  /* of 4xx and 5xx */
	GQueue connections;       /* of struct connection */
	unsigned max_connections; /* of all listeners: what descriptors allow */
	size_t buffered_bytes;    /* of all transactions' spools */
	/* One loop, one read at a time: idle sessions need no buffers of their own. */
	char input[65536];
	char plain[16384]; /* a TLS record's worth */
};

struct client {
	struct front *front;
	struct smtp_settings *settings; /* a reference */
	const struct conf_listener *listener;
	struct sockaddr_storage peer; /* behind a proxy: as it says */
	char address[INET6_ADDRSTRLEN];
	char *name;       /* from the DNS, leads back to address; NULL: not known */
	char *block_list; /* that has its address; NULL: none */
	struct smtp_session *session;
	const char *tls_version, *tls_cipher; /* static strings; NULL without TLS */
	/* Authenticated as, by AUTH or by a certificate; NULL: not. */
	char *user;
	bool used_auth;                     /* by AUTH (RFC 3848's A) */
	const struct conf_account *account; /* of user, in settings; NULL: none fits */
};

#endif
