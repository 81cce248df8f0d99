/* A bucket of tokens and a window. Who waits for it, and how: client.c. */
#include "s3/budget.h"
#include <glib.h>

/* Of all requests, after the store has asked for less: half to all of it, at random. */
#define PAUSE_FIRST_MS 250u
#define PAUSE_MAX_MS   4000u
/* A store that names a longer wait gets one of this length after another. */
#define WAIT_MAX_MS 30000u
/* After so many in a row it is not a moment's matter: what fails now
 * waits in the queue. */
#define THROTTLES_PATIENCE 4
#define THROTTLES_MAX      16

void s3_budget_init(struct s3_budget *budget, unsigned most)
{
	*budget = (struct s3_budget){
		.left = S3_BUDGET_FULL,
		.side_by_side = most,
		.most = most,
	};
}

bool s3_budget_may_begin(
	const struct s3_budget *budget, unsigned under_way, int64_t now_ms)
{
	return now_ms >= budget->resume_ms && under_way < (unsigned)budget->side_by_side;
}

bool s3_budget_pay(struct s3_budget *budget)
{
	if (budget->left < S3_BUDGET_RETRY_COST || budget->throttles > THROTTLES_PATIENCE)
		return false;
	budget->left -= S3_BUDGET_RETRY_COST;
	return true;
}

void s3_budget_succeeded(struct s3_budget *budget, bool was_retried)
{
	unsigned back = was_retried ? S3_BUDGET_RETRY_COST : 1;
	budget->left = MIN(budget->left + back, S3_BUDGET_FULL);
	budget->throttles = 0;
	budget->side_by_side = MIN(
		budget->side_by_side + 1 / budget->side_by_side, (double)budget->most);
}

static unsigned pause_ms(unsigned throttles, double chance)
{
	unsigned bound_ms = PAUSE_FIRST_MS;
	for (unsigned i = 1; i < throttles && bound_ms < PAUSE_MAX_MS; i++)
		bound_ms *= 2;
	return (unsigned)(bound_ms * (1 + chance) / 2);
}

void s3_budget_throttled(
	struct s3_budget *budget, int64_t now_ms, unsigned wait_ms, double chance)
{
	/* What was under way when the store first complained tells nothing new. */
	bool is_echo = now_ms < budget->resume_ms;
	if (!is_echo) {
		budget->throttles = MIN(budget->throttles + 1, THROTTLES_MAX);
		budget->side_by_side = MAX(budget->side_by_side / 2, 1);
	}
	unsigned pause = is_echo ? 0 : pause_ms(budget->throttles, chance);
	pause = MAX(pause, MIN(wait_ms, WAIT_MAX_MS));
	budget->resume_ms = MAX(budget->resume_ms, now_ms + pause);
}
