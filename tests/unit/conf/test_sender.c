/* The settings of senders, and of what SES is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conf/ses.h"
#include "tests/unit/conf/loading.h"
#include <string.h>

#define FROM   "sender: { from: g@a.example, "
#define RELAYS "relays: [ { name: two, host: mx.example.com } ]\n"
#define MX_MAP LISTENER("recipients: { \"@in.example\": x@a.example }")
#define UNENCRYPTED                                                                      \
	"f:2:54: listeners[0].tls: mail from the world arrives here unencrypted"
#define ARN "arn:aws:ses:eu-west-1:123456789012:identity/"

static const struct mistake mistakes[] = {
	{ FROM "display_name: \"{nam} via x\" }\n",
		"f:1:44: sender.display_name: \"{nam}\" is unknown: there are {name}" },
	{ FROM "display_name: \"{name} {\" }\n",
		"f:1:44: sender.display_name: \"{\" is unknown" },
	{ "sender: { envelope_id: true }\n",
		"f:1:24: sender.envelope_id: needs sender.envelope" },
	{ "sender: { envelope: abcdefghijklmnopqrstuvwxyz0123456789@a.example, "
	  "envelope_id: true }\n",
		"f:1:82: sender.envelope_id: makes the part before the @ of" },
	{ "relay: { host: mx.example.com, configuration_set: a.b }\n",
		"f:1:51: relay.configuration_set: \"a.b\" must be at most 64 letters" },
	{ "relay: { host: mx.example.com, source_arn: x, from_arn: \"" ARN
	  "a.example\" }\n",
		"f:1:44: relay.source_arn: \"x\" is not the ARN of an identity" },
	{ "relay: { host: mx.example.com, tags: [ \"a b=c\", ses:x=y, a=b, a=c, "
	  "stowage-id=1 ] }\n",
		"f:1:40: relay.tags[0]: \"a b=c\" has a name that SES does not take\n"
		"f:1:49: relay.tags[1]: \"ses:x=y\" has a name that SES does not take\n"
		"f:1:63: relay.tags[3]: has the name of one before it\n"
		"f:1:68: relay.tags[4]: \"stowage-id\" is the gateway's own" },
	{ "relays: [ { name: two, host: mx.example.com, tags: [ \"a=b c\" ] } ]\n",
		"f:1:54: relays[0].tags[0]: \"a=b c\" has a value that SES does not" },
	{ RELAYS "routes: [ { relays: [ two ], return_path_arn: y } ]\n",
		"f:2:47: routes[0].return_path_arn: \"y\" is not the ARN" },
	{ LISTENER("networks: [ 10.0.0.0/8 ], tags: [ \"a=\xc3\xbc\" ]"),
		"f:1:94: listeners[0].tags[0]: \"a=" },
	{ "auth: { users: /u, accounts: [ { user: u, tags: [ \"=b\" ] } ] }\n",
		"f:1:51: auth.accounts[0].tags[0]: \"=b\" is" },
};

static void test_mistakes(void **state)
{
	(void)state;
	check_mistakes(mistakes, G_N_ELEMENTS(mistakes));
}

static const struct mistake warnings[] = {
	{ FROM "display_name: Gateway }\n",
		"f:1:44: sender.display_name: names no author" },
	{ FROM "display_name: \"{address} ({domain}, {gateway})\" }\n", "" },
	{ FROM "envelope: bounces@a.example, envelope_id: true }\n", "" },
	{ FROM "envelope_id: true }\n", "" },
	{ FROM "envelope: b@in.example }\n" MX_MAP,
		"f:1:40: sender.envelope: b@in.example is received here\n" UNENCRYPTED },
	{ FROM "envelope: b@in.example, envelope_id: true }\n" MX_MAP, UNENCRYPTED },
	{ FROM "envelope: b@a.example }\n" MX_MAP, UNENCRYPTED },
	{ FROM "verified: [ g@a.example, b.example ] }\n" MX_MAP,
		"f:1:55: sender.verified[1]: is a whole domain, and strangers can send "
		"by the listener \"in\": \n" UNENCRYPTED },
	{ FROM "verified: [ g@a.example ] }\n" MX_MAP, UNENCRYPTED },
	{ FROM "verified: [ a.example ] }\n" LISTENER("networks: [ 10.0.0.0/8 ]"), "" },
	{ "sender: { verified: [ b.example ] }\n" MX_MAP, UNENCRYPTED },
	{ "relays: [ { name: two, host: email-smtp.eu-west-1.amazonaws.com, user: a, "
	  "password: b } ]\n",
		"f:1:1: sender.from: is not given: SES refuses" },
	{ FROM "verified: [ a.example ] }\n" RELAYS
	       "routes: [ { relays: [ two ], preserve_sender: true } ]\n",
		"" },
	{ FROM "verified: [ a.example ] }\nrelays: [ { name: two, host: "
	       "email-smtp.eu-west-1.amazonaws.com, user: a, password: b } ]\n"
	       "routes: [ { relays: [ two ], preserve_sender: true } ]\n",
		"f:3:47: routes[0].preserve_sender: the relay \"two\" is SES" },
	{ "relay: { host: mx.example.com, configuration_set: gateway, tags: [ "
	  "ses:feedback-id-a=x, \"a=b.c@d\" ], source_arn: \"" ARN "a@b.c\" }\n",
		"" },
};

static void test_warnings(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(warnings); i++) {
		char *problems = NULL, *told = NULL;
		g_autofree char *text = completed(warnings[i].text);
		struct conf *conf = load(text, &problems, &told);
		if (!conf || !matches(warnings[i].text, told, warnings[i].want))
			fail_msg("%s: %s", warnings[i].text, problems);
		conf_unref(conf);
		g_free(problems);
		g_free(told);
	}
}

static void test_hosts(void **state)
{
	(void)state;
	static const struct {
		const char *host;
		bool want;
	} cases[] = {
		{ "email-smtp.eu-west-1.amazonaws.com", true },
		{ "EMAIL-SMTP.us-gov-west-1.amazonaws.com", true },
		{ "email-smtp-fips.us-east-1.amazonaws.com", true },
		{ "email-smtp.cn-north-1.amazonaws.com.cn", true },
		{ "vpce-0a1b-2c.email-smtp.eu-west-1.vpce.amazonaws.com", true },
		{ "email-smtp.example.com", false },
		{ "inbound-smtp.eu-west-1.amazonaws.com", false },
		{ "vpce-0a1b", false },
		{ "localhost", false },
		{ NULL, false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		if (conf_ses_is_host(cases[i].host) != cases[i].want)
			fail_msg("%s", cases[i].host);
}

static void test_relays(void **state)
{
	(void)state;
	static const char *const tags[] = { "a=b", NULL };
	static const struct {
		struct conf_relay relay;
		bool want;
	} cases[] = {
		{ { .host = "email-smtp.eu-west-1.amazonaws.com" }, true },
		{ { .host = "10.0.0.1" }, false },
		{ { .host = "10.0.0.1", .region = "eu-west-1" }, true },
		{ { .host = "10.0.0.1", .iam_access_key_id_file = "/k" }, true },
		{ { .host = "10.0.0.1", .ses.configuration_set = "a" }, true },
		{ { .host = "10.0.0.1", .ses.tags = tags }, true },
		{ { .maildir = "/m", .ses.tags = tags }, false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
		assert_int_equal(conf_relay_is_ses(&cases[i].relay), cases[i].want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_hosts),
		cmocka_unit_test(test_relays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
