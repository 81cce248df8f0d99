/* What sessions share: which listeners have one TLS context, what is said of
 * certificates' ends, how files look. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/error.h"
#include "gateway/log.h"
#include "gateway/smtp/settings.h"
#include "identity.h"
#include "settings_text.h"
#include "tests/unit/metric.h"
#include "tests/unit/tree.h"
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct {
	char *directory;
	struct metrics *metrics;
} t;

static void make(const char *name, int key_type, int64_t ends_s)
{
	const struct identity_request request = { .common_name = name,
		.key_type = key_type,
		.is_authority = true,
		.ends_s = ends_s };
	g_autofree char *certificate = g_strdup_printf("%s/%s.pem", t.directory, name);
	g_autofree char *key = g_strdup_printf("%s/%s.key", t.directory, name);
	struct identity *identity = identity_new(&request);
	identity_write(identity, certificate, key);
	identity_free(identity);
}

static void write_text(const char *path, const char *text)
{
	g_autoptr(GError) error = NULL;
	g_file_set_contents_full(
		path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error);
	assert_null(error);
}

static int set_up(void **state)
{
	(void)state;
	t.directory = g_dir_make_tmp("stowage-settings-XXXXXX", NULL);
	t.metrics = metrics_new();
	make("one", EVP_PKEY_EC, 7200);
	make("two", EVP_PKEY_RSA, 3600);
	make("ca", EVP_PKEY_EC, 3600);
	g_autofree char *users = g_build_filename(t.directory, "users", NULL);
	write_text(users, "# nobody yet\n");
	log_init(false, LOG_LEVEL_INFO);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	metrics_free(&t.metrics);
	tree_remove(t.directory);
	g_free(t.directory);
	return 0;
}

/* DIR in text stands for the directory. */
static struct conf *load(const char *text)
{
	GString *whole = g_string_new(text);
	g_string_replace(whole, "DIR", t.directory, 0);
	struct conf *conf = settings_text_load(whole->str);
	g_string_free(whole, TRUE);
	return conf;
}

static struct smtp_settings *load_settings(const char *text)
{
	g_autoptr(GError) error = NULL;
	struct conf *conf = load(text);
	struct smtp_settings *settings = smtp_settings_new(conf, t.metrics, &error);
	conf_unref(conf);
	if (!settings)
		fail_msg("%s", error->message);
	return settings;
}

/* What is logged while run does its work; g_free(). */
static char *logged(void (*run)(void))
{
	g_autofree char *path = g_build_filename(t.directory, "log", NULL);
	char *text = NULL;
	int before = dup(STDERR_FILENO);
	int fd = g_open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	assert_true(before >= 0 && fd >= 0);
	dup2(fd, STDERR_FILENO);
	run();
	dup2(before, STDERR_FILENO);
	close(before);
	close(fd);
	assert_true(g_file_get_contents(path, &text, NULL, NULL));
	return text;
}

/* ---- contexts ---- */

static const char many[] =
	"listeners:\n"
	"  - { name: a, address: '127.0.0.1:1', tls: starttls, auth: none, recipients: [ "
	"'@x.example' ] }\n"
	"  - { name: b, address: '127.0.0.1:2', tls: wrapper, auth: required }\n"
	"  - { name: c, address: '127.0.0.1:3', tls: none, networks: [ 10.0.0.0/8 ] }\n"
	"  - { name: d, address: '127.0.0.1:4', tls: starttls, networks: [ 10.0.0.0/8 ], "
	"tls_profile: old }\n"
	"  - { name: e, address: '127.0.0.1:5', tls: starttls, networks: [ 10.0.0.0/8 ], "
	"client_certificates: optional, client_ca: DIR/ca.pem }\n"
	"  - { name: f, address: '127.0.0.1:6', tls: required, auth: required, "
	"client_certificates: optional, client_ca: DIR/ca.pem }\n"
	"  - { name: g, address: '127.0.0.1:7', tls: required, auth: required, "
	"client_certificates: required, client_ca: DIR/ca.pem }\n"
	"auth: { users: DIR/users }\n"
	"tls: { certificate: DIR/one.pem, key: DIR/one.key }\n";

/* For each listener the first that has the same context. */
static const char shares[] = "aa-deeg";

static void contexts_are_shared(void **state)
{
	(void)state;
	struct smtp_settings *settings = load_settings(many);
	const struct conf_listener *listeners = settings->conf->listeners;
	for (size_t i = 0; i < settings->conf->n_listeners; i++) {
		struct tls_context *context = smtp_settings_tls(settings, &listeners[i]);
		if (shares[i] == '-') {
			assert_null(context);
			continue;
		}
		size_t first = 0;
		while (smtp_settings_tls(settings, &listeners[first]) != context)
			first++;
		assert_string_equal(listeners[first].name, ((char[]){ shares[i], 0 }));
	}
	smtp_settings_unref(&settings);
}

/* Without TLS, files that are named but not needed are not missed. */
static void nobody_has_tls(void **state)
{
	(void)state;
	struct smtp_settings *settings = load_settings(
		"listeners: [ { name: a, address: '127.0.0.1:1', tls: none, networks: [ "
		"10.0.0.0/8 ] } ]\n"
		"tls: { certificate: /nonexistent/a, key: /nonexistent/b }\n");
	assert_null(smtp_settings_tls(settings, &settings->conf->listeners[0]));
	assert_string_equal(settings->looks[SMTP_FILES_TLS], "");
	assert_string_equal(settings->looks[SMTP_FILES_USERS], "");
	smtp_settings_unref(&settings);
}

static void what_is_not_replaced_stays(void **state)
{
	(void)state;
	struct smtp_settings *old = load_settings(many);
	struct smtp_tls *tls = smtp_tls_load(old->conf, NULL);
	struct smtp_settings *with_tls = smtp_settings_with(old, tls, NULL, t.metrics);
	assert_ptr_equal(with_tls->tls, tls);
	assert_ptr_equal(with_tls->users, old->users);
	assert_ptr_equal(with_tls->conf, old->conf);
	struct users *users = users_load(NULL, NULL);
	struct smtp_settings *with_users =
		smtp_settings_with(with_tls, NULL, users, t.metrics);
	assert_ptr_equal(with_users->tls, tls);
	assert_ptr_equal(with_users->users, users);
	users_unref(&users);
	smtp_tls_unref(&tls);
	smtp_settings_unref(&old);
	smtp_settings_unref(&with_tls);
	smtp_settings_unref(&with_users);
}

static void mistakes_leave_nothing(void **state)
{
	(void)state;
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "listeners: [ { name: a, address: '127.0.0.1:1', tls: wrapper, auth: "
		  "required } ]\n"
		  "auth: { users: DIR/nobody }\n"
		  "tls: { certificate: DIR/one.pem, key: DIR/one.key }\n",
			"nobody" },
		{ "listeners: [ { name: a, address: '127.0.0.1:1', tls: wrapper, auth: "
		  "required } ]\n"
		  "auth: { users: DIR/users }\n"
		  "tls: { certificate: DIR/one.pem, key: DIR/two.key }\n",
			"two.key" },
		{ "listeners: [ { name: a, address: '127.0.0.1:1', tls: wrapper, auth: "
		  "required }, { name: b, address: '127.0.0.1:2', tls: wrapper, auth: "
		  "required, client_certificates: required, client_ca: DIR/one.key } ]\n"
		  "auth: { users: DIR/users }\n"
		  "tls: { certificate: DIR/one.pem, key: DIR/one.key }\n",
			"client_ca" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		struct conf *conf = load(cases[i].text);
		assert_null(smtp_settings_new(conf, t.metrics, &error));
		assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
		assert_non_null(strstr(error->message, cases[i].words));
		conf_unref(conf);
	}
}

/* ---- the end of certificates ---- */

static const char two[] =
	"listeners: [ { name: a, address: '127.0.0.1:1', tls: wrapper, auth: required } "
	"]\n"
	"auth: { users: DIR/users }\n"
	"tls: { certificate: DIR/one.pem, key: DIR/one.key, additional: [ { certificate: "
	"DIR/two.pem, key: DIR/two.key } ] }\n";

static struct conf *conf_of_two;

static void load_and_drop(void)
{
	struct smtp_settings *settings = smtp_settings_new(conf_of_two, t.metrics, NULL);
	if (settings)
		smtp_settings_unref(&settings);
}

static double end_in_s(void)
{
	return metric_value(t.metrics, "stowage_certificate_expiry_seconds") -
	       (double)time(NULL);
}

static void the_first_to_end(void **state)
{
	(void)state;
	conf_of_two = load(two);
	g_autofree char *before = logged(load_and_drop);
	assert_string_equal(before, "");
	assert_true(end_in_s() > 3000 && end_in_s() < 3601);
	make("two", EVP_PKEY_RSA, -60);
	g_autofree char *after = logged(load_and_drop);
	assert_true(end_in_s() > -100 && end_in_s() < -50);
	assert_non_null(strstr(after, "tls.certificate_expired"));
	assert_non_null(strstr(after, "two.pem"));
	assert_null(strstr(after, "one.pem"));
	make("two", EVP_PKEY_RSA, 3600);
	conf_unref(conf_of_two);
}

/* ---- looks ---- */

static void which_changed(void **state)
{
	(void)state;
	static const struct {
		const char *before, *now, *want; /* NULL: none */
	} cases[] = {
		{ "", "", NULL },
		{ "/a: 1\n/b: 2\n", "/a: 1\n/b: 2\n", NULL },
		{ "/a: 1\n/b: 2\n", "/a: 1\n/b: 3\n", "/b" },
		{ "/a: 1\n/b: 2\n", "/a: 0\n/b: 3\n", "/a" },
		{ "/a: b: 1\n", "/a: b: 2\n", "/a: b" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *got = smtp_files_changed(cases[i].before, cases[i].now);
		if (g_strcmp0(got, cases[i].want))
			fail_msg("case %zu: %s", i, got ? got : "none");
	}
}

static void looks_differ(void **state)
{
	(void)state;
	struct conf *conf = load(
		"listeners: [ { name: a, address: '127.0.0.1:1', tls: wrapper, auth: "
		"required } ]\n"
		"auth: { users: DIR/link }\n"
		"tls: { certificate: DIR/one.pem, key: DIR/one.key }\n");
	g_autofree char *link = g_build_filename(t.directory, "link", NULL);
	g_autofree char *first = g_build_filename(t.directory, "first", NULL);
	g_autofree char *second = g_build_filename(t.directory, "second", NULL);
	g_autofree char *tls = smtp_files_look(conf, SMTP_FILES_TLS);
	g_autofree char *missing = smtp_files_look(conf, SMTP_FILES_USERS);
	write_text(first, "#1\n");
	write_text(second, "#1\n");
	assert_int_equal(symlink("first", link), 0);
	g_autofree char *at_first = smtp_files_look(conf, SMTP_FILES_USERS);
	g_autofree char *still = smtp_files_look(conf, SMTP_FILES_USERS);
	g_unlink(link);
	assert_int_equal(symlink("second", link), 0);
	g_autofree char *at_second = smtp_files_look(conf, SMTP_FILES_USERS);
	write_text(second, "#2\n"); /* of the same size */
	g_autofree char *replaced = smtp_files_look(conf, SMTP_FILES_USERS);
	assert_int_equal(g_chmod(second, 0000), 0);
	g_autofree char *closed = smtp_files_look(conf, SMTP_FILES_USERS);
	assert_string_equal(at_first, still);
	const char *all[] = { missing, at_first, at_second, replaced, closed };
	for (size_t i = 1; i < G_N_ELEMENTS(all); i++)
		assert_string_not_equal(all[i - 1], all[i]);
	g_autofree char *changed = smtp_files_changed(at_first, at_second);
	g_autofree char *unchanged = smtp_files_changed(at_first, still);
	assert_string_equal(changed, link);
	assert_null(unchanged);
	g_autofree char *tls_still = smtp_files_look(conf, SMTP_FILES_TLS);
	assert_string_equal(tls, tls_still); /* the other files are none of its */
	conf_unref(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contexts_are_shared),
		cmocka_unit_test(nobody_has_tls),
		cmocka_unit_test(what_is_not_replaced_stays),
		cmocka_unit_test(mistakes_leave_nothing),
		cmocka_unit_test(the_first_to_end),
		cmocka_unit_test(which_changed),
		cmocka_unit_test(looks_differ),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
