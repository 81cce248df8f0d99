/*
 * budget - how much a store is asked while it does badly. Pure: times come
 * from the caller.
 *
 * Attempts that repeat another are paid from a bucket that every store has once, as in
 * "Retry behavior", AWS SDKs and Tools Reference Guide (standard mode): while all goes
 * well each request has its attempts; while nothing does, each has one, and a store that
 * comes back is not met by a multiple of its load. When it asks for less (SlowDown), all
 * requests pause and fewer go side by side; each that succeeds makes room for more.
 * Nothing is repeated while it keeps asking.
 *
 * Threads: one at a time.
 */
#ifndef S3_BUDGET_H
#define S3_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define S3_BUDGET_FULL       500
#define S3_BUDGET_RETRY_COST 5

struct s3_budget {
	unsigned left;       /* of S3_BUDGET_FULL */
	double side_by_side; /* requests at a time, 1..most */
	unsigned most;
	unsigned throttles; /* without a success between them */
	int64_t resume_ms;  /* nothing new before */
};

/* most: connections. */
void s3_budget_init(struct s3_budget *budget, unsigned most);

/* Whether one more request may begin beside those under way. */
bool s3_budget_may_begin(
	const struct s3_budget *budget, unsigned under_way, int64_t now_ms);

/* Pays for another attempt; false: there is none. */
bool s3_budget_pay(struct s3_budget *budget);

/* A request was done, after another attempt of it or at once. */
void s3_budget_succeeded(struct s3_budget *budget, bool was_retried);

/* The store asked for less, and perhaps (else 0) for how long. chance is 0
 * to 1, at random. */
void s3_budget_throttled(
	struct s3_budget *budget, int64_t now_ms, unsigned wait_ms, double chance);

#endif
