/*
 * front - what all sessions of a server share, and what is known of one client.
 */
#ifndef GATEWAY_SMTP_FRONT_H
#define GATEWAY_SMTP_FRONT_H

#include "gateway/smtp/commits.h"
#include "gateway/smtp/session.h"
#include "gateway/smtp/settings.h"
#include "gateway/smtp/verifier.h"
#include <netinet/in.h>

struct front {
	uv_loop_t *loop;
	struct queue *queue;     /* borrowed */
	struct metrics *metrics; /* borrowed */
	struct verifier *verifier;
	struct commits *commits;
	GQueue connections;       /* of struct connection */
	unsigned max_connections; /* of all listeners: what descriptors allow */
	/* One loop, one read at a time: idle sessions need no buffers of their own. */
	char input[65536];
	char plain[16384]; /* a TLS record's worth */
};

struct client {
	struct front *front;
	struct smtp_settings *settings; /* a reference */
	const struct conf_listener *listener;
	struct sockaddr_storage peer;
	char address[INET6_ADDRSTRLEN];
	struct smtp_session *session;
	const char *tls_version, *tls_cipher; /* static strings; NULL without TLS */
	char *user;                           /* authenticated as; NULL without AUTH */
};

#endif
