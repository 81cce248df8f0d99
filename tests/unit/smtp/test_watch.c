/* Files that change under a running loop: what comes into force, when, and what is said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/log.h"
#include "gateway/smtp/watch.h"
#include "identity.h"
#include "settings_text.h"
#include "tests/unit/tree.h"
#include "tls_pair.h"
#include <crypt.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INTERVAL_MS 40
#define TICK_MS     5
#define TICKS_MAX   20000

static struct {
	char *directory;
	struct metrics *metrics;
	uv_loop_t loop;
	uv_timer_t tick;
	struct watch *watch;
	struct smtp_settings *settings; /* in force */
	unsigned n_fresh, ticks;
	void (*on_tick)(void); /* NULL: nothing is done */
	int standard_error;
} t;

/* ---- the world ---- */

static char *path_of(const char *name)
{
	return g_build_filename(t.directory, name, NULL);
}

static void write_text(const char *name, const char *text)
{
	g_autofree char *path = path_of(name);
	assert_true(g_file_set_contents(path, text, -1, NULL));
}

/* The file that is there, not another one in its place. */
static void overwrite(const char *name, const char *text)
{
	g_autofree char *path = path_of(name);
	int fd = g_open(path, O_TRUNC | O_WRONLY, 0);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void write_user(const char *name)
{
	g_autofree char *line = g_strdup_printf(
		"%s:%s\n", name, crypt("sesame", "$6$rounds=1000$saltsalt$"));
	write_text("users", line);
}

/* Either may be NULL: it is not written. */
static void write_pair(const char *common_name, const char *certificate, const char *key)
{
	const struct identity_request request = { .common_name = common_name };
	struct identity *identity = identity_new(&request);
	g_autoptr(GString) text = g_string_new(NULL);
	identity_print(identity, text);
	if (certificate)
		write_text(certificate, text->str);
	g_string_truncate(text, 0);
	identity_print_key(identity, text);
	if (key)
		write_text(key, text->str);
	identity_free(identity);
}

/* "DIR" in text stands for the directory. */
static struct smtp_settings *load(const char *text)
{
	g_autoptr(GError) error = NULL;
	GString *whole = g_string_new(text);
	g_string_replace(whole, "DIR", t.directory, 0);
	struct conf *conf = settings_text_load(whole->str);
	g_string_free(whole, TRUE);
	struct smtp_settings *settings = smtp_settings_new(conf, t.metrics, &error);
	conf_unref(conf);
	if (!settings)
		fail_msg("%s", error->message);
	return settings;
}

static const char ours[] =
	"listeners: [ { name: a, address: '127.0.0.1:1', tls: wrapper, auth: required } "
	"]\n"
	"auth: { users: DIR/users }\n"
	"tls: { certificate: DIR/cert.pem, key: DIR/key.pem }\n";

static void on_fresh(void *context, struct smtp_settings *settings)
{
	assert_ptr_equal(context, &t);
	t.n_fresh++;
	smtp_settings_unref(&t.settings);
	t.settings = smtp_settings_ref(settings);
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
	t.ticks++;
	if (t.on_tick)
		t.on_tick();
}

/* Standard error goes to a file: the log is part of what is tested. */
static void catch_log(void)
{
	g_autofree char *path = path_of("log");
	int fd = g_open(path, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
	t.standard_error = dup(STDERR_FILENO);
	assert_true(fd >= 0 && t.standard_error >= 0);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

static void release_log(void)
{
	dup2(t.standard_error, STDERR_FILENO);
	close(t.standard_error);
}

static int begin(void **state)
{
	(void)state;
	memset(&t, 0, sizeof(t));
	t.directory = g_dir_make_tmp("stowage-watch-XXXXXX", NULL);
	t.metrics = metrics_new();
	log_init(false, LOG_LEVEL_INFO);
	write_pair("old", "cert.pem", "key.pem");
	write_user("alice");
	uv_loop_init(&t.loop);
	uv_timer_init(&t.loop, &t.tick);
	uv_timer_start(&t.tick, on_tick, TICK_MS, TICK_MS);
	t.settings = load(ours);
	t.watch = watch_new(&t.loop, INTERVAL_MS, t.metrics, on_fresh, &t);
	catch_log();
	return 0;
}

static int end(void **state)
{
	(void)state;
	release_log();
	watch_close(&t.watch);
	uv_close((uv_handle_t *)&t.tick, NULL);
	uv_run(&t.loop, UV_RUN_DEFAULT);
	int bad = uv_loop_close(&t.loop);
	smtp_settings_unref(&t.settings);
	metrics_free(&t.metrics);
	tree_remove(t.directory);
	g_free(t.directory);
	return bad;
}

static unsigned logged(const char *event)
{
	g_autofree char *path = path_of("log"), *text = NULL;
	unsigned n = 0;
	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	for (const char *at = text; (at = strstr(at, event)); at += strlen(event))
		n++;
	return n;
}

static void run_until_logged(const char *event, unsigned n)
{
	for (t.ticks = 0; logged(event) < n && t.ticks < TICKS_MAX;)
		uv_run(&t.loop, UV_RUN_ONCE);
	assert_int_equal(logged(event), n);
}

/* Until users, who change now, have come into force: whatever else was to be seen was
 * seen by then, since all files are looked at together. */
static void run_a_while(void)
{
	static unsigned n;
	g_autofree char *name = g_strdup_printf("user%u", ++n);
	unsigned before = logged("users.reloaded");
	write_user(name);
	run_until_logged("users.reloaded", before + 1);
	assert_true(users_has(t.settings->users, name));
}

/* The common name in what a client of the first listener is shown; g_free(). */
static char *shown(struct smtp_settings *settings)
{
	const struct pair_client client = { 0 };
	struct pair p;
	pair_init(&p, smtp_settings_tls(settings, &settings->conf->listeners[0]), &client,
		65536);
	pair_shake_hands(&p);
	assert_int_equal(p.status, TLS_OK);
	char *name = pair_server_name(&p);
	pair_clear(&p);
	return name;
}

static void expect_shown(const char *want)
{
	g_autofree char *got = shown(t.settings);
	assert_string_equal(got, want);
}

/* ---- tests ---- */

static void nothing_changes(void **state)
{
	(void)state;
	struct smtp_tls *tls = t.settings->tls;
	watch_follow(t.watch, t.settings);
	run_a_while();
	run_a_while();
	assert_ptr_equal(t.settings->tls, tls);
	assert_int_equal(t.n_fresh, 2);
	assert_int_equal(logged("tls."), 0);
}

static void a_new_certificate(void **state)
{
	(void)state;
	struct smtp_settings *session = smtp_settings_ref(t.settings);
	struct users *users = t.settings->users;
	watch_follow(t.watch, t.settings);
	expect_shown("old");
	write_pair("new", "cert.pem", "key.pem");
	run_until_logged("tls.reloaded", 1);
	expect_shown("new");
	assert_ptr_equal(t.settings->users, users);
	g_autofree char *still = shown(session); /* which began before */
	assert_string_equal(still, "old");
	smtp_settings_unref(&session);
	write_pair("newer", "cert.pem", "key.pem");
	run_until_logged("tls.reloaded", 2);
	expect_shown("newer");
}

/* Between two steps of who renews. */
static void not_yet_its_key(void **state)
{
	(void)state;
	watch_follow(t.watch, t.settings);
	write_pair("new", "cert.pem", "key.new");
	run_until_logged("tls.reload_failed", 1);
	run_a_while();
	run_a_while();
	assert_int_equal(logged("tls.reload_failed"), 1); /* once */
	assert_int_equal(logged("does not belong to"), 1);
	expect_shown("old");
	g_autofree char *from = path_of("key.new"), *to = path_of("key.pem");
	assert_int_equal(g_rename(from, to), 0);
	run_until_logged("tls.reloaded", 1);
	expect_shown("new");
}

static void half_a_file(void **state)
{
	(void)state;
	watch_follow(t.watch, t.settings);
	overwrite("cert.pem", "-----BEGIN CERTIFICATE-----\nMIIB");
	run_until_logged("tls.reload_failed", 1);
	assert_int_equal(logged("cut off or damaged"), 1);
	expect_shown("old");
	write_pair("new", "cert.pem", "key.pem");
	run_until_logged("tls.reloaded", 1);
	expect_shown("new");
}

static void gone_and_there_again(void **state)
{
	(void)state;
	g_autofree char *path = path_of("users");
	watch_follow(t.watch, t.settings);
	g_unlink(path);
	run_until_logged("users.reload_failed", 1);
	assert_true(users_has(t.settings->users, "alice"));
	write_user("bob");
	run_until_logged("users.reloaded", 1);
	assert_true(users_has(t.settings->users, "bob"));
	assert_false(users_has(t.settings->users, "alice"));
	assert_int_equal(logged("tls."), 0);
}

static void turn_link(const char *name, const char *to)
{
	g_autofree char *link = path_of(name), *aside = path_of("aside");
	assert_int_equal(symlink(to, aside), 0);
	assert_int_equal(g_rename(aside, link), 0);
}

/* Kubernetes: files are links into a directory that is a link,
 * and only that one turns. */
static void a_link_is_turned(void **state)
{
	(void)state;
	g_autofree char *one = path_of("1"), *two = path_of("2");
	assert_int_equal(g_mkdir(one, 0700), 0);
	assert_int_equal(g_mkdir(two, 0700), 0);
	write_pair("one", "1/cert.pem", "1/key.pem");
	write_pair("two", "2/cert.pem", "2/key.pem");
	turn_link("data", "1");
	turn_link("cert.pem", "data/cert.pem");
	turn_link("key.pem", "data/key.pem");
	struct smtp_settings *settings = load(ours);
	smtp_settings_unref(&t.settings);
	t.settings = settings;
	watch_follow(t.watch, t.settings);
	expect_shown("one");
	turn_link("data", "2");
	run_until_logged("tls.reloaded", 1);
	expect_shown("two");
	turn_link("data", "1"); /* older, and as it was before */
	run_until_logged("tls.reloaded", 2);
	expect_shown("one");
}

/* SIGHUP with other paths. */
static void other_settings(void **state)
{
	(void)state;
	watch_follow(t.watch, t.settings);
	run_a_while();
	write_pair("there", "there.pem", "there.key");
	struct smtp_settings *settings = load(
		"listeners: [ { name: a, address: '127.0.0.1:1', tls: wrapper, auth: "
		"required } ]\n"
		"auth: { users: DIR/users }\n"
		"tls: { certificate: DIR/there.pem, key: DIR/there.key }\n");
	smtp_settings_unref(&t.settings);
	t.settings = settings;
	watch_follow(t.watch, t.settings);
	write_pair("new", "cert.pem", "key.pem"); /* nobody's any more */
	run_a_while();
	run_a_while();
	assert_int_equal(logged("tls.reloaded"), 0);
	expect_shown("there");
	write_pair("again", "there.pem", "there.key");
	run_until_logged("tls.reloaded", 1);
	expect_shown("again");
}

/* In the middle of a round that looks at what nobody wants any more. */
static void other_settings_in_between(void **state)
{
	(void)state;
	watch_follow(t.watch, t.settings);
	for (unsigned i = 0; i < 20; i++) {
		write_pair("new", "cert.pem", "key.pem");
		for (t.ticks = 0; t.ticks < i;)
			uv_run(&t.loop, UV_RUN_ONCE);
		struct smtp_settings *settings = load(ours);
		smtp_settings_unref(&t.settings);
		t.settings = settings;
		watch_follow(t.watch, t.settings);
	}
	unsigned before = logged("tls.reloaded");
	write_pair("newer", "cert.pem", "key.pem");
	run_until_logged("tls.reloaded", before + 1);
	expect_shown("newer");
}

/* Between reading and following. */
static void changed_already(void **state)
{
	(void)state;
	write_pair("new", "cert.pem", "key.pem");
	watch_follow(t.watch, t.settings);
	run_until_logged("tls.reloaded", 1);
	expect_shown("new");
}

static void authorities_too(void **state)
{
	(void)state;
	write_pair("ca", "ca.pem", NULL);
	struct smtp_settings *settings = load(
		"listeners: [ { name: a, address: '127.0.0.1:1', tls: wrapper, auth: "
		"required, client_certificates: optional, client_ca: DIR/ca.pem } ]\n"
		"auth: { users: DIR/users }\n"
		"tls: { certificate: DIR/cert.pem, key: DIR/key.pem, additional: [ { "
		"certificate: DIR/cert.pem, key: DIR/key.pem } ] }\n");
	smtp_settings_unref(&t.settings);
	t.settings = settings;
	watch_follow(t.watch, t.settings);
	write_pair("ca 2", "ca.pem", NULL);
	run_until_logged("tls.reloaded", 1);
	write_text("ca.pem", "");
	run_until_logged("tls.reload_failed", 1);
}

static void write_another_user(void)
{
	static unsigned n;
	g_autofree char *name = g_strdup_printf("restless%u", ++n);
	write_user(name);
}

/* What never is still is not waited for for ever. */
static void restless(void **state)
{
	(void)state;
	watch_follow(t.watch, t.settings);
	t.on_tick = write_another_user;
	run_until_logged("users.reloaded", 1);
	assert_false(users_has(t.settings->users, "alice"));
}

/* At every moment of a round. */
static void closed_in_between(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		watch_follow(t.watch, t.settings);
		write_user("carol");
		for (t.ticks = 0; t.ticks < i % 15;)
			uv_run(&t.loop, UV_RUN_ONCE);
		watch_close(&t.watch);
		assert_null(t.watch);
		unsigned n_fresh = t.n_fresh;
		for (t.ticks = 0; t.ticks < 2;)
			uv_run(&t.loop, UV_RUN_ONCE);
		assert_int_equal(t.n_fresh, n_fresh);
		t.watch = watch_new(&t.loop, INTERVAL_MS, t.metrics, on_fresh, &t);
	}
}

static void the_loop_may_end(void **state)
{
	(void)state;
	watch_follow(t.watch, t.settings);
	uv_timer_stop(&t.tick);
	for (unsigned i = 0; i < 10000 && uv_run(&t.loop, UV_RUN_NOWAIT); i++)
		g_usleep(1000); /* a round may have begun, in a thread */
	assert_false(uv_loop_alive(&t.loop));
}

#define WATCH_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WATCH_TEST(nothing_changes),
		WATCH_TEST(a_new_certificate),
		WATCH_TEST(not_yet_its_key),
		WATCH_TEST(half_a_file),
		WATCH_TEST(gone_and_there_again),
		WATCH_TEST(a_link_is_turned),
		WATCH_TEST(other_settings),
		WATCH_TEST(other_settings_in_between),
		WATCH_TEST(changed_already),
		WATCH_TEST(authorities_too),
		WATCH_TEST(restless),
		WATCH_TEST(closed_in_between),
		WATCH_TEST(the_loop_may_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
