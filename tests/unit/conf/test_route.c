/* Routes: which one fits, what the settings may say of them, and what relays deliver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loading.h"
#include <string.h>

#define RELAYS                                                                           \
	"relay: { host: mx.example.com, delivers: [ a.example, c.example ] }\n"          \
	"relays:\n"                                                                      \
	"  - { name: second, host: mx2.example.com, port: 465, delivers: [ a.example "   \
	"] }\n"                                                                          \
	"  - { name: box, maildir: /m }\n"

static void test_choice(void **state)
{
	(void)state;
	struct conf *conf = load_sound(RELAYS
		"routes:\n"
		"  - { senders: [ alarm@x.example ], relays: [ second ] }\n"
		"  - { listener: in, user: \"cam-*\", relays: [ box ] }\n"
		"  - { recipients: [ corp.example, Chief@x.example ], relays: [ second, "
		"default ] }\n"
		"  - { listener: in, senders: [ y.example ], recipients: [ z.example ], "
		"relays: [ default ], uncertain: hold, preserve_sender: true }\n");
	static const struct {
		struct conf_way way;
		int want; /* index; -1: none */
	} cases[] = {
		{ { "in", NULL, "alarm@x.example", "a@corp.example" }, 0 },
		{ { "other", "cam-1", "ALARM@X.example", "a@b.example" }, 0 },
		{ { "in", "cam-1", "b@x.example", "a@corp.example" }, 1 },
		{ { "in", "cam", "b@x.example", "a@corp.example" }, 2 },
		{ { "in", NULL, "b@x.example", "a@corp.example" }, 2 },
		{ { "other", "cam-1", "", "a@CORP.example" }, 2 },
		{ { "in", NULL, "", "chief@x.example" }, 2 },
		{ { "in", NULL, "", "chiefs@x.example" }, -1 },
		{ { "in", NULL, "", "a@sub.corp.example" }, -1 },
		{ { "in", NULL, "b@y.example", "a@z.example" }, 3 },
		{ { "other", NULL, "b@y.example", "a@z.example" }, -1 },
		{ { "in", NULL, "", "a@z.example" }, -1 },
		{ { NULL, NULL, "b@y.example", "a@z.example" }, -1 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct conf_route *route = conf_route_for(conf, &cases[i].way);
		int got = route ? (int)(route - conf->routes) : -1;
		if (got != cases[i].want)
			fail_msg("case %zu: route %d, not %d", i, got, cases[i].want);
	}
	assert_string_equal(conf->routes[2].relays[0], "second");
	assert_string_equal(conf->routes[2].relays[1], "default");
	assert_null(conf->routes[2].relays[2]);
	assert_int_equal(conf->routes[0].once, CONF_AT_LEAST_ONCE);
	assert_int_equal(conf->routes[3].once, CONF_AT_MOST_ONCE);
	assert_true(conf->routes[3].preserve_sender);
	conf_unref(conf);
}

static void test_relays(void **state)
{
	(void)state;
	struct conf *conf = load_sound(RELAYS);
	const struct conf_relay *second = conf_relay_find(conf, "second");
	assert_ptr_equal(conf_relay_find(conf, "default"), &conf->relay);
	assert_string_equal(conf->relay.name, "default");
	assert_string_equal(second->host, "mx2.example.com");
	assert_int_equal(second->tls, CONF_TLS_WRAPPER);
	assert_int_equal(second->max_recipients, 50);
	assert_string_equal(conf_relay_find(conf, "box")->maildir, "/m");
	assert_null(conf_relay_find(conf, "third"));
	conf_unref(conf);
}

static void test_delivers(void **state)
{
	(void)state;
	static const struct {
		const char *routes, *address;
		bool want;
	} cases[] = {
		{ "", "x@a.example", true },
		{ "", "@a.example", true },
		{ "", "x@b.example", false },
		{ "", "x@sub.a.example", false },
		{ "", "x", false },
		/* each relay of the way must */
		{ "routes: [ { relays: [ second, default ] } ]\n", "x@a.example", true },
		{ "routes: [ { relays: [ second, default ] } ]\n", "x@c.example", false },
		{ "routes: [ { relays: [ box ] } ]\n", "x@b.example", true },
		/* on each way that it may take */
		{ "routes: [ { listener: in, relays: [ second ] } ]\n", "x@c.example",
			false },
		{ "routes: [ { listener: in, relays: [ box ] } ]\n", "x@b.example",
			false },
		{ "routes: [ { recipients: [ b.example ], relays: [ box ] } ]\n",
			"x@b.example", true },
		{ "routes: [ { recipients: [ b.example ], relays: [ box ] } ]\n",
			"@b.example", true },
		{ "routes: [ { recipients: [ x@b.example ], relays: [ box ] } ]\n",
			"x@b.example", true },
		{ "routes: [ { recipients: [ x@b.example ], relays: [ box ] } ]\n",
			"@b.example", false },
		{ "routes: [ { recipients: [ x@c.example ], relays: [ second ] } ]\n",
			"@c.example", false },
		{ "routes: [ { recipients: [ x@c.example ], relays: [ second ] } ]\n",
			"y@c.example", true },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *text = g_strconcat(RELAYS, cases[i].routes, NULL);
		struct conf *conf = load_sound(text);
		if (conf_relay_delivers(conf, cases[i].address) != cases[i].want)
			fail_msg("%s %s", cases[i].routes, cases[i].address);
		conf_unref(conf);
	}
}

#define R "relay: { host: mx.example.com }\n"

static const struct mistake mistakes[] = {
	{ R "relays: [ { name: a, host: b.example, tls: none } ]\n",
		"f:2:44: relays[0].tls: none is for a relay on loopback only" },
	{ R "relays: [ { name: a, host: b.example, user: u } ]\n",
		"f:2:45: relays[0].user: needs a password (relays[0].password_file)" },
	{ R "relays: [ { name: a, host: b.example }, { name: a, host: c.example } ]\n",
		"f:2:49: relays[1].name: is the name of another relay too" },
	{ R "relays: [ { name: default, host: b.example } ]\n",
		"f:2:19: relays[0].name: \"default\" is the name of the section relay" },
	{ R "relays: [ { host: b.example } ]\n", "f:2:11: relays[0].name: is missing" },
	{ R "relays: [ { name: a } ]\n", "f:2:11: relays[0].host: is missing" },
	{ R "relays: [ { name: a, host: b.example, maildir: /m } ]\n",
		"f:2:48: relays[0].maildir: is given beside host" },
	{ R "relays: [ { name: a, host: b.example, rate_share: 0 } ]\n",
		"f:2:51: relays[0].rate_share: must be over 0" },
	{ R "relays: [ { name: a, host: b.example, api_endpoint: http://x.example } ]\n",
		"f:2:53: relays[0].api_endpoint: must be https://HOST" },
	{ R "relays: [ { name: a, host: email-smtp.eu-west-1.amazonaws.com } ]\n",
		"f:2:11: relays[0].user: is missing: SES wants credentials" },
	{ R "routes: [ { relays: [ default, b ] } ]\n",
		"f:2:32: routes[0].relays[1]: \"b\" is not the name of a relay" },
	{ R "routes: [ { relays: [ default, default ] } ]\n",
		"f:2:32: routes[0].relays[1]: \"default\" stands in the route already" },
	{ R "routes: [ { listener: x, relays: [ default ] } ]\n",
		"f:2:23: routes[0].listener: \"x\" is not the name of a listener" },
	{ R "routes: [ { listener: x } ]\n",
		"f:2:11: routes[0].relays: is missing\n"
		"f:2:23: routes[0].listener: \"x\" is not the name of a listener" },
	{ R "routes: [ { relays: [ default ], uncertain: maybe } ]\n",
		"f:2:45: routes[0].uncertain: \"maybe\" is unknown" },
};

static void test_mistakes(void **state)
{
	(void)state;
	check_mistakes(mistakes, G_N_ELEMENTS(mistakes));
}

static void test_a_route_behind_one_for_all(void **state)
{
	(void)state;
	g_autofree char *text = completed(R "routes:\n"
					    "  - { recipients: [ a.example ], relays: "
					    "[ default ] }\n"
					    "  - { relays: [ default ] }\n"
					    "  - { user: a, relays: [ default ] }\n");
	g_autofree char *problems = NULL, *warnings = NULL;
	struct conf *conf = load(text, &problems, &warnings);
	assert_non_null(conf);
	assert_non_null(strstr(warnings, "routes[2]: is never taken"));
	assert_null(strstr(warnings, "routes[1]: "));
	conf_unref(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),
		cmocka_unit_test(test_relays),
		cmocka_unit_test(test_delivers),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_a_route_behind_one_for_all),
	};
	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
