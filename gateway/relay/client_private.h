/*
 * client_private - one SMTP session's inside, shared by client.c (opening and closing it)
 * and transaction.c (sending with it). For no other file.
 */
#ifndef GATEWAY_RELAY_CLIENT_PRIVATE_H
#define GATEWAY_RELAY_CLIENT_PRIVATE_H

#include "gateway/relay/client.h"
#include "gateway/relay/ehlo.h"
#include <libetpan/libetpan.h>

/* A small message, its final dot and what stands before them fit: one write. */
#define CLIENT_STREAM_BYTES 65536
#define CLIENT_BLOCK_BYTES  32768

struct client {
	const struct conf_relay *settings;
	const char *hostname;
	struct transport *transport;
	mailstream *stream; /* over the transport */
	MMAPString *line;
	struct reply reply; /* the last one read */
	struct ehlo ehlo;
	GString *command;
	char *block;
	bool needs_reset; /* a transaction was begun and not ended */
};

/* The limits of a command and its reply begin now. */
void client_limit_command(struct client *client);

/* Into the stream's buffer; false: dead. */
bool client_put(struct client *client, const char *data, size_t bytes);
/* What is in the buffer, in one write where the peer takes it; false: dead. */
bool client_flush(struct client *client);

/* Whether something is there to be read: octets, or the connection's end. */
bool client_has_input(struct client *client);

/* Reads one reply into client->reply, within the limits set before. False: dead, and the
 * reply not complete. A 421 is read and kills too. */
bool client_read_reply(struct client *client);

#endif
