/* maildir: what stands in the file, its name, and what is left when it fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/error.h"
#include "scene.h"
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct place {
	char *directory, *maildir;
	struct conf_relay settings;
	struct metrics *metrics;
	struct relay *relay;
};

static int set_up(void **state)
{
	struct place *p = g_new0(struct place, 1);
	p->directory = g_dir_make_tmp("maildir-test-XXXXXX", NULL);
	p->maildir = g_build_filename(p->directory, "a", "mail", NULL);
	p->settings.maildir = p->maildir;
	p->settings.max_message_size = 1 << 20;
	p->settings.max_recipients = 50;
	p->metrics = metrics_new();
	p->relay = relay_new(&p->settings, "gateway:example/com", p->metrics, NULL, NULL);
	*state = p;
	return p->relay ? 0 : -1;
}

/* Removes what the tests made, two levels of known names. */
static void remove_folder(const char *path)
{
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	for (const char *name; dir && (name = g_dir_read_name(dir));) {
		g_autofree char *file = g_build_filename(path, name, NULL);
		g_unlink(file);
	}
	g_rmdir(path);
}

static int tear_down(void **state)
{
	static const char *const folders[] = { "tmp", "new", "cur" };
	struct place *p = *state;
	relay_free(&p->relay);
	metrics_free(&p->metrics);
	for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
		g_autofree char *path = g_build_filename(p->maildir, folders[i], NULL);
		remove_folder(path);
	}
	g_autofree char *parent = g_path_get_dirname(p->maildir);
	g_rmdir(p->maildir);
	g_rmdir(parent);
	g_rmdir(p->directory);
	g_free(p->maildir);
	g_free(p->directory);
	g_free(p);
	return 0;
}

static unsigned files_in(const struct place *p, const char *folder)
{
	g_autofree char *path = g_build_filename(p->maildir, folder, NULL);
	g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
	unsigned n = 0;
	while (g_dir_read_name(dir))
		n++;
	return n;
}

static bool give_up(void *context, GError **error)
{
	(void)context;
	g_set_error_literal(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY, "no journal");
	return false;
}

static void send_text(struct place *p, const char *text, uint64_t claimed_bytes,
	struct relay_message *m)
{
	size_t bytes = strlen(text);
	int fd = memfd_create("content", MFD_CLOEXEC);
	assert_int_equal(write(fd, text, bytes), bytes);
	struct splice *splice = splice_new(claimed_bytes);
	m->id = "01test";
	m->content = splice;
	m->fd = fd;
	relay_send(p->relay, m);
	splice_free(&splice);
	close(fd);
}

static void test_stored(void **state)
{
	static const char text[] = "Subject: x\r\n\r\n.dot\nbare\r\nno end";
	struct place *p = *state;
	struct relay_recipient recipients[] = {
		{ .forward_path = "a@example.org", .verdict = RELAY_DEFERRED },
		{ .forward_path = "b@example.org", .verdict = RELAY_DEFERRED },
	};
	struct relay_message m = { .reverse_path = "from@example.com",
		.recipients = recipients,
		.n_recipients = 2 };
	send_text(p, text, strlen(text), &m);
	assert_int_equal(recipients[0].verdict, RELAY_SENT);
	assert_int_equal(recipients[1].verdict, RELAY_SENT);
	assert_non_null(m.relay_id);
	assert_null(strpbrk(m.relay_id, "/:"));
	assert_int_equal(files_in(p, "new"), 1);
	assert_int_equal(files_in(p, "tmp"), 0);
	g_autofree char *path = g_build_filename(p->maildir, "new", m.relay_id, NULL);
	g_autofree char *got = NULL;
	assert_true(g_file_get_contents(path, &got, NULL, NULL));
	assert_string_equal(got, "Return-Path: <from@example.com>\r\n"
				 "Delivered-To: a@example.org\r\n"
				 "Delivered-To: b@example.org\r\n"
				 "Subject: x\r\n\r\n.dot\nbare\r\nno end");
	scene_clear(&m);
	assert_null(m.relay_id);
}

static void test_names_differ(void **state)
{
	struct place *p = *state;
	for (int i = 0; i < 50; i++) {
		struct relay_recipient r = { .forward_path = "a@example.org",
			.verdict = RELAY_DEFERRED };
		struct relay_message m = {
			.reverse_path = "", .recipients = &r, .n_recipients = 1
		};
		send_text(p, "x\r\n", 3, &m);
		assert_int_equal(r.verdict, RELAY_SENT);
		scene_clear(&m);
	}
	assert_int_equal(files_in(p, "new"), 50);
}

static void test_failures_leave_nothing(void **state)
{
	struct place *p = *state;
	struct relay_recipient r = { .forward_path = "a@example.org",
		.verdict = RELAY_DEFERRED };
	struct relay_message m = {
		.reverse_path = "", .recipients = &r, .n_recipients = 1
	};
	send_text(p, "short", 4096, &m); /* the original is shorter than it was */
	assert_int_equal(r.verdict, RELAY_DEFERRED);
	assert_non_null(r.reply);
	m.before_final_dot = give_up;
	send_text(p, "x\r\n", 3, &m);
	assert_int_equal(r.verdict, RELAY_DEFERRED);
	assert_string_equal(r.reply, "no journal");
	r.forward_path = "a@b\r\nX-Evil: 1";
	send_text(p, "x\r\n", 3, &m);
	assert_int_equal(r.verdict, RELAY_REFUSED);
	assert_int_equal(files_in(p, "new"), 0);
	assert_int_equal(files_in(p, "tmp"), 0);
	scene_clear(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_stored, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_names_differ, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_failures_leave_nothing, set_up, tear_down),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
