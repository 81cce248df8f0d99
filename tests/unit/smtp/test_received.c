/* The Received field: its form, what a client cannot put into it, and
 * the count of others'. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/smtp/received.h"
#include <string.h>

static const struct received_case {
	const char *name;
	struct smtp_received in;
	const char *want;
} cases[] = {
	{ "plain",
		{ .helo = "client.example",
			.client = "192.0.2.1",
			.hostname = "mx.example",
			.id = "01j" },
		"Received: from client.example ([192.0.2.1])\r\n"
		"\tby mx.example (Stowage) with SMTP id 01j;\r\n"
		"\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
	{ "all there is",
		{ .helo = "[IPv6:2001:db8::1]",
			.client = "2001:db8::1",
			.client_name = "client.example",
			.hostname = "mx.example",
			.id = "01j",
			.esmtp = true,
			.tls_version = "TLSv1.3",
			.tls_cipher = "TLS_AES_256_GCM_SHA384",
			.authenticated = true,
			.recipient = "\"a b\"@c.example",
			.time_s = 1767225599 },
		"Received: from [IPv6:2001:db8::1] (client.example "
		"[IPv6:2001:db8::1])\r\n"
		"\tby mx.example (Stowage) with ESMTPSA id 01j\r\n"
		"\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
		"\tfor <\"a b\"@c.example>;\r\n"
		"\tWed, 31 Dec 2025 23:59:59 +0000\r\n" },
	{ "escaped",
		{ .helo = "a\r\nX-Evil: 1 (\\)<\"é",
			.client = "192.0.2.1",
			.client_name = "a(b)\r\nX: y",
			.hostname = "mx.example",
			.id = "01j",
			.esmtp = true,
			.authenticated = true },
		"Received: from a??X-Evil:?1???????? (a?b???X:?y [192.0.2.1])\r\n"
		"\tby mx.example (Stowage) with ESMTPA id 01j;\r\n"
		"\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
	{ "nothing said",
		{ .client = "192.0.2.1",
			.client_name = "",
			.hostname = "mx.example",
			.id = "01j",
			.esmtp = true,
			.tls_version = "TLSv1.2",
			.tls_cipher = "X" },
		"Received: from unknown ([192.0.2.1])\r\n"
		"\tby mx.example (Stowage) with ESMTPS id 01j\r\n"
		"\t(TLSv1.2 X);\r\n"
		"\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
	{ "beyond ASCII",
		{ .helo = "a",
			.client = "192.0.2.1",
			.hostname = "mx.example",
			.id = "01j",
			.esmtp = true,
			.utf8 = true,
			.recipient = "jörg@b" },
		"Received: from a ([192.0.2.1])\r\n"
		"\tby mx.example (Stowage) with UTF8SMTP id 01j;\r\n"
		"\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
};

/* RFC 3848, and RFC 6531's additions to its registry. */
static const struct protocol_case {
	bool esmtp, utf8, tls, authenticated;
	const char *want;
} protocols[] = {
	{ false, false, false, false, "SMTP" },
	{ true, false, false, false, "ESMTP" },
	{ true, false, true, false, "ESMTPS" },
	{ true, false, false, true, "ESMTPA" },
	{ true, false, true, true, "ESMTPSA" },
	{ false, false, false, true, "ESMTPA" },
	{ true, true, false, false, "UTF8SMTP" },
	{ true, true, true, false, "UTF8SMTPS" },
	{ true, true, false, true, "UTF8SMTPA" },
	{ true, true, true, true, "UTF8SMTPSA" },
};

static void named(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(protocols); i++) {
		const struct protocol_case *c = &protocols[i];
		struct smtp_received in = { .client = "192.0.2.1",
			.hostname = "h",
			.id = "i",
			.esmtp = c->esmtp,
			.utf8 = c->utf8,
			.tls_version = c->tls ? "T" : NULL,
			.tls_cipher = "C",
			.authenticated = c->authenticated };
		g_autoptr(GString) got = smtp_received_print(&in);
		g_autofree char *want = g_strdup_printf(" with %s id i", c->want);
		assert_non_null(strstr(got->str, want));
	}
}

static void printed(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GString) got = smtp_received_print(&cases[i].in);
		assert_string_equal(got->str, cases[i].want);
	}
}

static void long_helo_is_bounded(void **state)
{
	(void)state;
	g_autofree char *helo = g_strnfill(5000, 'x');
	struct smtp_received in = {
		.helo = helo, .client = "192.0.2.1", .hostname = "h", .id = "i"
	};
	g_autoptr(GString) got = smtp_received_print(&in);
	assert_true(strcspn(got->str, "\r") <= 300);
}

static const struct trace_case {
	const char *in;
	unsigned received, own;
	const char *from;
} traces[] = {
	{ "Subject: x\r\n\r\nReceived: no\r\n", 0, 0, "" },
	{ "Received: a\r\nreceived: b\r\nRECEIVED:c\r\n\r\n", 3, 0, "" },
	{ "Received: a\r\n\tReceived: folded\r\nX-Received: no\r\n\r\n", 1, 0, "" },
	{ "Received : a\r\nReceived-SPF: no\r\n\r\n", 1, 0, "" },
	{ "Received: from a\r\n\tby mx.example (Stowage) with X\r\n\r\n", 1, 1, "" },
	{ "Received:by mx.example (Stowage) with X\r\n\r\n", 1, 1, "" },
	{ "Received: from a by mx.example (Postfix)\r\n\r\n", 1, 0, "" },
	{ "Received: from a by mx.example.net (Stowage)\r\n\r\n", 1, 0, "" },
	{ "Subject: by mx.example (Stowage)\r\n\r\n", 0, 0, "" },
	{ "\r\nReceived: body\r\nFrom: body\r\n", 0, 0, "" },
	{ "Received: no end", 1, 0, "" },
	{ "", 0, 0, "" },
	{ "From: A <a@b>\r\n\r\nFrom: c\r\n", 0, 0, "A <a@b>" },
	{ "from:a@b", 0, 0, "a@b" },
	{ "FROM \t:  a@b \r\n\r\n", 0, 0, "a@b" },
	{ "From: A\r\n B\r\n\t<a@b>\r\nTo: c\r\n\r\n", 0, 0, "A B\t<a@b>" },
	{ "From:\r\n a@b\r\n\r\n", 0, 0, "a@b" },
	{ "From\r\n : a@b\r\n\r\n", 0, 0, "a@b" },
	{ "From\r\nX: a@b\r\n\r\n", 0, 0, "" },
	{ "From: a@b\r\nFrom: c@d\r\n\r\n", 0, 0, "a@b, c@d" },
	{ "From: a@b\r\nX: y\r\nfrom : c@d\r\n", 0, 0, "a@b, c@d" },
	{ "From:\r\nFrom: c@d\r\n", 0, 0, ", c@d" },
	{ "From: a\x01"
	  "b\r\n",
		0, 0, "a?b" },
	{ "From: j\xc3\xb6@b\r\n", 0, 0, "j\xc3\xb6@b" },
	{ "From a@b Mon Jan 1\r\nFromage: x\r\nX-From: a@b\r\n\r\n", 0, 0, "" },
};

static void check_trace(const struct trace_case *c, size_t piece)
{
	size_t length = strlen(c->in);
	struct smtp_trace trace;
	smtp_trace_init(&trace, "mx.example");
	for (size_t at = 0; at < length; at += piece)
		smtp_trace_feed(&trace, c->in + at, MIN(piece, length - at));
	smtp_trace_end(&trace);
	assert_int_equal(trace.received, c->received);
	assert_int_equal(trace.own, c->own);
	assert_string_equal(smtp_trace_from(&trace), c->from);
	smtp_trace_clear(&trace);
}

static void watched_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(traces); i++) {
		check_trace(&traces[i], MAX(1, strlen(traces[i].in)));
		for (size_t piece = strlen(traces[i].in); piece > 0; piece--)
			check_trace(&traces[i], piece);
	}
}

/* One field of n_bytes, or many that come to as much. */
static const char *feed_from(struct smtp_trace *trace, size_t n_bytes, size_t n_fields)
{
	g_autofree char *address = g_strnfill(n_bytes / n_fields, 'x');
	g_autofree char *field = g_strdup_printf("From: %s\r\n", address);
	smtp_trace_init(trace, "mx.example");
	for (size_t i = 0; i < n_fields; i++)
		smtp_trace_feed(trace, field, strlen(field));
	smtp_trace_end(trace);
	return smtp_trace_from(trace);
}

static void from_is_bounded(void **state)
{
	(void)state;
	struct smtp_trace trace;
	assert_int_equal(strlen(feed_from(&trace, 8000, 1)), 8000);
	smtp_trace_clear(&trace);
	assert_null(feed_from(&trace, 8192, 1));
	smtp_trace_clear(&trace);
	assert_null(feed_from(&trace, 1000000, 1));
	smtp_trace_clear(&trace);
	assert_null(feed_from(&trace, 9000, 90));
	smtp_trace_clear(&trace);
	assert_null(feed_from(&trace, 0, 1000000));
	assert_true(trace.from->len <= TRACE_FIELD_BYTES_MAX);
	smtp_trace_clear(&trace);
}

/* A colon far away is not missed. */
static void blanks_before_the_colon(void **state)
{
	(void)state;
	g_autofree char *blanks = g_strnfill(9000, ' ');
	g_autofree char *field = g_strdup_printf("From%s: a@b\r\n", blanks);
	struct smtp_trace trace;
	smtp_trace_init(&trace, "mx.example");
	smtp_trace_feed(&trace, field, strlen(field));
	smtp_trace_end(&trace);
	assert_null(smtp_trace_from(&trace));
	smtp_trace_clear(&trace);
}

/* A NUL must not hide what follows it. */
static void nul_in_from(void **state)
{
	(void)state;
	struct smtp_trace trace;
	smtp_trace_init(&trace, "mx.example");
	smtp_trace_feed(&trace, "From: a@b\0,c@d\r\n", 17);
	smtp_trace_end(&trace);
	assert_string_equal(smtp_trace_from(&trace), "a@b?,c@d");
	smtp_trace_clear(&trace);
}

static bool is_loop(const char *field, unsigned times)
{
	struct smtp_trace trace;
	smtp_trace_init(&trace, "mx.example");
	for (unsigned i = 0; i < times; i++)
		smtp_trace_feed(&trace, field, strlen(field));
	smtp_trace_feed(&trace, "\r\n", 2);
	smtp_trace_end(&trace);
	return smtp_trace_is_loop(&trace);
}

static void loops(void **state)
{
	(void)state;
	assert_false(is_loop("Received: x\r\n", 50));
	assert_true(is_loop("Received: x\r\n", 51));
	assert_false(is_loop("Received: x by mx.example (Stowage)\r\n", 5));
	assert_true(is_loop("Received: x by mx.example (Stowage)\r\n", 6));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(printed),
		cmocka_unit_test(long_helo_is_bounded),
		cmocka_unit_test(named),
		cmocka_unit_test(watched_at_every_cut),
		cmocka_unit_test(from_is_bounded),
		cmocka_unit_test(nul_in_from),
		cmocka_unit_test(blanks_before_the_colon),
		cmocka_unit_test(loops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
