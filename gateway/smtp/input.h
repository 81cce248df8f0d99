/*
 * input - received bytes that wait to be taken: lent during a read, else in a copy of
 * their own.
 */
#ifndef GATEWAY_SMTP_INPUT_H
#define GATEWAY_SMTP_INPUT_H

#include "gateway/smtp/slice.h"

/* All zero: none. */
struct input {
	struct slice rest; /* not taken yet; the owner moves its start */
	char *copy;        /* where rest lies, unless it is lent */
	size_t copy_bytes;
};

/* Forgets all. Copies are wiped: they may have held a password. */
void input_clear(struct input *input);
/* Lends bytes, instead of what was there. */
void input_set(struct input *input, const char *bytes, size_t n_bytes);
/* Adds bytes behind what waits; lent if nothing does. */
void input_add(struct input *input, const char *bytes, size_t n_bytes);
/* What was lent goes away: copies the rest of it. */
void input_keep(struct input *input);

#endif
