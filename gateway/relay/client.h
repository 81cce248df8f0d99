/*
 * client - one SMTP session with the relay: from the greeting to
 * QUIT, any number of messages.
 *
 * Threads: one at a time. Blocks within the time limits of the settings.
 */
#ifndef GATEWAY_RELAY_CLIENT_H
#define GATEWAY_RELAY_CLIENT_H

#include "conf/conf.h"
#include "gateway/relay/relay.h"
#include "gateway/relay/reply.h"
#include "gateway/relay/transport.h"

struct client;

/* Connects, greets, starts TLS, logs in. NULL with failure set. All borrowed, must
 * outlive it. address: with which of the host's it begins, as in transport_new(). */
struct client *client_new(const struct conf_relay *settings, const char *hostname,
	const struct transport_trust *trust, uint64_t address, struct failure *failure);

/* Whether nothing has failed yet. */
bool client_is_alive(const struct client *client);
/* Whether it can take another message: alive, and the peer silent. Asks the socket. */
bool client_is_usable(struct client *client);

/* Whether the peer offers SMTPUTF8 (RFC 6531). */
bool client_offers_smtputf8(const struct client *client);

struct client_transaction {
	struct relay_message *message;
	struct relay_recipient **recipients; /* of this transaction; paths checked */
	size_t n_recipients;
};

/*
 * Sends one transaction: each recipient's verdict, code and text stand in it afterwards,
 * and relay_id in the message when it was taken. False: the connection was lost before
 * the final dot (or the peer said 421), so nothing was taken and another connection may
 * try again at once; the recipients are DEFERRED. failure is set when it was lost, and to
 * the gravest reply that asks for more than trying again (THROTTLE, MEND); else it is
 * left as it is.
 */
bool client_send(struct client *client, const struct client_transaction *transaction,
	struct failure *failure);

/* Says QUIT when the session is sound, and waits a second at most for the
 * answer. NULL is taken. */
void client_free(struct client **client);

/* Sets what has become of a recipient, of no further fault; text is copied. */
void client_set_verdict(struct relay_recipient *recipient, enum relay_verdict verdict,
	int reply_code, const char *text);

/* The same where the relay itself could not be used: HELD where a person must mend
 * something, else DEFERRED. text NULL: the failure's. */
void client_set_unusable(struct relay_recipient *recipient,
	const struct conf_relay *settings, const struct failure *failure,
	const char *text);

#endif
