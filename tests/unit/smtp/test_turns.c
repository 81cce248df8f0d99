/* Whose turn it is, and when the loop may sleep again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/smtp/turns.h"

struct waiter {
	char name;
	unsigned wants; /* turns */
	struct turn turn;
	const struct waiter *forgets;
};

static struct {
	uv_loop_t loop;
	struct turns *turns;
	struct waiter waiters[3];
	GString *order;
} t;

static void run(void *data)
{
	struct waiter *waiter = data;
	g_string_append_c(t.order, waiter->name);
	assert_false(waiter->turn.waits);
	if (--waiter->wants)
		turns_wait(t.turns, &waiter->turn);
	if (waiter->forgets)
		turns_forget(t.turns, &((struct waiter *)waiter->forgets)->turn);
}

static int start(void **state)
{
	(void)state;
	uv_loop_init(&t.loop);
	t.turns = turns_new(&t.loop, run);
	t.order = g_string_new(NULL);
	for (unsigned i = 0; i < G_N_ELEMENTS(t.waiters); i++) {
		t.waiters[i] = (struct waiter){ .name = (char)('a' + i), .wants = i + 1 };
		t.waiters[i].turn.link.data = &t.waiters[i];
	}
	return 0;
}

static int stop(void **state)
{
	(void)state;
	turns_free(&t.turns);
	uv_run(&t.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&t.loop), 0);
	g_string_free(t.order, TRUE);
	return 0;
}

static void all_take_turns(void **state)
{
	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(t.waiters); i++) {
		turns_wait(t.turns, &t.waiters[i].turn);
		turns_wait(t.turns, &t.waiters[i].turn);
	}
	uv_run(&t.loop, UV_RUN_NOWAIT);
	assert_string_equal(t.order->str, "abc"); /* once in a turn of the loop */
	uv_run(&t.loop, UV_RUN_DEFAULT);          /* ends: nobody waits */
	assert_string_equal(t.order->str, "abcbcc");
}

static void the_forgotten_do_not_run(void **state)
{
	(void)state;
	for (unsigned i = 0; i < G_N_ELEMENTS(t.waiters); i++)
		turns_wait(t.turns, &t.waiters[i].turn);
	t.waiters[0].forgets = &t.waiters[2]; /* before its turn */
	t.waiters[1].forgets = &t.waiters[1]; /* itself, which waits again */
	turns_forget(t.turns, &t.waiters[2].turn);
	turns_wait(t.turns, &t.waiters[2].turn);
	uv_run(&t.loop, UV_RUN_DEFAULT);
	assert_string_equal(t.order->str, "ab");
	turns_forget(t.turns, &t.waiters[0].turn); /* who does not wait */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_take_turns, start, stop),
		cmocka_unit_test_setup_teardown(the_forgotten_do_not_run, start, stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
