/* The settings of the door: how clients are met, what holds where nothing is given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/conf/loading.h"
#include <string.h>

#define USERS   "auth: { users: /u }\n"
#define ACCOUNT "auth: { accounts: [ { user: \"*\" } ] }\n"
/* Of a listener with TLS, on all addresses. */
#define DOOR(rest) TLS "listeners: [ { name: in, address: \"[::]:25\", " rest " } ]\n"
/* Behind a proxy on the same machine. */
#define LOCAL(rest)                                                                      \
	"listeners: [ { name: in, address: \"127.0.0.1:25\", tls: none, proxies: [ "     \
	"127.0.0.1 ], " rest " } ]\n"
#define LAN "networks: [ 10.0.0.0/8 ], "
#define MAP "recipients: { \"@a.example\": x@b.example }, "
#define SES_TOO                                                                          \
	"relays: [ { name: ses, host: email-smtp.eu-west-1.amazonaws.com, user: a, "     \
	"password: b } ]\nsender: { from: g@a.example }\n"
#define SES "relay: { host: email-smtp.eu-west-1.amazonaws.com, user: a, password: b }\n"

static const struct mistake reading_mistakes[] = {
	{ DOOR(LAN "hide_extensions: CHUNKING"),
		"f:2:89: listeners[0].hide_extensions: is text, but must be a list" },
	{ DOOR(LAN "hide_extensions: [ CHUNKING, XCLIENT ]"),
		"f:2:101: listeners[0].hide_extensions[1]: \"XCLIENT\" is unknown: it "
		"must be PIPELINING, SIZE," },
	{ DOOR(LAN "hide_extensions: [ DSN ], hide_from: []"),
		"f:2:109: listeners[0].hide_from: is an empty list: name a network" },
	{ DOOR(LAN "proxies: [ 10.0.0.1/8 ]"),
		"f:2:83: listeners[0].proxies[0]: 10.0.0.1/8 has bits set" },
	{ DOOR(LAN "tls_profile: ancient"),
		"f:2:85: listeners[0].tls_profile: \"ancient\" is unknown: it must be "
		"modern, intermediate, old or legacy" },
	{ DOOR(LAN "client_ca: ca.pem"),
		"f:2:83: listeners[0].client_ca: is not an absolute path" },
	{ DOOR(LAN "greeting_delay: 61s"),
		"f:2:88: listeners[0].greeting_delay: \"61s\" is out of range: it must "
		"be from 0 to 1m" },
	{ DOOR(LAN "max_errors: 0"), "f:2:84: listeners[0].max_errors: \"0\" is out of" },
	{ DOOR(LAN "dnsbl: [ \"zen spamhaus org\" ]"),
		"f:2:81: listeners[0].dnsbl[0]: \"zen spamhaus org\" is not a domain" },
	{ DOOR(LAN "reverse_dns: maybe"),
		"f:2:85: listeners[0].reverse_dns: \"maybe\" is unknown: it must be off, "
		"log or require" },
	{ "dns: { servers: [ resolver.example.com ] }\n",
		"f:1:19: dns.servers[0]: \"resolver.example.com\" is not a numeric "
		"address" },
	{ "dns: { servers: [ 192.0.2.53, \"192.0.2.53:0\", \"[2001:db8::53]\" ] }\n",
		"f:1:31: dns.servers[1]: \"192.0.2.53:0\" is not a numeric address\n"
		"f:1:47: dns.servers[2]: \"[2001:db8::53]\" is not a numeric address" },
	{ "dns: { timeout: 50ms }\n", "f:1:17: dns.timeout: \"50ms\" is out of range" },
	{ "auth: { users: /u, max_failures: 1001 }\n",
		"f:1:34: auth.max_failures: \"1001\" is out of range: it must be from 1 "
		"to 1000" },
	{ "auth: { accounts: { user: a } }\n",
		"f:1:19: auth.accounts: is a mapping, but must be a list such as - { "
		"user: " },
	{ "auth: { accounts: [ a ] }\n",
		"f:1:21: auth.accounts[0]: is text, but must be a mapping such as { "
		"user: ... }" },
	{ "auth: { users: /u, accounts: [ { form: [ a.example ] } ] }\n",
		"f:1:32: auth.accounts[0].user: is missing: add user: \nf:1:34: "
		"auth.accounts[0].\"form\": unknown key: did you mean \"from\"?" },
	{ "auth: { users: /u, accounts: [ { user: a, profile: lenient } ] }\n",
		"f:1:52: auth.accounts[0].profile: \"lenient\" is unknown: it must be "
		"listener, strict, standard or legacy" },
	{ "auth: { users: /u, accounts: [ { user: a, from: [ \"@a.example\" ] } ] }\n",
		"f:1:51: auth.accounts[0].from[0]: \"@a.example\" is not an identity" },
	{ "auth: { users: /u, accounts: [ { user: a, user: b } ] }\n",
		"f:1:43: auth.accounts[0].user: is given twice" },
	{ "auth: { users: /u, accounts: [ { user: "
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa } ] }\n",
		"f:1:40: auth.accounts[0].user: \"aaaa" },
	{ "tls: { certificate: /c, key: /k, additional: [ { certificate: /d } ] }\n",
		"f:1:48: tls.additional[0].key: is missing: add key: /" },
	{ "tls: { certificate: /c, key: /k, additional: /d }\n",
		"f:1:46: tls.additional: is text, but must be a list such as - { "
		"certificate: " },
};

static const struct mistake sense_mistakes[] = {
	/* What is old is not for the world. */
	{ DOOR(MAP "tls_profile: old"),
		"f:2:102: listeners[0].tls_profile: old is not for a listener that is "
		"open to the world" },
	{ USERS DOOR("auth: required, tls: required, tls_profile: old"),
		"f:3:90: listeners[0].tls_profile: old is not for a listener that is "
		"open" },
	{ DOOR(MAP "profile: legacy"),
		"f:2:98: listeners[0].profile: legacy is not for a listener that is "
		"open to the world: give networks, or write profile: standard (and" },
	/* Certificates of clients. */
	{ DOOR(LAN "client_certificates: optional, client_ca: /ca.pem"),
		"f:2:93: listeners[0].client_certificates: needs auth.users or "
		"auth.accounts" },
	{ USERS DOOR(LAN "client_certificates: optional"),
		"f:3:93: listeners[0].client_certificates: needs client_ca beside it" },
	{ USERS LISTENER(LAN "client_certificates: required, client_ca: /ca.pem"),
		"f:2:107: listeners[0].client_certificates: needs TLS" },
	{ USERS DOOR(LAN "client_certificates: required, client_ca: /ca.pem"),
		"f:3:93: listeners[0].client_certificates: required needs tls: required "
		"or wrapper" },
	{ DOOR("auth: required, tls: required"),
		"f:2:52: listeners[0].auth: needs auth.users, the file that lists who "
		"may authenticate (or client_certificates)" },
	{ "tls: { additional: [ { certificate: /d, key: /e } ] }\n",
		"f:1:6: tls.certificate: is missing: additional certificates stand "
		"beside" },
	/* Extensions without which nobody could send. */
	{ DOOR(LAN "tls: required, hide_extensions: [ starttls ]"),
		"f:2:104: listeners[0].hide_extensions: hide STARTTLS from every client, "
		"though" },
	{ USERS DOOR("auth: required, tls: wrapper, hide_extensions: [ AUTH ]"),
		"f:3:93: listeners[0].hide_extensions: hide AUTH from every client, "
		"though" },
	/* Proxies. */
	{ DOOR(LAN "proxies: [ 0.0.0.0/0, 10.0.0.0/8, \"::/0\" ]"),
		"f:2:83: listeners[0].proxies[0]: is open to the world: any client could "
		"claim any address\n"
		"f:2:106: listeners[0].proxies[2]: is open to the world" },
	/* Who comes to loopback through a proxy is anybody. */
	{ LOCAL("recipients: [ \"*\" ]"),
		"f:1:98: listeners[0].recipients: take mail from anyone to anywhere" },
	{ LOCAL("networks: [ 0.0.0.0/0 ]"),
		"f:1:96: listeners[0].networks: must name the clients that may relay" },
	{ LOCAL("recipients: { a@a.example: x@b.example }, profile: legacy"),
		"f:1:137: listeners[0].profile: legacy is not for a listener that is "
		"open" },
	{ USERS LOCAL("recipients: { a@a.example: x@b.example }, auth: optional, "
		      "auth_without_tls: "
		      "true"),
		"f:2:162: listeners[0].auth_without_tls: is for private networks only" },
	/* Accounts. */
	{ "auth: { users: /u, accounts: [ { user: a, from: [], recipients: [] } ] }\n",
		"f:1:49: auth.accounts[0].from: is an empty list: name a domain or an "
		"address, or take the line out to allow any sender\n"
		"f:1:65: auth.accounts[0].recipients: is an empty list" },
	/* What is wrong in itself is not judged with others. */
	{ USERS DOOR(
		  LAN "tls: wrpper, client_certificates: required, client_ca: /ca.pem"),
		"f:3:77: listeners[0].tls: \"wrpper\" is unknown" },
	{ DOOR("auth: required, tls: required, client_certificates: maybe"),
		"f:2:98: listeners[0].client_certificates: \"maybe\" is unknown" },
};

static const struct mistake warned[] = {
	{ LISTENER(LAN "tls_profile: modern"),
		"f:1:99: listeners[0].tls_profile: has no effect with tls: none" },
	{ DOOR(LAN "client_ca: /ca.pem"),
		"f:2:83: listeners[0].client_ca: has no effect without "
		"client_certificates" },
	{ DOOR(LAN "tls: wrapper, greeting_delay: 2s"),
		"f:2:102: listeners[0].greeting_delay: has no effect with tls: wrapper" },
	{ DOOR(LAN "accept: relay, profile: legacy"),
		"f:2:80: listeners[0].accept: relay is for clients that try again" },
	{ DOOR(LAN "hide_from: [ 10.1.0.0/16 ]"),
		"f:2:83: listeners[0].hide_from: has no effect without hide_extensions" },
	{ DOOR(LAN "proxies: [ 198.51.96.0/20 ]"),
		"f:2:83: listeners[0].proxies[0]: is a wide public network: any client "
		"in it can claim" },
	{ SES "sender: { from: g@a.example }\n" DOOR(LAN "smtputf8: true"),
		"f:4:82: listeners[0].smtputf8: SES takes ASCII addresses only" },
	{ "relay: { maildir: /m }\n" SES_TOO
	  "routes: [ { recipients: [ b.example ], relays: [ default, ses ] } ]\n" DOOR(
		  LAN "smtputf8: true"),
		"f:6:82: listeners[0].smtputf8: SES takes ASCII addresses only" },
	{ "auth: { accounts: [ { user: a } ] }\n",
		"f:1:19: auth.accounts: has no effect: without auth.users and" },
	{ "auth: { users: /u, accounts: [ { user: a }, { user: \"c*\" }, { user: a }, "
	  "{ user: c-1 },\n"
	  "{ user: \"c-*\" }, { user: \"*\" }, { user: d } ] }\n",
		"f:1:69: auth.accounts[2].user: is never reached: \"a\" stands before "
		"it\n"
		"f:1:82: auth.accounts[3].user: is never reached: \"c*\" stands\n"
		"f:2:9: auth.accounts[4].user: is never reached: \"c*\" stands\n"
		"f:2:41: auth.accounts[6].user: is never reached: \"*\" stands" },
	{ "auth: { users: /u, accounts: [ { user: a, max_message_size: 151MiB, "
	  "max_recipients: 101 } ] }\n",
		"f:1:61: auth.accounts[0].max_message_size: is above that of every "
		"listener" },
	/* Nothing to say. */
	{ DOOR(LAN "profile: legacy"), "" },
	{ DOOR(LAN "tls_profile: old"), "" },
	{ DOOR(MAP "proxies: [ 10.0.0.0/24, 198.51.100.7 ]"), "" },
	{ ACCOUNT DOOR("tls: wrapper, auth: required, client_certificates: required, "
		       "client_ca: "
		       "/ca.pem, client_name: uri"),
		"" },
	{ USERS DOOR(LAN "client_certificates: optional, client_ca: /ca.pem"), "" },
	{ DOOR(LAN "tls: required, hide_extensions: [ STARTTLS ], hide_from: [ 10.0.0.1 "
		   "]"),
		"" },
	{ ACCOUNT DOOR("tls: wrapper, auth: required, client_certificates: required, "
		       "client_ca: "
		       "/ca.pem, hide_extensions: [ AUTH ]"),
		"" },
	{ USERS DOOR("auth: required, tls: required"), "" },
	{ "auth: { users: /u, accounts: [ { user: a, profile: legacy, max_recipients: "
	  "100 },\n { user: \"*\" } ] }\n" DOOR("auth: required, tls: required"),
		"" },
	{ "relay: { maildir: /m }\n" DOOR(LAN "smtputf8: true"), "" },
	{ "relay: { maildir: /m }\n" SES_TOO
	  "routes: [ { listener: other, relays: [ ses ] } ]\n"
	  "listeners: [ { name: other, address: \"127.0.0.1:26\", tls: none, networks: [ "
	  "10.0.0.0/8 ] }, { name: "
	  "in, "
	  "address: \"127.0.0.1:25\", tls: none, " LAN "smtputf8: true } ]\n",
		"" },
	{ SES "sender: { from: g@a.example }\n"
	      "relays: [ { name: mta, maildir: /m } ]\n"
	      "routes: [ { relays: [ mta ] } ]\n" DOOR(LAN "smtputf8: true"),
		"" },
	{ "dns: { servers: [ 192.0.2.53, \"192.0.2.53:5353\", \"2001:db8::53\", "
	  "\"[2001:db8::53]:53\" ] }\n",
		"" },
};

static void test_reading(void **state)
{
	(void)state;
	check_mistakes(reading_mistakes, G_N_ELEMENTS(reading_mistakes));
}

static void test_sense(void **state)
{
	(void)state;
	check_mistakes(sense_mistakes, G_N_ELEMENTS(sense_mistakes));
}

static void test_warnings(void **state)
{
	(void)state;
	check_warnings(warned, G_N_ELEMENTS(warned));
}

static void check_ceiling(struct conf_ceiling got, unsigned n, bool spares_loopback)
{
	assert_int_equal(got.n, n);
	assert_int_equal(got.spares_loopback, spares_loopback);
}

/* What holds of a listener where nothing is given. */
static void test_defaults(void **state)
{
	static const struct {
		const char *text;
		bool ceilings;
		enum conf_profile profile;
		enum conf_tls_profile tls_profile;
		unsigned command_timeout_s, data_timeout_s, greeting_delay_ms;
	} cases[] = {
		{ DOOR(MAP), true, CONF_PROFILE_STRICT, CONF_TLS_INTERMEDIATE, 120, 120,
			40 },
		{ DOOR(MAP "tls: wrapper"), true, CONF_PROFILE_STRICT,
			CONF_TLS_INTERMEDIATE, 120, 120, 0 },
		{ DOOR(MAP "profile: standard"), true, CONF_PROFILE_STANDARD,
			CONF_TLS_INTERMEDIATE, 120, 120, 0 },
		{ DOOR(MAP "networks: [ 0.0.0.0/0 ]"), true, CONF_PROFILE_STANDARD,
			CONF_TLS_INTERMEDIATE, 300, 180, 0 },
		{ USERS DOOR(MAP "auth: optional"), true, CONF_PROFILE_STANDARD,
			CONF_TLS_INTERMEDIATE, 300, 180, 0 },
		{ USERS DOOR("auth: required"), false, CONF_PROFILE_STANDARD,
			CONF_TLS_INTERMEDIATE, 300, 180, 0 },
		{ USERS DOOR("auth: required, profile: strict"), false,
			CONF_PROFILE_STRICT, CONF_TLS_INTERMEDIATE, 300, 180, 40 },
		{ DOOR(LAN), false, CONF_PROFILE_STANDARD, CONF_TLS_INTERMEDIATE, 300,
			180, 0 },
		{ DOOR(LAN "profile: legacy"), false, CONF_PROFILE_LEGACY, CONF_TLS_OLD,
			300, 180, 0 },
		{ DOOR(LAN "profile: legacy, tls_profile: intermediate"), false,
			CONF_PROFILE_LEGACY, CONF_TLS_INTERMEDIATE, 300, 180, 0 },
		{ DOOR(LAN "tls_profile: legacy"), false, CONF_PROFILE_STANDARD,
			CONF_TLS_OLD, 300, 180, 0 },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct conf *conf = load_sound(cases[i].text);
		const struct conf_listener *in = &conf->listeners[0];
		bool ceilings = cases[i].ceilings;
		check_ceiling(in->connections_per_client, ceilings ? 50 : 0, true);
		check_ceiling(in->connections_per_network, ceilings ? 200 : 0, true);
		check_ceiling(in->messages_per_minute, ceilings ? 300 : 0, true);
		check_ceiling(in->recipients_per_minute, ceilings ? 3000 : 0, true);
		assert_int_equal(in->profile, cases[i].profile);
		assert_int_equal(in->tls_profile, cases[i].tls_profile);
		assert_int_equal(in->command_timeout_s, cases[i].command_timeout_s);
		assert_int_equal(in->data_timeout_s, cases[i].data_timeout_s);
		assert_int_equal(in->greeting_delay_ms, cases[i].greeting_delay_ms);
		assert_int_equal(in->client_certificates, CONF_CLIENT_CERTIFICATES_NONE);
		assert_int_equal(in->client_name, CONF_CLIENT_COMMON_NAME);
		assert_false(in->smtputf8);
		assert_null(in->hide_extensions);
		assert_int_equal(in->n_proxies, 0);
		assert_int_equal(in->max_errors, 20);
		assert_int_equal(in->max_idle_commands, 100);
		assert_null(in->dnsbl);
		assert_int_equal(in->reverse_dns, CONF_REVERSE_DNS_OFF);
		assert_int_equal(conf->auth_max_failures, 10);
		assert_int_equal(conf->auth_failure_window_s, 600);
		assert_null(conf->dns_servers);
		assert_int_equal(conf->dns_timeout_ms, 3000);
		assert_int_equal(conf->n_tls_additional, 0);
		conf_unref(conf);
	}
}

static void test_values(void **state)
{
	(void)state;
	struct conf *conf = load_sound(
		"listeners:\n"
		"  - name: mx\n"
		"    address: \"[::]:25\"\n"
		"    recipients: { \"@a.example\": x@b.example }\n"
		"    hide_extensions: [ chunking, 8bitmime ]\n"
		"    hide_from: [ 192.0.2.0/24, \"2001:db8::/32\" ]\n"
		"    proxies: [ 10.0.0.1 ]\n"
		"    max_connections_per_client: 0\n"
		"    max_connections_per_network: 7\n"
		"    messages_per_minute: 8\n"
		"    recipients_per_minute: 9\n"
		"    max_errors: 3\n"
		"    max_idle_commands: 4\n"
		"    greeting_delay: 0\n"
		"    command_timeout: 6m\n"
		"    data_timeout: 7m\n"
		"    smtputf8: true\n"
		"    dnsbl: [ a.example, b.example ]\n"
		"    reverse_dns: require\n"
		"    client_certificates: optional\n"
		"    client_ca: /ca.pem\n"
		"    client_name: email\n"
		"tls:\n"
		"  certificate: /c.pem\n"
		"  key: /k.pem\n"
		"  additional:\n"
		"    - { certificate: /d.pem, key: /e.pem }\n"
		"    - { certificate: /f.pem, key: /g.pem }\n"
		"auth: { users: /u, max_failures: 5, failure_window: 1h }\n"
		"dns: { servers: [ 127.0.0.1, \"[::1]:5353\" ], timeout: 500ms }\n");
	const struct conf_listener *mx = &conf->listeners[0];
	assert_string_equal(mx->hide_extensions[0], "CHUNKING");
	assert_string_equal(mx->hide_extensions[1], "8BITMIME");
	assert_null(mx->hide_extensions[2]);
	assert_int_equal(mx->n_hide_from, 2);
	assert_int_equal(mx->hide_from[1].prefix_bits, 32);
	assert_int_equal(mx->n_proxies, 1);
	check_ceiling(mx->connections_per_client, 0, false);
	check_ceiling(mx->connections_per_network, 7, false);
	check_ceiling(mx->messages_per_minute, 8, false);
	check_ceiling(mx->recipients_per_minute, 9, false);
	assert_int_equal(mx->max_errors, 3);
	assert_int_equal(mx->max_idle_commands, 4);
	assert_int_equal(mx->greeting_delay_ms, 0);
	assert_int_equal(mx->command_timeout_s, 360);
	assert_int_equal(mx->data_timeout_s, 420);
	assert_true(mx->smtputf8);
	assert_string_equal(mx->dnsbl[1], "b.example");
	assert_null(mx->dnsbl[2]);
	assert_int_equal(mx->reverse_dns, CONF_REVERSE_DNS_REQUIRE);
	assert_int_equal(mx->client_certificates, CONF_CLIENT_CERTIFICATES_OPTIONAL);
	assert_string_equal(mx->client_ca, "/ca.pem");
	assert_int_equal(mx->client_name, CONF_CLIENT_EMAIL);
	assert_int_equal(conf->n_tls_additional, 2);
	assert_string_equal(conf->tls_additional[1].certificate, "/f.pem");
	assert_string_equal(conf->tls_additional[1].key, "/g.pem");
	assert_int_equal(conf->auth_max_failures, 5);
	assert_int_equal(conf->auth_failure_window_s, 3600);
	assert_string_equal(conf->dns_servers[1], "[::1]:5353");
	assert_null(conf->dns_servers[2]);
	assert_int_equal(conf->dns_timeout_ms, 500);
	conf_unref(conf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_sense),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_values),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
