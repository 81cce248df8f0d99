/* Who may send what to whom, and as whom. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/policy/policy.h"
#include <arpa/inet.h>
#include <gmime/gmime.h>
#include <string.h>

enum { MX, SUBMIT, LAN, OPTIONAL, CLOSED, CIRCLE, LISTENERS };

struct world {
	struct conf conf;
	struct conf_listener listeners[LISTENERS];
	struct conf_network lan;
};

static void add(struct conf_recipient_map *map, const char *pattern, const char *target)
{
	g_autoptr(GError) error = NULL;
	if (!conf_recipient_map_add(map, pattern, target, &error))
		fail_msg("%s: %s", pattern, error->message);
}

static int make_world(void **state)
{
	static const char *const delivers[] = { "corp.example", NULL };
	struct world *world = g_new0(struct world, 1);
	struct conf_listener *l = world->listeners;
	assert_true(conf_network_parse("10.1.0.0/16", &world->lan, NULL));

	/* Strangers, who may write to what the map has. */
	l[MX].recipients = conf_recipient_map_new();
	add(l[MX].recipients, "@in.example.com", "%{local}@example.net");
	add(l[MX].recipients, "ops@in.example.com", "ops@corp.example");
	add(l[MX].recipients, "@corp.example", NULL);
	add(l[MX].recipients, "ceo@corp.example", "assistant@corp.example");
	add(l[MX].recipients, "self@in.example.com", "self@in.example.com");
	add(l[MX].recipients, "postmaster@mail.example.com", "admin@example.net");
	add(l[MX].recipients, "chain@in.example.com", "link@other.example");
	add(l[MX].recipients, "@xn--bcher-kva.example", "%{local}@example.net");
	l[SUBMIT].auth = CONF_AUTH_REQUIRED;
	l[LAN].networks = &world->lan;
	l[LAN].n_networks = 1;
	l[OPTIONAL].auth = CONF_AUTH_OPTIONAL;
	/* No map, no networks, no AUTH: nobody. */
	l[CLOSED].auth = CONF_AUTH_NONE;
	l[CIRCLE].recipients = conf_recipient_map_new();
	add(l[CIRCLE].recipients, "a@round.example", "b@round.example");
	add(l[CIRCLE].recipients, "b@round.example", "a@round.example");
	add(l[CIRCLE].recipients, "@other.example", "end@example.net");
	add(l[CIRCLE].recipients, "x@corp.example", "y@corp.example");
	add(l[CIRCLE].recipients, "y@corp.example", "x@corp.example");
	add(l[CIRCLE].recipients, "*", "catch@in.example.com");

	world->conf.hostname = "mail.example.com";
	world->conf.listeners = l;
	world->conf.n_listeners = LISTENERS;
	world->conf.relay.delivers = delivers;
	*state = world;
	return 0;
}

static int free_world(void **state)
{
	struct world *world = *state;
	conf_recipient_map_free(&world->listeners[MX].recipients);
	conf_recipient_map_free(&world->listeners[CIRCLE].recipients);
	g_free(world);
	return 0;
}

static struct sockaddr_storage address_of(const char *text)
{
	struct sockaddr_storage storage = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		storage.ss_family = AF_INET;
	} else {
		assert_int_equal(inet_pton(AF_INET6, text, &v6->sin6_addr), 1);
		storage.ss_family = AF_INET6;
	}
	return storage;
}

static void clients_of_the_networks_may_connect(void **state)
{
	static const struct {
		unsigned listener;
		const char *client;
		bool may;
	} cases[] = {
		{ MX, "192.0.2.1", true },
		{ MX, "2001:db8::1", true },
		{ LAN, "10.1.2.3", true },
		{ LAN, "::ffff:10.1.2.3", true },
		{ LAN, "10.2.0.1", false },
		{ LAN, "::1", false },
	};
	const struct world *world = *state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct sockaddr_storage client = address_of(cases[i].client);
		assert_int_equal(policy_client(&world->listeners[cases[i].listener],
					 (const struct sockaddr *)&client),
			cases[i].may);
	}
}

static const struct recipient_case {
	unsigned listener;
	const char *client, *user, *address;
	enum policy_verdict verdict;
	const char *forward_path;
} recipient_cases[] = {
	/* Strangers: what the map has, and nothing else. */
	{ MX, "192.0.2.1", NULL, "bob@in.example.com", POLICY_ACCEPT, "bob@example.net" },
	{ MX, "192.0.2.1", NULL, "BOB@IN.EXAMPLE.COM", POLICY_ACCEPT, "BOB@example.net" },
	{ MX, "192.0.2.1", NULL, "ops@in.example.com", POLICY_ACCEPT,
		"ops@corp.example" },
	{ MX, "192.0.2.1", NULL, "victim@example.org", POLICY_NO_RELAY, NULL },
	{ MX, "192.0.2.1", "alice", "victim@example.org", POLICY_NO_RELAY, NULL },
	{ MX, "192.0.2.1", NULL, "bob@sub.in.example.com", POLICY_NO_RELAY, NULL },
	{ MX, "192.0.2.1", NULL, "victim%example.org@in.example.com", POLICY_ACCEPT,
		"victim%example.org@example.net" },
	{ MX, "192.0.2.1", NULL, "postmaster", POLICY_ACCEPT, "admin@example.net" },
	{ MX, "192.0.2.1", NULL, "Postmaster", POLICY_ACCEPT, "admin@example.net" },
	{ CIRCLE, "192.0.2.1", NULL, "postmaster@elsewhere.example", POLICY_ACCEPT,
		"catch@example.net" },
	/* Through the next map, until it leaves. */
	{ MX, "192.0.2.1", NULL, "chain@in.example.com", POLICY_ACCEPT,
		"end@example.net" },
	{ CIRCLE, "192.0.2.1", NULL, "any@where.example", POLICY_ACCEPT,
		"catch@example.net" },
	/* What would not leave. */
	{ MX, "192.0.2.1", NULL, "self@in.example.com", POLICY_LOOP, NULL },
	{ CIRCLE, "192.0.2.1", NULL, "a@round.example", POLICY_LOOP, NULL },
	/* The relay delivers corp.example itself. */
	{ MX, "192.0.2.1", NULL, "bob@corp.example", POLICY_ACCEPT, "bob@corp.example" },
	{ MX, "192.0.2.1", NULL, "ceo@corp.example", POLICY_ACCEPT,
		"assistant@corp.example" },
	{ CIRCLE, "192.0.2.1", NULL, "x@corp.example", POLICY_ACCEPT, "y@corp.example" },
	/* U-labels are looked up by their A-labels, and stay where no map is met. */
	{ MX, "192.0.2.1", NULL, "bob@B\u00fccher.example", POLICY_ACCEPT,
		"bob@example.net" },
	{ MX, "192.0.2.1", NULL, "bob@xn--bcher-kva.EXAMPLE", POLICY_ACCEPT,
		"bob@example.net" },
	{ MX, "192.0.2.1", NULL, "\u00fc@b\u00fccher.example", POLICY_ACCEPT,
		"\u00fc@example.net" },
	{ MX, "192.0.2.1", NULL, "bob@b\u00fccher.org", POLICY_NO_RELAY, NULL },
	{ MX, "192.0.2.1", NULL, "bob@\u202e.example", POLICY_NO_SUCH, NULL },
	{ SUBMIT, "192.0.2.1", "alice", "bob@b\u00fccher.org", POLICY_ACCEPT,
		"bob@b\u00fccher.org" },
	{ SUBMIT, "192.0.2.1", "alice", "bob@b\u00fccher.example", POLICY_ACCEPT,
		"bob@example.net" },
	/* Users may send anywhere. */
	{ SUBMIT, "192.0.2.1", "alice", "bob@example.org", POLICY_ACCEPT,
		"bob@example.org" },
	{ SUBMIT, "192.0.2.1", "alice", "bob@in.example.com", POLICY_ACCEPT,
		"bob@example.net" },
	{ SUBMIT, "192.0.2.1", "alice", "a@round.example", POLICY_LOOP, NULL },
	{ SUBMIT, "192.0.2.1", NULL, "bob@example.org", POLICY_AUTH_NEEDED, NULL },
	{ SUBMIT, "192.0.2.1", NULL, "bob@in.example.com", POLICY_AUTH_NEEDED, NULL },
	{ OPTIONAL, "192.0.2.1", "alice", "bob@example.org", POLICY_ACCEPT,
		"bob@example.org" },
	{ OPTIONAL, "192.0.2.1", NULL, "bob@example.org", POLICY_AUTH_NEEDED, NULL },
	/* So may the listener's networks. */
	{ LAN, "10.1.2.3", NULL, "bob@example.org", POLICY_ACCEPT, "bob@example.org" },
	{ LAN, "::ffff:10.1.2.3", NULL, "bob@example.org", POLICY_ACCEPT,
		"bob@example.org" },
	{ LAN, "10.2.0.1", NULL, "bob@example.org", POLICY_NO_RELAY, NULL },
	{ LAN, "10.2.0.1", "alice", "bob@example.org", POLICY_NO_RELAY, NULL },
	/* Default deny. */
	{ CLOSED, "192.0.2.1", NULL, "bob@example.org", POLICY_NO_RELAY, NULL },
	{ CLOSED, "127.0.0.1", NULL, "bob@example.org", POLICY_NO_RELAY, NULL },
	{ CLOSED, "::1", NULL, "bob@in.example.com", POLICY_NO_RELAY, NULL },
};

static void only_those_who_may_send(void **state)
{
	const struct world *world = *state;
	for (size_t i = 0; i < G_N_ELEMENTS(recipient_cases); i++) {
		const struct recipient_case *c = &recipient_cases[i];
		struct sockaddr_storage client = address_of(c->client);
		char *forward_path = (char *)1;
		enum policy_verdict verdict = policy_recipient(&world->conf,
			&world->listeners[c->listener], (const struct sockaddr *)&client,
			c->user, c->address, &forward_path);
		if (verdict != c->verdict ||
			g_strcmp0(forward_path, c->forward_path) != 0)
			fail_msg("case %zu, %s: verdict %u, to %s", i, c->address,
				verdict, forward_path ? forward_path : "nobody");
		g_free(forward_path);
	}
}

static const char *const identities[] = { "example.com", "boss@partner.org",
	"xn--bcher-kva.example", NULL };
static const struct conf_account bound = { .from = identities, .recipients = identities };
static const struct conf_account loose = { .from = NULL };

static void a_reverse_path_is_one_of_the_accounts(void **state)
{
	static const struct {
		const char *path;
		bool may;
	} cases[] = {
		{ "", true }, { "a@example.com", true }, { "a@EXAMPLE.com", true },
		{ "\"a b\"@example.com", true }, { "a@sub.example.com", false },
		{ "a@example.com.evil.org", false }, { "boss@partner.org", true },
		{ "clerk@partner.org", false }, { "a@b\u00fccher.example", true },
		{ "a@xn--bcher-kva.example", true }, { "a@b\u00fccher.org", false },
		{ "a@\u202e.example", false }, { "example.com", false },
		{ "a@evil.org@example.com", true }, /* no path gets here so */
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		if (policy_sender(&bound, cases[i].path) != cases[i].may)
			fail_msg("%s", cases[i].path);
		if (*cases[i].path &&
			policy_account_recipient(&bound, cases[i].path) != cases[i].may)
			fail_msg("recipient %s", cases[i].path);
		assert_true(policy_sender(&loose, cases[i].path));
		assert_true(policy_sender(NULL, cases[i].path));
		assert_true(policy_account_recipient(&loose, cases[i].path));
		assert_true(policy_account_recipient(NULL, cases[i].path));
	}
	assert_true(policy_account_recipient(&bound, "Postmaster"));
	assert_false(policy_account_recipient(&bound, "postmaster@evil.org"));
}

static const struct {
	const char *from;
	bool may;
} from_cases[] = {
	{ NULL, false },
	{ "", true },
	{ " ", true },
	{ ", ,", true },
	{ "a@example.com", true },
	{ "Alice <a@Example.Com>", true },
	{ "\"Smith, A.\" <a@example.com>, boss@partner.org (the boss)", true },
	{ "=?utf-8?q?A=40evil=2Eorg?= <a@example.com>", true },
	{ "a@example.com <a@example.com>", true },
	{ "us: a@example.com, b@example.com;", true },
	{ "\"a b\"@example.com", true },
	{ "\u00fc <a@b\u00fccher.example>", true },
	{ "Alice <a@xn--bcher-kva.example>", true },
	/* Others than its own. */
	{ "a@evil.org", false },
	{ "a@example.com, m@evil.org", false },
	{ "m@evil.org, a@example.com", false },
	{ "us: a@example.com, m@evil.org;", false },
	{ "us: a@example.com;, m@evil.org", false },
	{ "clerk@partner.org", false },
	{ "a@example.com.evil.org", false },
	{ "\u00fc <a@b\u00fccher.org>", false },
	/* What one program reads so and another otherwise. */
	{ "m@evil.org <a@example.com>", false },
	{ "<a@example.com> <m@evil.org>", false },
	{ "<a@example.com> m@evil.org", false },
	{ "a@example.com m@evil.org", false },
	{ "a@example.com;m@evil.org", false },
	{ "a@example.com@evil.org", false },
	{ "a@evil.org@example.com", false },
	{ "<@evil.org:a@example.com>", false },
	{ "\"m\"@evil.org <a@example.com>", false },
	{ "<a@example.com\r\n m@evil.org>", false },
	{ "a@example.com\\,m@evil.org", false },
	{ "a @ example.com", false },
	/* What cannot be read. */
	{ "\"a@example.com", false },
	{ "a@example.com (", false },
	{ "\"m@evil.org, a@example.com", false },
	{ "a@example.com \"", false },
	{ "root", false },
	{ "a@example.com, root", false },
	{ "Alice <>", false },
	{ "undisclosed:;", false },
	{ "@", false },
	{ "\\", false },
};

static void from_is_beyond_doubt_one_of_the_accounts(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(from_cases); i++) {
		if (policy_from(&bound, from_cases[i].from) != from_cases[i].may)
			fail_msg("%s", from_cases[i].from);
		assert_true(policy_from(&loose, from_cases[i].from));
		assert_true(policy_from(NULL, from_cases[i].from));
	}
}

static void an_endless_from_is_refused_at_once(void **state)
{
	static const char *const units[] = { "a@example.com,", "a:", "(", ",", "<",
		"\"a\" ", "\\", "a:b;," };
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(units); i++) {
		g_autoptr(GString) from = g_string_new("a@example.com");
		while (from->len <= 100000)
			g_string_append(from, units[i]);
		assert_false(policy_from(&bound, from->str));
	}
}

static void postmaster_is_known(void **state)
{
	(void)state;
	assert_true(policy_is_postmaster("postmaster"));
	assert_true(policy_is_postmaster("PostMaster@in.example.com"));
	assert_false(policy_is_postmaster("postmasters@in.example.com"));
	assert_false(policy_is_postmaster("post"));
}

static void a_chain_without_end_is_a_loop(void **state)
{
	(void)state;
	struct conf_listener listener = { .recipients = conf_recipient_map_new() };
	const struct conf conf = {
		.hostname = "mail.example.com", .listeners = &listener, .n_listeners = 1
	};
	/* Each address leads to the next: no circle, but longer than anyone means. */
	for (unsigned i = 0; i < 40; i++) {
		g_autofree char *from = g_strdup_printf("n%u@in.example.com", i);
		g_autofree char *to = g_strdup_printf("n%u@in.example.com", i + 1);
		add(listener.recipients, from, to);
	}
	struct sockaddr_storage client = address_of("192.0.2.1");
	char *forward_path = NULL;
	assert_int_equal(
		policy_recipient(&conf, &listener, (const struct sockaddr *)&client, NULL,
			"n0@in.example.com", &forward_path),
		POLICY_LOOP);
	assert_null(forward_path);
	assert_int_equal(
		policy_recipient(&conf, &listener, (const struct sockaddr *)&client, NULL,
			"n35@in.example.com", &forward_path),
		POLICY_ACCEPT);
	assert_string_equal(forward_path, "n40@in.example.com");
	g_free(forward_path);
	conf_recipient_map_free(&listener.recipients);
}

#define ID "01kah0example0example0exam"

static void what_comes_back_goes_where_the_envelope_does(void **state)
{
	(void)state;
	static const struct {
		const char *address, *want; /* NULL: nobody */
	} cases[] = {
		{ "bounces@in.example.com", "ops@corp.example" },
		{ "bounces+" ID "@in.example.com", "ops@corp.example" },
		{ "Bounces+01KAH0EXAMPLE0EXAMPLE0EXAM@IN.example.com",
			"ops@corp.example" },
		{ "bounces+" ID "x@in.example.com", NULL },
		{ "bounces+01kah0@in.example.com", NULL },
		{ "bounces-" ID "@in.example.com", NULL },
		{ "bounces+01kah0-example-example--ex@in.example.com", NULL },
		{ "other+" ID "@in.example.com", NULL },
		{ "bounces+" ID "@in.example.org", NULL },
		{ "bounces+" ID "@all.example.com", NULL },
		{ "bounces+" ID "-r@in.example.com", NULL },
	};
	struct conf_listener listener = { .recipients = conf_recipient_map_new() };
	struct conf conf = { .hostname = "mail.example.com",
		.listeners = &listener,
		.n_listeners = 1,
		.sender = {
			.envelope = "bounces@in.example.com", .envelope_has_id = true } };
	add(listener.recipients, "bounces@in.example.com", "ops@corp.example");
	add(listener.recipients, "@all.example.com", "%{local}@corp.example");
	struct sockaddr_storage client = address_of("192.0.2.1");
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *forward_path = NULL;
		policy_recipient(&conf, &listener, (const struct sockaddr *)&client, NULL,
			cases[i].address, &forward_path);
		if (strstr(cases[i].address, "@all"))
			assert_string_equal(forward_path, "bounces+" ID "@corp.example");
		else if (g_strcmp0(forward_path, cases[i].want))
			fail_msg("%s: %s", cases[i].address, forward_path);
	}
	/* A whole domain takes it with the ID. */
	conf.sender.envelope = "bounces@all.example.com";
	char *forward_path = NULL;
	policy_recipient(&conf, &listener, (const struct sockaddr *)&client, NULL,
		"bounces+" ID "@all.example.com", &forward_path);
	assert_string_equal(forward_path, "bounces+" ID "@corp.example");
	g_free(forward_path);
	/* A report of a report would bring about the next one. */
	static const char *const reports[] = { "bounces+" ID "-r@all.example.com",
		"BOUNCES+" ID "-R@all.example.com" };
	for (size_t i = 0; i < G_N_ELEMENTS(reports); i++) {
		assert_int_equal(policy_recipient(&conf, &listener,
					 (const struct sockaddr *)&client, NULL,
					 reports[i], &forward_path),
			POLICY_LOOP);
		assert_null(forward_path);
	}
	/* Without IDs it is an address like any other. */
	conf.sender.envelope = "bounces@in.example.com";
	conf.sender.envelope_has_id = false;
	assert_int_equal(
		policy_recipient(&conf, &listener, (const struct sockaddr *)&client, NULL,
			"bounces+" ID "@in.example.com", &forward_path),
		POLICY_NO_SUCH);
	conf_recipient_map_free(&listener.recipients);
}

static void a_local_part_beyond_ascii_needs_a_relay_that_takes_it(void **state)
{
	(void)state;
	static const char *const to_own[] = { "own", "default", NULL };
	static const char *const to_ses[] = { "default", NULL };
	static const char *const corp[] = { "corp.example", "xn--bcher-kva.example",
		NULL };
	static const char *const far[] = { "far.example", NULL };
	const struct conf_relay own = { .name = "own", .host = "mx.example.com" };
	const struct conf_route routes[] = {
		{ .recipients = far, .relays = to_ses },
		{ .recipients = corp, .relays = to_own },
	};
	struct conf conf = { .relay = { .host = "email-smtp.eu-west-1.amazonaws.com" },
		.relays = &own,
		.n_relays = 1,
		.routes = routes,
		.n_routes = 2 };
	static const struct {
		const char *address;
		bool want;
	} cases[] = {
		{ "bob@example.com", true },
		{ "bob@b\u00fccher.org", true },
		{ "\u00fc@example.com", false },
		{ "\u00fc@far.example", false },
		{ "\u00fc@corp.example", true },
		{ "\u00fc@b\u00fccher.example", true },
		{ "postmaster", true },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		const struct conf_way way = { .listener = "in",
			.reverse_path = "",
			.forward_path = cases[i].address };
		if (policy_way_is_open(&conf, &way) != cases[i].want)
			fail_msg("%s", cases[i].address);
	}
	conf.relay.host = "mx.example.com";
	const struct conf_way way = { .reverse_path = "\u00fc@x.example",
		.forward_path = "\u00fc@example.com" };
	assert_true(policy_way_is_open(&conf, &way));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clients_of_the_networks_may_connect),
		cmocka_unit_test(only_those_who_may_send),
		cmocka_unit_test(a_chain_without_end_is_a_loop),
		cmocka_unit_test(a_reverse_path_is_one_of_the_accounts),
		cmocka_unit_test(from_is_beyond_doubt_one_of_the_accounts),
		cmocka_unit_test(an_endless_from_is_refused_at_once),
		cmocka_unit_test(postmaster_is_known),
		cmocka_unit_test(what_comes_back_goes_where_the_envelope_does),
		cmocka_unit_test(a_local_part_beyond_ascii_needs_a_relay_that_takes_it),
	};
	g_mime_init();
	return cmocka_run_group_tests(tests, make_world, free_world);
}
