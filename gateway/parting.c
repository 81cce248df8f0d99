/* A thread that waits; nothing of the gateway is touched from it. */
#include "gateway/parting.h"

#include "gateway/log.h"
#include <glib.h>
#include <stdbool.h>
#include <sysexits.h>
#include <unistd.h>

struct parting {
	GThread *thread;
	GMutex lock;
	GCond changed;
	bool over; /* under the lock */
	int64_t until_us;
};

static void *wait_for_end(void *context)
{
	struct parting *parting = context;
	bool in_time = true;
	g_mutex_lock(&parting->lock);
	while (!parting->over && in_time)
		in_time = g_cond_wait_until(
			&parting->changed, &parting->lock, parting->until_us);
	if (!parting->over) {
		log_warning("gateway.stopped",
			LOG_TEXT("reason",
				"shutdown_timeout passed while connections were closed"));
		_exit(EX_OK);
	}
	g_mutex_unlock(&parting->lock);
	return NULL;
}

struct parting *parting_new(int64_t until_us)
{
	struct parting *parting = g_new0(struct parting, 1);
	g_mutex_init(&parting->lock);
	g_cond_init(&parting->changed);
	parting->until_us = until_us;
	parting->thread = g_thread_new("parting", wait_for_end, parting);
	return parting;
}

void parting_free(struct parting **parting)
{
	struct parting *old = g_steal_pointer(parting);
	if (!old)
		return;
	g_mutex_lock(&old->lock);
	old->over = true;
	g_cond_signal(&old->changed);
	g_mutex_unlock(&old->lock);
	g_thread_join(old->thread);
	g_cond_clear(&old->changed);
	g_mutex_clear(&old->lock);
	g_free(old);
}
