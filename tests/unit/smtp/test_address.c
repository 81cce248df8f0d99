/* Paths and parameters, by table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/smtp/address.h"

#define R  PATH_REVERSE
#define F  0
#define L  PATH_LENIENT
#define U  PATH_UTF8
#define OE "\xc3\xb6" /* o with two dots */

#define X10        "xxxxxxxxxx"
#define X60        X10 X10 X10 X10 X10 X10
#define DOMAIN_255 X60 "." X60 "." X60 "." X60 "." X10 "x"

static const struct path_case {
	const char *in;
	unsigned flags;
	enum smtp_path_status status;
	const char *address, *rest;
} path_cases[] = {
	{ "<a@b>", R, PATH_OK, "a@b", "" },
	{ "<a@b.example> SIZE=1", F, PATH_OK, "a@b.example", " SIZE=1" },
	{ "<a@b>SIZE=1", F, PATH_OK, "a@b", "SIZE=1" },
	{ "<>", R, PATH_OK, "", "" },
	{ "<>", F, PATH_SYNTAX, NULL, NULL },
	{ "<PostMaster>", F, PATH_OK, "postmaster", "" },
	{ "<postmaster>", R, PATH_SYNTAX, NULL, NULL },
	{ "<postmaster@b>", R, PATH_OK, "postmaster@b", "" },
	{ "<someone>", F, PATH_SYNTAX, NULL, NULL },
	{ "<@one.example,@two.example:a@b>", F, PATH_OK, "a@b", "" },
	{ "<@one:a@b>", R, PATH_OK, "a@b", "" },
	{ "<@one,two:a@b>", R, PATH_SYNTAX, NULL, NULL },
	{ "<@one:>", R, PATH_SYNTAX, NULL, NULL },
	{ "<a.b+c=d_e@b>", F, PATH_OK, "a.b+c=d_e@b", "" },
	{ "<!#$%&'*+-/=?^_`{|}~@b>", F, PATH_OK, "!#$%&'*+-/=?^_`{|}~@b", "" },
	{ "<.a@b>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a.@b>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a..b@b>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a b@b>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@b@c>", F, PATH_SYNTAX, NULL, NULL },
	{ "<@b>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@b", F, PATH_SYNTAX, NULL, NULL },
	{ "<", F, PATH_SYNTAX, NULL, NULL },
	{ "", F, PATH_NO_BRACKETS, NULL, NULL },
	{ "<<a@b>>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@b\r\n>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@b..c>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@.b>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@b.>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@-b>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@b->", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@b_c.example>", F, PATH_OK, "a@b_c.example", "" },
	{ "<a@b!c>", F, PATH_SYNTAX, NULL, NULL },
	/* quoted local parts */
	{ "<\"joe\"@b>", F, PATH_OK, "joe@b", "" },
	{ "<\"j\\oe\"@b>", F, PATH_OK, "joe@b", "" },
	{ "<\"a b\"@b>", F, PATH_OK, "\"a b\"@b", "" },
	{ "<\"a@b\"@c>", F, PATH_OK, "\"a@b\"@c", "" },
	{ "<\"a>b\"@c>", F, PATH_OK, "\"a>b\"@c", "" },
	{ "<\"a\\\"b\"@c>", F, PATH_OK, "\"a\\\"b\"@c", "" },
	{ "<\"a\\\\b\"@c>", F, PATH_OK, "\"a\\\\b\"@c", "" },
	{ "<\"a..b\"@c>", F, PATH_OK, "\"a..b\"@c", "" },
	{ "<\"\"@c>", F, PATH_OK, "\"\"@c", "" },
	{ "<\"a@c>", F, PATH_SYNTAX, NULL, NULL },
	{ "<\"a\"b@c>", F, PATH_SYNTAX, NULL, NULL },
	{ "<\"a\tb\"@c>", F, PATH_SYNTAX, NULL, NULL },
	{ "<\"a\\", F, PATH_SYNTAX, NULL, NULL },
	/* address literals */
	{ "<a@[192.0.2.1]>", F, PATH_OK, "a@[192.0.2.1]", "" },
	{ "<a@[IPv6:2001:db8::1]>", F, PATH_OK, "a@[IPv6:2001:db8::1]", "" },
	{ "<a@[ipv6:::ffff:192.0.2.1]>", F, PATH_OK, "a@[ipv6:::ffff:192.0.2.1]", "" },
	{ "<a@[x-tag:content]>", F, PATH_OK, "a@[x-tag:content]", "" },
	{ "<a@[192.0.2.256]>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@[192.0.2]>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@[IPv6:2001:db8]>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@[IPv6:]>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@[]>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@[192.0.2.1>", F, PATH_SYNTAX, NULL, NULL },
	/* limits: 64, 255, 256 */
	{ "<" X60 "xxxx@b>", F, PATH_OK, X60 "xxxx@b", "" },
	{ "<" X60 "xxxxx@b>", F, PATH_TOO_LONG, NULL, NULL },
	{ "<\"" X60 " xx\"@b>", F, PATH_TOO_LONG, NULL, NULL },
	{ "<\"" X60 " x\"@b>", F, PATH_OK, "\"" X60 " x\"@b", "" },
	{ "<\"" X60 "\"@b>", F, PATH_OK, X60 "@b", "" },
	{ "<a@" X60 "xxx>", F, PATH_OK, "a@" X60 "xxx", "" },
	{ "<a@" X60 "xxxx>", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@" DOMAIN_255 ">", F, PATH_TOO_LONG, NULL, NULL }, /* 259 with the rest */
	{ "<a@" X60 "." X60 "." X60 "." X60 "." X10 ".x>", F, PATH_TOO_LONG, NULL, NULL },
	{ "<a@" X60 "." X60 "." X60 "." X60 "."
	  "xxxxxxxx>",
		F, PATH_OK,
		"a@" X60 "." X60 "." X60 "." X60 "."
		"xxxxxxxx",
		"" }, /* 256 */
	{ "<a@" X60 "." X60 "." X60 "." X60 "."
	  "xxxxxxxxx>",
		F, PATH_TOO_LONG, NULL, NULL },
	/* 7-bit only */
	{ "<j\xc3\xb6@b>", F, PATH_NOT_ASCII, NULL, NULL },
	{ "<a@b\xff>", R, PATH_NOT_ASCII, NULL, NULL },
	{ "<a@b> X=\xff", F, PATH_OK, "a@b", " X=\xff" },
	{ "<a@-" OE ">", F, PATH_NOT_ASCII, NULL, NULL },
	{ "<\"" OE "\"@b>", F, PATH_NOT_ASCII, NULL, NULL },
	{ "<a@[" OE "]>", F, PATH_NOT_ASCII, NULL, NULL },
	{ "<" OE, F, PATH_NOT_ASCII, NULL, NULL },
	/* with SMTPUTF8 */
	{ "<j" OE "@b>", F | U, PATH_OK, "j" OE "@b", "" },
	{ "<\"j " OE "\\" OE "\"@b>", F | U, PATH_OK, "\"j " OE OE "\"@b", "" },
	{ "<\"" OE "\"@b>", F | U, PATH_OK, OE "@b", "" },
	{ "<a@m" OE ".example>", R | U, PATH_OK, "a@m" OE ".example", "" },
	{ "<a@" OE ">", F | U, PATH_OK, "a@" OE, "" },
	{ "<a@xn--m-eka.example>", F | U, PATH_OK, "a@xn--m-eka.example", "" },
	{ "<" OE ".@b>", F | U, PATH_SYNTAX, NULL, NULL },
	{ "<a@-" OE ">", F | U, PATH_SYNTAX, NULL, NULL },
	{ "<a@" OE "..b>", F | U, PATH_SYNTAX, NULL, NULL },
	{ "<a@[" OE "]>", F | U, PATH_SYNTAX, NULL, NULL },
	{ "<\xc3@b>", F | U, PATH_SYNTAX, NULL, NULL },
	{ "<\xff@b>", F | U, PATH_SYNTAX, NULL, NULL },
	{ "<\xc0\x80@b>", F | U, PATH_SYNTAX, NULL, NULL },
	{ "<\xed\xa0\x80@b>", F | U, PATH_SYNTAX, NULL, NULL },
	{ "<\xf4\x90\x80\x80@b>", F | U, PATH_SYNTAX, NULL, NULL },
	{ "<\xc2\x85@b>", F | U, PATH_SYNTAX, NULL, NULL },
	{ "<a@\xe2\x80\xae>", F | U, PATH_SYNTAX, NULL, NULL },
	{ "<a@" OE, F | U, PATH_SYNTAX, NULL, NULL },
	{ "<a\xc3", F | U, PATH_SYNTAX, NULL, NULL },
	{ "<" X60 OE OE "@b>", F | U, PATH_OK, X60 OE OE "@b", "" },
	{ "<" X60 OE OE "x@b>", F | U, PATH_TOO_LONG, NULL, NULL },
	/* what devices send: strict refuses, lenient understands */
	{ "a@b", F, PATH_NO_BRACKETS, NULL, NULL },
	{ "a@b", F | L, PATH_OK, "a@b", "" },
	{ "a@b SIZE=1", R | L, PATH_OK, "a@b", " SIZE=1" },
	{ " <a@b>", F, PATH_NO_BRACKETS, NULL, NULL },
	{ " <a@b>", F | L, PATH_OK, "a@b", "" },
	{ "< a@b >", F | L, PATH_OK, "a@b", "" },
	{ "<a..b.@c>", F | L, PATH_OK, "a..b.@c", "" },
	{ "<root>", R, PATH_SYNTAX, NULL, NULL },
	{ "<root>", R | L, PATH_OK, "root", "" },
	{ "root", R | L, PATH_OK, "root", "" },
	{ "<root>", F | L, PATH_SYNTAX, NULL, NULL },
	{ "", R | L, PATH_SYNTAX, NULL, NULL },
	{ "<a\x01@b>", R | L, PATH_SYNTAX, NULL, NULL },
	/* lenient: one bracket without the other */
	{ "<a@b", F | L, PATH_OK, "a@b", "" },
	{ "<a@b SIZE=1", R | L, PATH_OK, "a@b", " SIZE=1" },
	{ "< a@b  SIZE=1", R | L, PATH_OK, "a@b", "  SIZE=1" },
	{ "a@b>", F | L, PATH_OK, "a@b", "" },
	{ "a@b> SIZE=1", R | L, PATH_OK, "a@b", " SIZE=1" },
	{ "a@b>>", F | L, PATH_SYNTAX, NULL, NULL },
	{ "<a@b, c@d>", F | L, PATH_SYNTAX, NULL, NULL },
	{ "<a@b", F, PATH_SYNTAX, NULL, NULL },
	{ "<a@b SIZE=1", R | PATH_SPACE, PATH_SYNTAX, NULL, NULL },
	{ "a@b>", F, PATH_NO_BRACKETS, NULL, NULL },
	{ "<", R | L, PATH_SYNTAX, NULL, NULL },
	{ ">", R | L, PATH_SYNTAX, NULL, NULL },
};

static void paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(path_cases); i++) {
		const struct path_case *c = &path_cases[i];
		/* an exact copy, so that reading past it is seen */
		size_t bytes = strlen(c->in);
		g_autofree char *copy = g_malloc(bytes + !bytes);
		memcpy(copy, c->in, bytes);
		struct smtp_path path;
		enum smtp_path_status status =
			smtp_path_parse((struct slice){ copy, bytes }, c->flags, &path);
		g_autofree char *address = path.address;
		if (status != c->status)
			fail_msg("%s: status %d, not %d", c->in, status, c->status);
		if (status != PATH_OK) {
			assert_null(address);
			continue;
		}
		assert_string_equal(address, c->address);
		assert_int_equal(path.rest.bytes, strlen(c->rest));
		assert_memory_equal(path.rest.start, c->rest, path.rest.bytes);
	}
}

static const struct forgiven_case {
	const char *in;
	unsigned flags, want;
} forgiven_cases[] = {
	{ "<a@b>", F | L, 0 },
	{ "<>", R | L, 0 },
	{ "a@b", F | L, FORGIVEN_BRACKETS },
	{ " <a@b>", F | PATH_SPACE, FORGIVEN_SPACE },
	{ "\ta@b", F | L, FORGIVEN_BRACKETS | FORGIVEN_SPACE },
	{ "< a@b>", F | L, FORGIVEN_SPACE },
	{ "<a@b >", F | L, FORGIVEN_SPACE },
	{ "< >", R | L, FORGIVEN_SPACE },
	{ "a@b SIZE=1", F | L, FORGIVEN_BRACKETS },
	{ "<a@b SIZE=1", F | L, FORGIVEN_BRACKETS },
	{ "a@b>", F | L, FORGIVEN_BRACKETS },
};

static void forgiven(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(forgiven_cases); i++) {
		const struct forgiven_case *c = &forgiven_cases[i];
		struct smtp_path path;
		assert_int_equal(
			smtp_path_parse(slice_of(c->in), c->flags, &path), PATH_OK);
		assert_int_equal(path.forgiven, c->want);
		g_free(path.address);
	}
}

/* want: "KEYWORD=value|KEYWORD|" */
static const struct parameters_case {
	const char *in;
	enum smtp_parameters_status status;
	const char *want;
} parameters_cases[] = {
	{ "", PARAMETERS_OK, "" },
	{ "   ", PARAMETERS_OK, "" },
	{ " SIZE=100", PARAMETERS_OK, "SIZE=100|" },
	{ " SIZE=100 BODY=8BITMIME", PARAMETERS_OK, "SIZE=100|BODY=8BITMIME|" },
	{ "  size=1   body=7BIT  ", PARAMETERS_OK, "size=1|body=7BIT|" },
	{ " SMTPUTF8", PARAMETERS_OK, "SMTPUTF8|" },
	{ " X-1=<a@b>+41", PARAMETERS_OK, "X-1=<a@b>+41|" },
	{ "SIZE=1", PARAMETERS_SYNTAX, NULL },
	{ " SIZE=", PARAMETERS_SYNTAX, NULL },
	{ " =1", PARAMETERS_SYNTAX, NULL },
	{ " -A=1", PARAMETERS_SYNTAX, NULL },
	{ " A_B=1", PARAMETERS_SYNTAX, NULL },
	{ " A=b=c", PARAMETERS_SYNTAX, NULL },
	{ " A=\x01", PARAMETERS_SYNTAX, NULL },
	{ " A=\xff", PARAMETERS_SYNTAX, NULL },
	{ " \xc3\xb6=1", PARAMETERS_SYNTAX, NULL },
	{ " A=" OE, PARAMETERS_OK, "A=" OE "|" },
	{ " SIZE=1 size=2", PARAMETERS_DUPLICATE, NULL },
	{ " A B A", PARAMETERS_DUPLICATE, NULL },
	{ " A B C D E F G H I J K L M N O P", PARAMETERS_OK,
		"A|B|C|D|E|F|G|H|I|J|K|L|M|N|O|P|" },
	{ " A B C D E F G H I J K L M N O P Q", PARAMETERS_SYNTAX, NULL },
};

static void parameters(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(parameters_cases); i++) {
		const struct parameters_case *c = &parameters_cases[i];
		struct smtp_parameter found[SMTP_PARAMETERS_MAX];
		size_t n;
		enum smtp_parameters_status status =
			smtp_parameters_parse(slice_of(c->in), found, &n);
		if (status != c->status)
			fail_msg("%s: status %d, not %d", c->in, status, c->status);
		if (status != PARAMETERS_OK)
			continue;
		g_autoptr(GString) got = g_string_new(NULL);
		for (size_t j = 0; j < n; j++) {
			g_string_append_len(got, found[j].keyword.start,
				(gssize)found[j].keyword.bytes);
			if (found[j].value.start) {
				g_string_append_c(got, '=');
				g_string_append_len(got, found[j].value.start,
					(gssize)found[j].value.bytes);
			}
			g_string_append_c(got, '|');
		}
		assert_string_equal(got->str, c->want);
	}
}

static void domains(void **state)
{
	(void)state;
	static const char *const good[] = { "a", "localhost", "a.b-c.example",
		"[192.0.2.1]", "[IPv6:::1]", "host_name", "1.2.3.4" };
	static const char *const bad[] = { "", "a b", "a.", "-a", "a@b", "<a>", "[1.2]",
		"[", "a\x7f", "\xc3\xa4" };
	for (size_t i = 0; i < G_N_ELEMENTS(good); i++)
		assert_true(smtp_is_domain(slice_of(good[i])));
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
		assert_false(smtp_is_domain(slice_of(bad[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(forgiven),
		cmocka_unit_test(parameters),
		cmocka_unit_test(domains),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
