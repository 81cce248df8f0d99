/* A queue and an idle handle: it runs while the queue has someone, between two looks at
 * the sockets. */
#include "gateway/smtp/turns.h"

struct turns {
	uv_idle_t idle;
	GQueue waiting;
	void (*run)(void *data);
};

struct turns *turns_new(uv_loop_t *loop, void (*run)(void *data))
{
	struct turns *turns = g_new0(struct turns, 1);
	uv_idle_init(loop, &turns->idle);
	turns->idle.data = turns;
	g_queue_init(&turns->waiting);
	turns->run = run;
	return turns;
}

static void on_closed(uv_handle_t *handle)
{
	g_free(handle->data);
}

void turns_free(struct turns **turns)
{
	struct turns *old = *turns;
	*turns = NULL;
	if (!old)
		return;
	g_assert(g_queue_is_empty(&old->waiting));
	uv_close((uv_handle_t *)&old->idle, on_closed);
}

void turns_forget(struct turns *turns, struct turn *turn)
{
	if (!turn->waits)
		return;
	turn->waits = false;
	g_queue_unlink(&turns->waiting, &turn->link);
	if (g_queue_is_empty(&turns->waiting))
		uv_idle_stop(&turns->idle);
}

/* Those who wait now, each once: who is not done waits again, behind all others. */
static void on_idle(uv_idle_t *idle)
{
	struct turns *turns = idle->data;
	guint n = g_queue_get_length(&turns->waiting);
	for (; n && !g_queue_is_empty(&turns->waiting); n--) {
		struct turn *turn = (struct turn *)(void *)turns->waiting.head;
		turns_forget(turns, turn);
		turns->run(turn->link.data);
	}
}

void turns_wait(struct turns *turns, struct turn *turn)
{
	if (turn->waits)
		return;
	turn->waits = true;
	if (g_queue_is_empty(&turns->waiting))
		uv_idle_start(&turns->idle, on_idle);
	g_queue_push_tail_link(&turns->waiting, &turn->link);
}

unsigned turns_waiting(const struct turns *turns)
{
	return turns->waiting.length;
}
