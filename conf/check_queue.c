/* Where messages wait, and for how long. Opens nothing. */
#include "conf/check.h"
#include "conf/files.h"

/* Half of it has to hold the database's log while what is queued leaves. */
#define MIN_FREE_BYTES_LEAST (3 * 1024 * 1024)

static void check_floor(const struct conf_check *check)
{
	uint64_t floor_bytes = check->conf->queue.min_free_bytes;
	if (floor_bytes > 0 && floor_bytes < MIN_FREE_BYTES_LEAST)
		conf_source_problem(check->source, "queue.min_free",
			"leaves no room for the record of what is queued: at least 3MiB, "
			"better 256MiB (0: no floor at all)");
}

void conf_check_queue(const struct conf_check *check)
{
	const struct conf_queue *queue = &check->conf->queue;
	conf_check_file(check, "queue.directory", queue->directory, conf_directory_check);
	check_floor(check);
	if (conf_check_any_bad(check, "queue.retry_first", "queue.retry_max",
		    "queue.lifetime", NULL))
		return;
	if (queue->retry_first_s > queue->retry_max_s)
		conf_source_problem(check->source, "queue.retry_max",
			"is shorter than queue.retry_first: the waits grow from one to "
			"the other");
	else if (queue->lifetime_s < queue->retry_first_s)
		conf_source_problem(check->source, "queue.lifetime",
			"is shorter than queue.retry_first: no message would be tried "
			"twice");
}
