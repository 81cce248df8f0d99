/*
 * telling - lines that any stranger can bring about, told one by one, in a flood by their
 * number: a log must not be filled from outside. Pure: time is given.
 */
#ifndef GATEWAY_SMTP_TELLING_H
#define GATEWAY_SMTP_TELLING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define TELLING_SHARES 16

/* All zero: nothing told yet. */
struct telling {
	uint64_t period; /* of told */
	unsigned told;
	unsigned happened; /* since the last that was told */
};

/* One more has happened. True: tell it, with *happened, the number it stands for. */
bool telling_may(struct telling *telling, uint64_t now_ms, unsigned *happened);

/* The same for what an operator looks for by client: a client, with the few that share
 * its count, is told of whatever others do. */
struct tellings {
	struct telling shares[TELLING_SHARES];
};

bool tellings_may(struct tellings *tellings, const struct sockaddr *client,
	uint64_t now_ms, unsigned *happened);

#endif
