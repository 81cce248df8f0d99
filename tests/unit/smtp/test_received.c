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
		{ "client.example", "192.0.2.1", "mx.example", "01j", false, NULL, NULL,
			false, NULL, 0 },
		"Received: from client.example ([192.0.2.1])\r\n"
		"\tby mx.example (Stowage) with SMTP id 01j;\r\n"
		"\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
	{ "all there is",
		{ "[IPv6:2001:db8::1]", "2001:db8::1", "mx.example", "01j", true,
			"TLSv1.3", "TLS_AES_256_GCM_SHA384", true, "\"a b\"@c.example",
			1767225599 },
		"Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n"
		"\tby mx.example (Stowage) with ESMTPSA id 01j\r\n"
		"\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
		"\tfor <\"a b\"@c.example>;\r\n"
		"\tWed, 31 Dec 2025 23:59:59 +0000\r\n" },
	{ "escaped",
		{ "a\r\nX-Evil: 1 (\\)<\"é", "192.0.2.1", "mx.example", "01j", true, NULL,
			NULL, true, NULL, 0 },
		"Received: from a??X-Evil:?1???????? ([192.0.2.1])\r\n"
		"\tby mx.example (Stowage) with ESMTPA id 01j;\r\n"
		"\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
	{ "nothing said",
		{ NULL, "192.0.2.1", "mx.example", "01j", true, "TLSv1.2", "X", false,
			NULL, 0 },
		"Received: from unknown ([192.0.2.1])\r\n"
		"\tby mx.example (Stowage) with ESMTPS id 01j\r\n"
		"\t(TLSv1.2 X);\r\n"
		"\tThu, 1 Jan 1970 00:00:00 +0000\r\n" },
};

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
} traces[] = {
	{ "Subject: x\r\n\r\nReceived: no\r\n", 0, 0 },
	{ "Received: a\r\nreceived: b\r\nRECEIVED:c\r\n\r\n", 3, 0 },
	{ "Received: a\r\n\tReceived: folded\r\nX-Received: no\r\n\r\n", 1, 0 },
	{ "Received: from a\r\n\tby mx.example (Stowage) with X\r\n\r\n", 1, 1 },
	{ "Received: from a by mx.example (Postfix)\r\n\r\n", 1, 0 },
	{ "Received: from a by mx.example.net (Stowage)\r\n\r\n", 1, 0 },
	{ "Subject: by mx.example (Stowage)\r\n\r\n", 0, 0 },
	{ "\r\nReceived: body\r\n", 0, 0 },
	{ "", 0, 0 },
};

static void counted_at_every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(traces); i++) {
		size_t length = strlen(traces[i].in);
		for (size_t piece = length; piece > 0; piece--) {
			struct smtp_trace trace;
			smtp_trace_init(&trace, "mx.example");
			for (size_t at = 0; at < length; at += piece)
				smtp_trace_feed(&trace, traces[i].in + at,
					MIN(piece, length - at));
			assert_int_equal(trace.received, traces[i].received);
			assert_int_equal(trace.own, traces[i].own);
		}
	}
}

static bool is_loop(const char *field, unsigned times)
{
	struct smtp_trace trace;
	smtp_trace_init(&trace, "mx.example");
	for (unsigned i = 0; i < times; i++)
		smtp_trace_feed(&trace, field, strlen(field));
	smtp_trace_feed(&trace, "\r\n", 2);
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
		cmocka_unit_test(counted_at_every_cut),
		cmocka_unit_test(loops),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
