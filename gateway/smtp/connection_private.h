/*
 * connection_private - what the files of a connection share. For connection*.c alone.
 *
 *   connection.c           its life: opening, reading, turns, the end
 *   connection_arrival.c   before the greeting: PROXY, ceilings, DNS, early talkers
 *   connection_tls.c       handshake and ciphertext
 *   connection_output.c    replies on their way out
 *   connection_patience.c  how long is waited for what
 *   connection_session.c   what the session asks for: mail
 *   connection_auth.c      what it asks for: who the client is
 */
#ifndef GATEWAY_SMTP_CONNECTION_PRIVATE_H
#define GATEWAY_SMTP_CONNECTION_PRIVATE_H

#include "gateway/log.h"
#include "gateway/smtp/connection.h"
#include "gateway/smtp/input.h"
#include "gateway/smtp/transaction.h"

/* What the timer is for. */
enum wait {
	WAIT_NOBODY, /* we work: the client has all time */
	WAIT_PROXY,  /* for its header */
	WAIT_GREETING,
	WAIT_HANDSHAKE,
	WAIT_COMMAND,
	WAIT_DATA,
	WAIT_WRITE, /* for the client to read */
	WAIT_AUTH_DELAY,
	WAIT_LINGER,
};

struct connection {
	struct client client;
	struct transaction transaction;
	struct receipt receipt;
	uv_tcp_t tcp;
	uv_timer_t timer;
	uv_work_t flush;
	uv_shutdown_t shutdown;
	GList link;
	struct turn turn;
	struct smtp_session *session;
	struct tls *tls;
	struct screening *screening;
	struct verification *verification;
	char *auth_user;
	struct input raw;   /* as received */
	struct input plain; /* decrypted */
	GError *flush_error;
	/* loop time; 0: none */
	uint64_t deadline_ms, stall_ms, limit_ms, timer_ms, drain_ms;
	uint64_t data_began_ms, flush_began_ms, data_bytes;
	enum wait wait;
	enum smtp_reply_id auth_refusal; /* to be said after its delay */
	size_t lingered_bytes;
	unsigned quirks; /* bits of enum quirk: told already */
	unsigned pins;   /* handles not closed yet, work under way */
	bool awaits_proxy, is_proxy, entered, greeting_waits, greeted, certified;
	bool starttls, handshaking, reading, writing, flushing, committing, auth_delayed;
	bool eof, filled, lingering, closing, heard, said, hung_up, saw_secret, left_mail;
	void (*ended)(void *owner);
	void *owner;
};

/* Who it is, in every line of the log. */
#define LOG_CLIENT(c)                                                                    \
	LOG_TEXT("listener", (c)->client.listener->name),                                \
		LOG_TEXT("client", (c)->client.address),                                 \
		LOG_TEXT("client_name", (c)->client.name),                               \
		LOG_TEXT("helo", smtp_session_helo((c)->session))

static inline struct front *connection_front(const struct connection *c)
{
	return c->client.front;
}

static inline uint64_t connection_now_ms(const struct connection *c)
{
	return uv_now(connection_front(c)->loop);
}

static inline const struct sockaddr *connection_peer(const struct connection *c)
{
	return (const struct sockaddr *)&c->client.peer;
}

/* connection.c */
/* Lets the session take input and sends what it says, until one of them has to wait, or
 * it is others' turn. */
void connection_advance(struct connection *c);
void connection_pin(struct connection *c);
void connection_unpin(struct connection *c);

/* connection_arrival.c */
bool connection_is_from(
	const struct connection *c, const struct conf_network *networks, size_t n);
/* The client is known, and may enter. proxy: in front of it, or NULL. */
void connection_arrive(struct connection *c, const char *proxy);
/* Looks for the PROXY header in the input. */
void connection_read_proxy(struct connection *c);
/* Greets, if it is time to. */
void connection_greet(struct connection *c);
/* No header came in time, or no longer can. */
void connection_fail_proxy(struct connection *c, const char *reason);

/* connection_tls.c */
void connection_start_handshake(struct connection *c);
/* 220 is on its way. */
void connection_answer_starttls(struct connection *c);
void connection_shake_hands(struct connection *c);
/* Fills plain. */
void connection_decrypt(struct connection *c);
void connection_tell_tls_failed(struct connection *c, const char *reason);

/* connection_output.c */
/* False: there was nothing to send. */
bool connection_send(struct connection *c);

/* connection_patience.c */
void connection_set_deadline(struct connection *c);

/* connection_session.c */
extern const struct smtp_session_callbacks connection_callbacks;
/* Whether input has to wait. */
bool connection_is_busy(const struct connection *c);
void connection_feed(struct connection *c, struct input *input);
void connection_flush_if_due(struct connection *c);
/* Counts and tells it, once in a session. */
void connection_tell_quirk(struct connection *c, enum quirk quirk);

/* connection_auth.c */
/* After the handshake: who the client is by its certificate; sets certified. */
void connection_take_certificate(struct connection *c);
/* Where a listener takes no others. */
bool connection_lacks_certificate(const struct connection *c);
void connection_on_auth(void *context, const char *user, const char *password);
void connection_on_auth_external(void *context, const char *user);
/* Terms of the client's account, or the listener's. */
void connection_set_terms(struct connection *c);
/* The delay before a refusal is over. */
void connection_refuse_auth(struct connection *c);

#endif
