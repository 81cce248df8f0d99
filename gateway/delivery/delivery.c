/* The workers that take messages from the queue. What happens to one is job's. */
#include "gateway/delivery/delivery.h"

#include "gateway/delivery/job.h"

struct delivery {
	struct queue *queue;
	struct metrics *metrics;
	GMutex lock;
	struct route *route; /* under lock */
	GPtrArray *workers;  /* of GThread */
	gint running;        /* workers that have not ended; atomic */
	gint in_flight;      /* atomic */
	void (*over)(void *context);
	void *context;
};

static struct route *current_route(struct delivery *delivery)
{
	g_mutex_lock(&delivery->lock);
	struct route *route = route_ref(delivery->route);
	g_mutex_unlock(&delivery->lock);
	return route;
}

static void *work(void *context)
{
	struct delivery *delivery = context;
	struct queue_message *message;
	while ((message = queue_take(delivery->queue)) != NULL) {
		g_atomic_int_inc(&delivery->in_flight);
		struct route *route = current_route(delivery);
		job_run(delivery->queue, delivery->metrics, route, message);
		route_unref(&route);
		g_atomic_int_add(&delivery->in_flight, -1);
	}
	if (g_atomic_int_dec_and_test(&delivery->running))
		delivery->over(delivery->context);
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
	delivery->workers = g_ptr_array_new();
	unsigned n = route->conf->queue.workers;
	g_atomic_int_set(&delivery->running, (gint)n);
	for (unsigned i = 0; i < n; i++)
		g_ptr_array_add(
			delivery->workers, g_thread_new("delivery", work, delivery));
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
	route_unref(&(*delivery)->route);
	g_mutex_clear(&(*delivery)->lock);
	g_clear_pointer(delivery, g_free);
}
