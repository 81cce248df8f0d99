/* Names in certificates: what is taken for one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/smtp/tls_private.h"
#include "identity.h"
#include <string.h>

#define TEXT_20     "abcdefghijklmnopqrst"
#define TEXT_100    TEXT_20 TEXT_20 TEXT_20 TEXT_20 TEXT_20
#define TEXT_253    TEXT_100 TEXT_100 TEXT_20 TEXT_20 "abcdefghijklm"
#define TEXT_255    TEXT_253 "no"
#define BYTES(text) (text), sizeof(text) - 1
#define NAMES(...)                                                                       \
	(const struct identity_name[])                                                   \
	{                                                                                \
		__VA_ARGS__,                                                             \
		{                                                                        \
			0, NULL, 0                                                       \
		}                                                                        \
	}

/* ---- folding ---- */

static const struct fold_case {
	const char *name;
	size_t bytes;
	bool wildcard;
	const char *want; /* NULL: refused */
} folds[] = {
	{ BYTES("mx.example"), false, "mx.example" },
	{ BYTES("MX.Example."), false, "mx.example" },
	{ BYTES("localhost"), false, "localhost" },
	{ BYTES("a_b-1.example"), false, "a_b-1.example" },
	{ BYTES("*.example"), true, "*.example" },
	{ BYTES("*.example"), false, NULL },
	{ BYTES("*"), true, NULL },
	{ BYTES("*."), true, NULL },
	{ BYTES("a.*.example"), true, NULL },
	{ BYTES("mx*.example"), true, NULL },
	{ BYTES(""), false, NULL },
	{ BYTES("."), false, NULL },
	{ BYTES(".."), false, NULL },
	{ BYTES(".example"), false, NULL },
	{ BYTES("a..example"), false, NULL },
	{ BYTES("mx.example\0.evil.example"), false, NULL },
	{ BYTES("mx.example\r\nX: y"), false, NULL },
	{ BYTES("m\xc3\xbcx.example"), false, NULL },
	{ BYTES("mx example"), false, NULL },
	{ BYTES(TEXT_253), false, TEXT_253 },
	{ BYTES(TEXT_253 "."), false, TEXT_253 },
	{ BYTES(TEXT_253 "x"), false, NULL },
	{ BYTES(TEXT_255 TEXT_255), false, NULL },
};

static void folding(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(folds); i++) {
		const struct fold_case *c = &folds[i];
		char folded[TLS_NAME_BYTES_MAX + 1];
		/* A copy without NUL: nothing behind it is read. */
		g_autofree char *copy = g_memdup2(c->name, c->bytes);
		bool good = tls_name_fold(copy, c->bytes, c->wildcard, folded);
		if (good != (c->want != NULL))
			fail_msg("\"%s\" was %s", c->name, good ? "taken" : "refused");
		if (good)
			assert_string_equal(folded, c->want);
	}
}

/* ---- servers ---- */

static const struct server_case {
	const char *what;
	struct identity_request request;
	const char *want; /* separated by spaces */
} servers[] = {
	{ "only a common name", { .common_name = "MX.example" }, "mx.example" },
	{ "the last of them",
		{ .common_name = "mx.example", .second_common_name = "two.example" },
		"two.example" },
	{ "a common name beside others is none",
		{ .common_name = "cn.example",
			.alternatives = NAMES({ GEN_DNS, "A.example", 0 },
				{ GEN_EMAIL, "b@example", 0 },
				{ GEN_DNS, "*.B.example.", 0 }) },
		"a.example *.b.example" },
	{ "even where no other is of the DNS",
		{ .common_name = "cn.example",
			.alternatives = NAMES({ GEN_EMAIL, "b@example", 0 }) },
		"" },
	{ "NUL does not hide the rest",
		{ .alternatives = NAMES({ GEN_DNS, BYTES("mx.example\0.evil.example") },
			  { GEN_DNS, "b.example", 0 }) },
		"b.example" },
	{ "no names at all", { .common_name = NULL }, "" },
	{ "a common name that is prose", { .common_name = "Stowage's own" }, "" },
};

static void of_servers(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(servers); i++) {
		struct identity *identity = identity_new(&servers[i].request);
		g_autoptr(GPtrArray) names = tls_names_of_server(identity->certificate);
		g_ptr_array_set_free_func(names, NULL);
		g_ptr_array_add(names, NULL);
		char **strings = (char **)g_ptr_array_steal(names, NULL);
		g_autofree char *got = g_strjoinv(" ", strings);
		if (strcmp(got, servers[i].want))
			fail_msg("%s: \"%s\"", servers[i].what, got);
		g_strfreev(strings);
		identity_free(identity);
	}
}

/* ---- clients ---- */

static const struct client_case {
	const char *what;
	struct identity_request request;
	enum conf_client_name which;
	const char *want; /* NULL: none */
} clients[] = {
	{ "a common name", { .common_name = "device-17" }, CONF_CLIENT_COMMON_NAME,
		"device-17" },
	{ "any letters", { .common_name = "Drucker im B\xc3\xbcro" },
		CONF_CLIENT_COMMON_NAME, "Drucker im B\xc3\xbcro" },
	{ "the most specific",
		{ .common_name = "fleet", .second_common_name = "device-17" },
		CONF_CLIENT_COMMON_NAME, "device-17" },
	{ "none", { .common_name = NULL }, CONF_CLIENT_COMMON_NAME, NULL },
	{ "NUL in it", { .common_name = "admin\0.device", .common_name_bytes = 13 },
		CONF_CLIENT_COMMON_NAME, NULL },
	{ "NUL behind it", { .common_name = "admin", .common_name_bytes = 6 },
		CONF_CLIENT_COMMON_NAME, NULL },
	{ "a new line", { .common_name = "a\r\nReceived: b" }, CONF_CLIENT_COMMON_NAME,
		NULL },
	{ "a line of Unicode's",
		{ .common_name = "a\xe2\x80\xa8"
				 "b" },
		CONF_CLIENT_COMMON_NAME, NULL },
	{ "a change of direction",
		{ .common_name = "a\xe2\x80\xae"
				 "b" },
		CONF_CLIENT_COMMON_NAME, NULL },
	{ "a space of no width", { .common_name = "admin\xe2\x80\x8b" },
		CONF_CLIENT_COMMON_NAME, NULL },
	{ "not UTF-8", { .common_name = "a\xff" }, CONF_CLIENT_COMMON_NAME, NULL },
	{ "half a character", { .common_name = "a\xc3" }, CONF_CLIENT_COMMON_NAME, NULL },
	{ "as long as may be", { .common_name = TEXT_255 }, CONF_CLIENT_COMMON_NAME,
		TEXT_255 },
	{ "longer", { .common_name = TEXT_255 "x" }, CONF_CLIENT_COMMON_NAME, NULL },
	{ "the first DNS name",
		{ .common_name = "cn",
			.alternatives = NAMES({ GEN_EMAIL, "m@example", 0 },
				{ GEN_DNS, "one.example", 0 },
				{ GEN_DNS, "two.example", 0 },
				{ GEN_URI, "urn:x:1", 0 }) },
		CONF_CLIENT_DNS, "one.example" },
	{ "the first address",
		{ .alternatives = NAMES({ GEN_DNS, "one.example", 0 },
			  { GEN_EMAIL, "m@example", 0 }, { GEN_EMAIL, "n@example", 0 }) },
		CONF_CLIENT_EMAIL, "m@example" },
	{ "the first URI",
		{ .alternatives = NAMES({ GEN_DNS, "one.example", 0 },
			  { GEN_URI, "spiffe://fleet/device/17", 0 }) },
		CONF_CLIENT_URI, "spiffe://fleet/device/17" },
	{ "the common name is not in place of another", { .common_name = "one.example" },
		CONF_CLIENT_DNS, NULL },
	{ "of another kind", { .alternatives = NAMES({ GEN_DNS, "one.example", 0 }) },
		CONF_CLIENT_EMAIL, NULL },
	{ "a bad first is not passed over",
		{ .alternatives = NAMES({ GEN_DNS, BYTES("one\0.example") },
			  { GEN_DNS, "two.example", 0 }) },
		CONF_CLIENT_DNS, NULL },
	{ "IA5 is ASCII", { .alternatives = NAMES({ GEN_DNS, "m\xc3\xbcx.example", 0 }) },
		CONF_CLIENT_DNS, NULL },
	{ "an over-long URI", { .alternatives = NAMES({ GEN_URI, "urn:" TEXT_255, 0 }) },
		CONF_CLIENT_URI, NULL },
};

static void of_clients(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
		struct identity *identity = identity_new(&clients[i].request);
		g_autofree char *got =
			tls_name_of_client(identity->certificate, clients[i].which);
		if (g_strcmp0(got, clients[i].want))
			fail_msg("%s: \"%s\"", clients[i].what, got ? got : "(none)");
		identity_free(identity);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(folding),
		cmocka_unit_test(of_servers),
		cmocka_unit_test(of_clients),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
