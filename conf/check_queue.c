/* Where messages wait, and for how long. Opens nothing. */
#include "conf/check.h"
#include "conf/files.h"

void conf_check_queue(const struct conf_check *check)
{
	const struct conf_queue *queue = &check->conf->queue;
	conf_check_file(check, "queue.directory", queue->directory, conf_directory_check);
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
