/*
 * scene - a relay, its scripted peer, and one message for it, for tests of the relay.
 */
#ifndef TESTS_UNIT_RELAY_SCENE_H
#define TESTS_UNIT_RELAY_SCENE_H

#include "gateway/relay/relay.h"
#include "peer.h"

/* Of the group: made by scene_set_up(). ca_file has the certificate of ca. */
extern struct peer_ca scene_ca, scene_other_ca;
extern char *scene_directory, *scene_ca_file;
int scene_set_up(void **unused);
int scene_tear_down(void **unused);

struct scene {
	struct conf_relay settings;
	struct peer *peer;
	struct relay *relay;
	struct metrics *metrics;
	struct splice *splice;
	struct relay_message message;
	struct relay_recipient recipients[60];
	unsigned dots;     /* calls of before_final_dot */
	unsigned betweens; /* of between */
	int64_t asked_ms;  /* for relay_is_usable() */
	bool refuse_dot;
};

/* Starts the peer. Settings may be changed until scene_relay() or scene_send(). */
void scene_init(struct scene *s, const struct peer_script *script);
void scene_deinit(struct scene *s);
/* Makes the relay; fails the test if it cannot be. */
void scene_relay(struct scene *s);
/* The message's octets; without a call there are some. */
void scene_content(struct scene *s, const char *text, size_t bytes);
/* Frees what the last attempt left in message. */
void scene_clear(struct relay_message *message);
/* Sends to these forward-paths, NULL-ended. */
void scene_send(struct scene *s, ...);

/* Fails the test, naming it, unless the i-th recipient ended so; text NULL: with any. */
void scene_expect(const struct scene *s, size_t i, enum relay_verdict verdict, int code,
	const char *text, const char *name);
/* How often text stands in the peer's log. */
unsigned scene_count(struct scene *s, const char *text);
void scene_expect_log(struct scene *s, const char *want);

#endif
