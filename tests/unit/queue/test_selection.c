/* Which messages fit, and the walk over the record that finds them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include "gateway/queue/selection.h"
#include "tests/unit/tree.h"
#include <string.h>
#include <unistd.h>

#define HOUR_MS (3600 * 1000)

static void addresses_fit_patterns(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *address;
		bool fits;
	} cases[] = {
		{ "bob@example.com", "bob@example.com", true },
		{ "BOB@Example.COM", "bob@example.com", true },
		{ "bob@example.com", "bob@example.com.evil", false },
		{ "bob@example.com", "rob@example.com", false },
		{ "example.com", "bob@example.com", true },
		{ "@example.com", "bob@example.com", true },
		{ "@example.com", "bob@sub.example.com", false },
		{ "example.com", "bob@anexample.com", false },
		{ "*.example.com", "bob@sub.example.com", true },
		{ "*.example.com", "bob@example.com", false },
		{ "@*", "bob@example.com", true },
		{ "@*", "postmaster", false },
		{ "b*@example.com", "bob@example.com", true },
		{ "*@example.*", "bob@example.com", true },
		{ "*", "bob@example.com", true },
		{ "*", "", true },
		{ "<>", "", true },
		{ "", "", true },
		{ "<>", "bob@example.com", false },
		{ "", "bob@example.com", false },
		{ "@example.com", "", false },
		{ "postmaster", "postmaster", true },
		{ "postmaster", "postmaster@example.com", false },
		{ "\"a@b\"@c", "\"a@b\"@c", true },
		{ "@c", "\"a@b\"@c", true },
		{ "@b\"@c", "\"a@b\"@c", false },
		{ "x'; DROP TABLE messages; --@c", "x'; DROP TABLE messages; --@c",
			true },
		{ "a%@c", "ab@c", false },
		{ "a?@c", "ab@c", false },
		{ "a[b]@c", "ab@c", false },
		{ "\xff*@c", "\xff\xfe@c", true },
		{ "***@c", "x@c", true },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		if (selection_address_fits(cases[i].pattern, cases[i].address) !=
			cases[i].fits)
			fail_msg("%s against %s", cases[i].address, cases[i].pattern);
	}
}

static void texts_fit_patterns(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *text;
		bool fits;
	} cases[] = {
		{ "", "", true },
		{ "", "a", false },
		{ "a", "", false },
		{ "*", "", true },
		{ "a*c*e", "abcde", true },
		{ "a*c*e", "abcdef", false },
		{ "*ab", "aab", true },
		{ "*aab*", "aaaab", true },
		{ "a*a", "a", false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		if (selection_text_fits(cases[i].pattern, cases[i].text) != cases[i].fits)
			fail_msg("%s against %s", cases[i].text, cases[i].pattern);
	}
	/* What takes a naive matcher longer than anyone waits. */
	g_autofree char *long_text = g_strnfill(4000, 'a');
	assert_false(selection_text_fits("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", long_text));
}

static void rows_fit(void **state)
{
	(void)state;
	static const int64_t now_ms = 1000 * (int64_t)HOUR_MS;
	static const struct selection_row row = { .state = QUEUE_DEFERRED,
		.received_ms = now_ms - 2 * HOUR_MS,
		.reverse_path = "a@b.example",
		.listener = "mx",
		.user = "Bob",
		.reason = "451 4.7.1 Greylisted" };
	static const struct selection_row bare = { .state = QUEUE_HELD,
		.received_ms = now_ms,
		.reverse_path = "",
		.listener = "lan" };
	static const struct selection_row faulty = { .state = QUEUE_HELD,
		.received_ms = now_ms,
		.reverse_path = "",
		.listener = "lan",
		.hold = "relay default: credentials" };
	static const struct {
		const char *name;
		struct selection selection;
		bool row, bare, faulty;
	} cases[] = {
		{ "nothing asked", { 0 }, true, true, true },
		{ "state", { .states = STATES(QUEUE_HELD) }, false, true, true },
		{ "older", { .older_than_ms = HOUR_MS }, true, false, false },
		{ "newer", { .newer_than_ms = HOUR_MS }, false, true, true },
		{ "listener", { .listener = "L*" }, false, true, true },
		{ "user", { .user = "bob" }, true, false, false },
		{ "person", { .hold = SELECTION_PERSON }, false, true, false },
		{ "fault", { .hold = "CREDENTIALS" }, false, false, true },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct selection selection = cases[i].selection;
		selection.senders = g_ptr_array_new();
		bool got[] = { selection_row_fits(&selection, &row, now_ms),
			selection_row_fits(&selection, &bare, now_ms),
			selection_row_fits(&selection, &faulty, now_ms) };
		if (got[0] != cases[i].row || got[1] != cases[i].bare ||
			got[2] != cases[i].faulty)
			fail_msg("%s: %d %d %d", cases[i].name, got[0], got[1], got[2]);
		g_ptr_array_unref(selection.senders);
	}
}

/* --- the walk --- */

struct record {
	char *directory;
	struct store *store;
	struct selection selection;
};

static int set_up(void **state)
{
	struct record *record = g_new0(struct record, 1);
	record->directory = g_dir_make_tmp("stowage-selection-XXXXXX", NULL);
	g_autofree char *path = g_build_filename(record->directory, "queue.db", NULL);
	record->store = store_open_owner(path, NULL);
	selection_init(&record->selection);
	*state = record;
	return record->store ? 0 : -1;
}

static int tear_down(void **state)
{
	struct record *record = *state;
	selection_clear(&record->selection);
	store_close(&record->store);
	tree_remove(record->directory);
	g_free(record->directory);
	g_free(record);
	return 0;
}

/* IDs in the order of number. */
static void insert(struct record *record, unsigned number, enum queue_state message_state,
	const char *sender, const char *recipient)
{
	struct queue_message *message = fixture_message(0);
	g_snprintf(message->id, sizeof message->id, "01jd%022u", number);
	message->state = message_state;
	message->finished_ms = message_state >= QUEUE_SENT ? message->received_ms : 0;
	g_free(message->reverse_path);
	message->reverse_path = g_strdup(sender);
	message->reason = number % 10 == 3 ? g_strdup("550 5.1.1 No Such User") : NULL;
	struct queue_recipient *r =
		queue_message_add_recipient(message, "first@example.org", recipient);
	r->reply = number % 10 == 4 ? g_strdup("452 4.2.2 no such space") : NULL;
	assert_true(store_insert(record->store, message, NULL));
	queue_message_free(message);
}

static void fill(struct record *record, unsigned messages)
{
	assert_true(store_begin(record->store, NULL));
	for (unsigned i = 0; i < messages; i++)
		insert(record, i, (enum queue_state)(i % QUEUE_STATES),
			i % 2 ? "odd@one.example" : "even@two.example",
			i % 3 ? "x@y.example" : "o'brien\xff@z.example");
	assert_true(store_commit(record->store, NULL));
}

/* How many messages the walk finds, in pages of max; each once, in order. */
static unsigned walk(struct record *record, unsigned max, bool bounded, unsigned *pages)
{
	unsigned n = 0;
	char last[MESSAGE_ID_BYTES] = "";
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, MESSAGE_ID_BYTES);
	struct selection_walk *walk = selection_walk_new(record->store,
		&record->selection, g_get_real_time() / 1000, bounded, NULL);
	assert_non_null(walk);
	for (*pages = 0;; ++*pages) {
		assert_true(selection_walk_next(walk, ids, max, NULL));
		if (ids->len == 0)
			break;
		assert_in_range(ids->len, 1, max);
		for (guint i = 0; i < ids->len; i++) {
			const char *id = ids->data + (size_t)i * MESSAGE_ID_BYTES;
			assert_true(strcmp(id, last) > 0);
			g_strlcpy(last, id, sizeof last);
		}
		n += ids->len;
	}
	selection_walk_free(&walk);
	return n;
}

static void a_walk_finds_each_once(void **state)
{
	struct record *record = *state;
	struct selection *selection = &record->selection;
	unsigned pages;
	fill(record, 1000);
	assert_int_equal(walk(record, 7, false, &pages), 1000);
	assert_int_equal(pages, 143);
	assert_int_equal(walk(record, 1000, true, &pages), 1000);
	selection->states = STATES_UNFINISHED;
	assert_int_equal(walk(record, 200, false, &pages), 700);
	selection->states = STATES(QUEUE_DEAD);
	assert_int_equal(walk(record, 33, false, &pages), 100);
	selection->states = STATES(QUEUE_DEAD) | STATES(QUEUE_RECEIVED);
	assert_int_equal(walk(record, 33, false, &pages), 200);
	selection->limit = 150;
	assert_int_equal(walk(record, 33, false, &pages), 150);
	assert_int_equal(pages, 5);
}

static void filters_are_joined(void **state)
{
	struct record *record = *state;
	struct selection *selection = &record->selection;
	unsigned pages;
	fill(record, 300);
	g_ptr_array_add(selection->senders, (char *)"odd@one.example");
	assert_int_equal(walk(record, 50, false, &pages), 150);
	g_ptr_array_add(selection->senders, (char *)"@two.example");
	assert_int_equal(walk(record, 50, false, &pages), 300);
	g_ptr_array_add(selection->recipients, (char *)"o'brien\xff@z.example");
	assert_int_equal(walk(record, 50, false, &pages), 100);
	selection->reason = "NO SUCH"; /* the message's or a recipient's */
	assert_int_equal(walk(record, 50, false, &pages), 20);
	selection->listener = "mx";
	selection->newer_than_ms = HOUR_MS;
	assert_int_equal(walk(record, 50, false, &pages), 20);
	selection->older_than_ms = HOUR_MS;
	assert_int_equal(walk(record, 50, false, &pages), 0);
	g_ptr_array_set_size(selection->recipients, 0);
	g_ptr_array_add(selection->recipients, (char *)"' OR '1'='1");
	selection->older_than_ms = 0;
	assert_int_equal(walk(record, 50, false, &pages), 0);
}

static void links_are_found_by_their_end(void **state)
{
	struct record *record = *state;
	unsigned pages;
	fill(record, 40);
	for (unsigned i = 0; i < 40; i += 2) {
		struct queue_message *message = fixture_message(0);
		g_snprintf(message->id, sizeof message->id, "01jd%022u", i);
		for (unsigned j = 0; j < 3; j++) {
			struct queue_attachment *a =
				queue_message_add_attachment(message);
			a->number = j;
			a->key = g_strdup("mail/x");
			memset(a->sha256, 'a', 64);
			a->expires_at_s = i < 20 ? 1000 : 3000;
		}
		assert_true(store_begin(record->store, NULL));
		assert_true(store_put_attachments(record->store, message, NULL));
		assert_true(store_commit(record->store, NULL));
		queue_message_free(message);
	}
	record->selection.linked_after_s = 0;
	assert_int_equal(walk(record, 3, false, &pages), 20);
	record->selection.linked_after_s = 2000;
	assert_int_equal(walk(record, 3, false, &pages), 10);
	record->selection.linked_after_s = 3000;
	assert_int_equal(walk(record, 3, false, &pages), 0);
}

static void named_messages_come_as_they_are(void **state)
{
	struct record *record = *state;
	unsigned pages;
	char id[MESSAGE_ID_BYTES] = "01jd0000000000000000000001";
	g_array_append_vals(record->selection.ids, id, 1);
	id[25] = '2';
	g_array_append_vals(record->selection.ids, id, 1);
	record->selection.states = STATES(QUEUE_DEAD);
	assert_int_equal(walk(record, 1, true, &pages), 2);
	assert_int_equal(pages, 2);
}

/* A command that changes what it walks over is not led on by what comes in. */
static void a_bounded_walk_ends(void **state)
{
	struct record *record = *state;
	fill(record, 10);
	g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, MESSAGE_ID_BYTES);
	for (unsigned bounded = 0; bounded < 2; bounded++) {
		struct selection_walk *walk = selection_walk_new(record->store,
			&record->selection, g_get_real_time() / 1000, bounded, NULL);
		unsigned before = 10 + bounded, seen = 0;
		assert_true(selection_walk_next(walk, ids, 5, NULL));
		insert(record, 100 + bounded, QUEUE_RECEIVED, "a@b", "c@d");
		for (; ids->len > 0 && seen < 20;) {
			seen += ids->len;
			assert_true(selection_walk_next(walk, ids, 5, NULL));
		}
		assert_int_equal(seen, bounded ? before : before + 1);
		selection_walk_free(&walk);
	}
}

int main(void)
{
#define RECORD_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_fit_patterns),
		cmocka_unit_test(texts_fit_patterns),
		cmocka_unit_test(rows_fit),
		RECORD_TEST(a_walk_finds_each_once),
		RECORD_TEST(filters_are_joined),
		RECORD_TEST(links_are_found_by_their_end),
		RECORD_TEST(named_messages_come_as_they_are),
		RECORD_TEST(a_bounded_walk_ends),
	};
	alarm(60);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
