/* groups: recipients by their way, and what a crash has left of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/delivery/groups.h"
#include <string.h>

static const char *const by_second[] = { "second", "default", NULL };
static const char *const by_third[] = { "third", NULL };
static const char *const corp[] = { "corp.example", NULL };
static const char *const once[] = { "once.example", "xn--bcher-kva.example", NULL };
static const char *const bounces[] = { "from.example", NULL };

static const struct conf_relay further[] = {
	{ .name = "second", .host = "mx.corp.example", .max_message_size = 500 },
	{ .name = "third",
		.host = "email-smtp.eu-west-1.amazonaws.com",
		.max_message_size = 2000 },
};
static const struct conf_route routes[] = {
	{ .recipients = once, .relays = by_third, .once = CONF_AT_MOST_ONCE },
	{ .recipients = corp, .relays = by_second },
	{ .senders = bounces, .user = "cam-*", .relays = by_third },
};

static const struct conf settings = {
	.relay = { .name = "default", .host = "mx.example", .max_message_size = 1000 },
	.relays = further,
	.n_relays = G_N_ELEMENTS(further),
	.routes = routes,
	.n_routes = G_N_ELEMENTS(routes),
};

/* paths: separated by blanks, each behind a letter for its state. */
static struct queue_message *message_to(const char *paths)
{
	static const struct {
		char letter;
		enum queue_state state;
	} states[] = {
		{ 'n', QUEUE_RECEIVED },
		{ 'd', QUEUE_DEFERRED },
		{ 's', QUEUE_SENT },
		{ 'x', QUEUE_DEAD },
		{ 'b', QUEUE_BOUNCED },
		{ 'u', QUEUE_UNCERTAIN },
		{ 'h', QUEUE_HELD },
		{ 'r', QUEUE_RELAYING },
	};
	struct queue_message *message = queue_message_new();
	g_auto(GStrv) words = g_strsplit(paths, " ", -1);
	message->reverse_path = g_strdup("a@from.example");
	message->listener = g_strdup("in");
	for (char **word = words; *word; word++) {
		struct queue_recipient *r =
			queue_message_add_recipient(message, *word + 1, *word + 1);
		for (size_t i = 0; i < G_N_ELEMENTS(states); i++)
			if (states[i].letter == **word)
				r->state = states[i].state;
	}
	return message;
}

/* "RELAY: path path; RELAY: path" by the first relay of each way. */
static char *print(const GPtrArray *groups)
{
	GString *text = g_string_new(NULL);
	for (guint i = 0; i < groups->len; i++) {
		const struct group *group = groups->pdata[i];
		g_string_append_printf(text, "%s%s:", i ? "; " : "", group->relays[0]);
		for (guint j = 0; j < group->recipients->len; j++) {
			const struct queue_recipient *r = group->recipients->pdata[j];
			g_string_append_printf(text, " %s", r->forward_path);
		}
	}
	return g_string_free(text, FALSE);
}

static void test_grouping(void **unused)
{
	(void)unused;
	static const struct {
		const char *user, *paths, *want;
		uint64_t max_bytes;
	} cases[] = {
		{ NULL, "na@b.example", "default: a@b.example", 1000 },
		{ NULL, "na@b.example nx@corp.example dc@b.example",
			"default: a@b.example c@b.example; second: x@corp.example", 500 },
		{ NULL, "sa@b.example xb@b.example bc@b.example", "", 1000 },
		{ NULL, "ha@b.example ub@b.example rc@b.example",
			"default: a@b.example b@b.example c@b.example", 1000 },
		{ NULL, "ua@once.example nb@once.example hc@once.example",
			"third: b@once.example c@once.example", 2000 },
		{ "cam-1", "na@b.example nx@corp.example",
			"third: a@b.example; second: x@corp.example", 500 },
		{ NULL, "na@b\303\274cher.example", "third: a@b\303\274cher.example",
			2000 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct queue_message *message = message_to(cases[i].paths);
		message->user = g_strdup(cases[i].user);
		g_autoptr(GPtrArray) groups = groups_new(&settings, message);
		g_autofree char *got = print(groups);
		assert_string_equal(got, cases[i].want);
		assert_int_equal(groups_max_bytes(&settings, groups), cases[i].max_bytes);
		assert_int_equal(groups_have_ses(&settings, groups),
			strstr(cases[i].want, "third:") != NULL);
		queue_message_free(message);
	}
}

/* By their states afterwards, one letter each. */
static void test_recovery(void **unused)
{
	(void)unused;
	static const struct {
		const char *name, *paths;
		enum queue_state state;
		const char *uncertain; /* one of + and - for each recipient */
	} cases[] = {
		{ "nothing recorded: all of them", "na@b.example dc@b.example",
			QUEUE_UNCERTAIN, "++" },
		{ "recorded: those of the dot", "ra@b.example dc@b.example nd@b.example",
			QUEUE_UNCERTAIN, "+--" },
		{ "settled ones show that it was recorded", "sa@b.example db@b.example",
			QUEUE_UNCERTAIN, "--" },
		{ "known before", "ua@b.example db@b.example", QUEUE_UNCERTAIN, "+-" },
		{ "no crash", "na@b.example db@b.example", QUEUE_DEFERRED, "--" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct queue_message *message = message_to(cases[i].paths);
		print_message("%s\n", cases[i].name);
		message->state = cases[i].state;
		groups_recover(message);
		for (guint r = 0; r < message->recipients->len; r++) {
			const struct queue_recipient *recipient =
				message->recipients->pdata[r];
			assert_int_equal(recipient->state == QUEUE_UNCERTAIN,
				cases[i].uncertain[r] == '+');
		}
		queue_message_free(message);
	}
}

static void test_kept(void **unused)
{
	(void)unused;
	struct queue_message *message = message_to(
		"ua@once.example ub@b.example dc@once.example hd@once.example");
	static const bool want[] = { true, false, false, false };
	for (guint i = 0; i < message->recipients->len; i++)
		assert_int_equal(
			groups_is_kept(&settings, message, message->recipients->pdata[i]),
			want[i]);
	queue_message_free(message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grouping),
		cmocka_unit_test(test_recovery),
		cmocka_unit_test(test_kept),
	};
	return cmocka_run_group_tests_name("groups", tests, NULL, NULL);
}
