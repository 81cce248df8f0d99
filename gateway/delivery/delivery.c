/* The workers that take messages from the queue. What happens to one is job's. */
#include "gateway/delivery/delivery.h"

#include "gateway/delivery/job.h"

struct delivery {
	struct queue *queue;
	struct metrics *metrics;
	GMutex lock;
	struct route *route;  /* under lock */
	GPtrArray *under_way; /* of struct route, one for each message; under lock */
	GPtrArray *workers;   /* of GThread */
	gint running;         /* workers that have not ended; atomic */
	gint in_flight;       /* atomic */
	void (*over)(void *context);
	void *context;
};

static struct route *begin(struct delivery *delivery)
{
	g_mutex_lock(&delivery->lock);
	struct route *route = route_ref(delivery->route);
	g_ptr_array_add(delivery->under_way, route);
	g_mutex_unlock(&delivery->lock);
	return route;
}

static void end(struct delivery *delivery, struct route *route)
{
	g_mutex_lock(&delivery->lock);
	g_ptr_array_remove_fast(delivery->under_way, route);
	g_mutex_unlock(&delivery->lock);
	route_unref(&route);
}

static void work_on(
	struct delivery *delivery, struct queue_message *(*take)(struct queue *queue))
{
	struct queue_message *message;
	while ((message = take(delivery->queue)) != NULL) {
		g_atomic_int_inc(&delivery->in_flight);
		struct route *route = begin(delivery);
		job_run(delivery->queue, delivery->metrics, route, message);
		end(delivery, route);
		g_atomic_int_add(&delivery->in_flight, -1);
	}
	if (g_atomic_int_dec_and_test(&delivery->running))
		delivery->over(delivery->context);
}

static void *work(void *context)
{
	work_on(context, queue_take);
	return NULL;
}

/* All others may be waiting for their turn at a relay with mail that is less urgent. */
static void *work_on_alarms(void *context)
{
	work_on(context, queue_take_urgent);
	return NULL;
}

struct delivery *delivery_new(struct queue *queue, struct metrics *metrics,
	struct route *route, void (*over)(void *context), void *context)
{
	struct delivery *delivery = g_new0(struct delivery, 1);
	delivery->queue = queue;
	delivery->metrics = metrics;
	delivery->route = route_ref(route);
	delivery->over = over;
	delivery->context = context;
	g_mutex_init(&delivery->lock);
	delivery->under_way = g_ptr_array_new();
	delivery->workers = g_ptr_array_new();
	unsigned n = route->conf->queue.workers;
	g_atomic_int_set(&delivery->running, (gint)n + 1);
	for (unsigned i = 0; i < n; i++)
		g_ptr_array_add(
			delivery->workers, g_thread_new("delivery", work, delivery));
	g_ptr_array_add(delivery->workers,
		g_thread_new("delivery-alarm", work_on_alarms, delivery));
	return delivery;
}

void delivery_set_route(struct delivery *delivery, struct route *route)
{
	g_mutex_lock(&delivery->lock);
	struct route *old = delivery->route;
	delivery->route = route_ref(route);
	g_mutex_unlock(&delivery->lock);
	route_unref(&old);
}

void delivery_hurry(struct delivery *delivery)
{
	g_mutex_lock(&delivery->lock);
	relays_hurry(delivery->route->relays);
	for (guint i = 0; i < delivery->under_way->len; i++) {
		struct route *route = delivery->under_way->pdata[i];
		relays_hurry(route->relays);
	}
	g_mutex_unlock(&delivery->lock);
}

size_t delivery_in_flight(const struct delivery *delivery)
{
	return (size_t)g_atomic_int_get(&delivery->in_flight);
}

void delivery_free(struct delivery **delivery)
{
	if (!*delivery)
		return;
	for (guint i = 0; i < (*delivery)->workers->len; i++)
		g_thread_join(g_ptr_array_index((*delivery)->workers, i));
	g_ptr_array_unref((*delivery)->workers);
	g_ptr_array_unref((*delivery)->under_way);
	route_unref(&(*delivery)->route);
	g_mutex_clear(&(*delivery)->lock);
	g_clear_pointer(delivery, g_free);
}
