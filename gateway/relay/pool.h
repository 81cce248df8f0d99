/*
 * pool - the connections to the relay, kept between messages.
 *
 * Grows with demand to settings->connections; each is replaced after
 * messages_per_connection or connection_lifetime_s and closed when it has been idle for
 * POOL_IDLE_S. After a failure to connect nobody tries again for a short, growing while;
 * then one connection tries for all. Threads: any.
 */
#ifndef GATEWAY_RELAY_POOL_H
#define GATEWAY_RELAY_POOL_H

#include "gateway/relay/client.h"

/* Shorter than any server's own patience (RFC 5321 asks for 5 minutes,
 * busy ones give 10 s). */
#define POOL_IDLE_S 8

struct pool;

/* All borrowed; must outlive it. */
struct pool *pool_new(const struct conf_relay *settings, const char *hostname,
	const struct transport_trust *trust);

struct pool_connection {
	struct client *client;
	int64_t born_us, idle_since_us;
	unsigned messages;
	bool reused; /* it was idle before: its peer may have left unnoticed */
};

/* A connection for the caller alone; waits for a free one, and after a failure for
 * the next time one is tried. fresh: not one that was idle. limit_us: how long it
 * waits; 0: as long as others may take. NULL with failure set: the relay could not
 * be reached since the call began, or only a person can mend why not, or all
 * connections are busy for long. */
struct pool_connection *pool_take(
	struct pool *pool, bool fresh, int64_t limit_us, struct failure *failure);

/*
 * Whether the relay is not known to be out of reach. While it is, one caller at a
 * time tries anew once it is time for that (blocks as connecting does), the others
 * get false with failure set. patient: one of them waits where it is soon time.
 * asked_ms: it is time at once where the last failure is older (Unix time): a person
 * has asked since; 0: nobody.
 */
bool pool_is_open(
	struct pool *pool, bool patient, int64_t asked_ms, struct failure *failure);

/* From now on nobody waits for a relay that could not be reached: the gateway stops. */
void pool_hurry(struct pool *pool);

/* Gives it back after one transaction; one that is no longer usable is closed. lost: why
 * it ended before its time, NULL where it did not; counts as a failure to connect unless
 * it was reused. */
void pool_put(struct pool *pool, struct pool_connection *connection,
	const struct failure *lost);

/* No connection may be out. Closes the idle ones. */
void pool_free(struct pool **pool);

#endif
