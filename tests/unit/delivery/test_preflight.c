/* preflight: what becomes of a header before SES sees it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/delivery/preflight.h"
#include "gateway/error.h"
#include "mime/encoded_words.h"
#include "tests/unit/delivery/editing.h"
#include <gmime/gmime.h>
#include <string.h>

#define RECEIVED_S 1763683200 /* 2025-11-21 00:00:00 UTC */
#define DATE       "Date: Fri, 21 Nov 2025 00:00:00 +0000\r\n"
#define ID         "Message-ID: <01kah0@mail.example.com>\r\n"
#define OWN_ID     "Message-ID: <1@x>\r\n"
/* A header without fault, in two halves around what a case is about. */
#define FROM      "From: Alice <alice@example.com>\r\n"
#define REST      "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n" OWN_ID "\r\nbody\r\n"
#define VIA_ALICE "From: \"Alice Smith via example.com\" <gateway@example.com>\r\n"

static const char *const verified[] = { "example.com", "Boss@partner.org", NULL };
static const struct conf_sender rewriting = { .from = "gateway@example.com",
	.verified = verified };
static const struct conf_sender preserving = { .from = NULL, .verified = NULL };

static struct preflight preflight_default(void)
{
	return (struct preflight){ .sender = &rewriting,
		.hostname = "mail.example.com",
		.id = "01kah0",
		.reverse_path = "alice@other.org",
		.received_s = RECEIVED_S };
}

#define OWN_TRACE                                                                        \
	"Received: from a ([192.0.2.1])\r\n\tby mail.example.com (Stowage) with ESMTP "  \
	"id "                                                                            \
	"01kah0\r\n\tfor <b@c>;\r\n\tSat, 21 Nov 2026 03:55:37 +0000\r\n"

static const struct edit_case {
	const char *name, *in, *want;
} edits[] = {
	{ "a good header stays as it is", FROM REST, FROM REST },
	{ "fields without rule stay, in order",
		"X-B: 1\r\nX-A: 2\r\n\tfolded\r\nReceived: x\r\nReceived: x\r\n" FROM
			REST,
		"X-B: 1\r\nX-A: 2\r\n\tfolded\r\nReceived: x\r\nReceived: x\r\n" FROM
			REST },
	{ "the body is not looked at", FROM REST "X-SES-TENANT: no\r\nBcc: no\r\n",
		FROM REST "X-SES-TENANT: no\r\nBcc: no\r\n" },
	{ "X-SES-* goes, however it is written",
		"X-SES-CONFIGURATION-SET: evil\r\n" FROM
		"x-ses-message-tags : a=b,\r\n c=d\r\nX-SES-TENANT\t:\r\n" REST,
		FROM REST },
	{ "X-SES-* goes behind a bare LF", FROM "X-A: b\nX-SES-TENANT: a\r\n" REST,
		FROM "X-A: b\r\n" REST },
	{ "a bare CR hides nothing", FROM "X-A: b\rX-SES-TENANT: a\r\n" REST,
		FROM "X-A: b X-SES-TENANT: a\r\n" REST },
	{ "a line of blanks ends no header", "X-A: b\r\n \t \r\n\tc\r\n" FROM REST,
		"X-A: b\r\n\tc\r\n" FROM REST },
	{ "Bcc and Return-Path go",
		"Return-Path: <a@b>\r\nBcc: secret@b,\r\n other@b\r\n" FROM
		"BCC: x@y\r\n" REST,
		FROM REST },
	{ "doubles go, the first stays",
		FROM
		"Subject: one\r\nMIME-Version: 1.0\r\nsubject: two\r\nMime-Version: "
		"1.0\r\n"
		"Content-Type: text/plain\r\nContent-Type: text/html;\r\n charset=x\r\n"
		"From: Mallory <m@example.com>\r\n" REST,
		FROM "Subject: one\r\nMIME-Version: 1.0\r\n"
		     "Content-Type: text/plain\r\n" REST },
	{ "what SES alone takes once stays",
		FROM "Delivered-To: a\r\nDelivered-To: b\r\nList-Unsubscribe: <a>\r\n"
		     "List-Unsubscribe: <b>\r\n" REST,
		FROM "Delivered-To: a\r\nDelivered-To: b\r\nList-Unsubscribe: <a>\r\n"
		     "List-Unsubscribe: <b>\r\n" REST },
	{ "To and Cc are joined, equal ones dropped",
		"To: a@x,\r\n b@x\r\nCc: c@x\r\nTo: c@x\r\nCc: c@x\r\nTo:\r\n "
		"d@x,\r\n\te@x\r\n" FROM REST,
		"To: a@x,\r\n b@x,\r\n c@x,\r\n d@x,\r\n\te@x\r\nCc: c@x\r\n" FROM REST },
	{ "an empty To gives way to a full one", "To:\r\n" FROM "To: a@x\r\n" REST,
		FROM "To: a@x\r\n" REST },
	{ "DKIM-Signatures stay while nothing changes",
		"DKIM-Signature: v=1; b=a\r\nDKIM-Signature: v=1; b=b\r\n" FROM REST,
		"DKIM-Signature: v=1; b=a\r\nDKIM-Signature: v=1; b=b\r\n" FROM REST },
	{ "DKIM-Signature goes with the From",
		"DKIM-Signature: v=1;\r\n b=a\r\nDomainKey-Signature: b\r\nFrom: "
		"m@b.org\r\n" REST,
		"From: \"m via example.com\" <gateway@example.com>\r\nReply-To: "
		"m@b.org\r\n"
		"X-Original-From: m@b.org\r\n" REST },
	{ "Date, Message-ID and From are added below the trace",
		"Received: a\r\n b\r\nReceived: c\r\nSubject: s\r\n\r\nbody",
		"Received: a\r\n b\r\nReceived: c\r\n" DATE ID
		"From: \"alice via example.com\" <gateway@example.com>\r\nReply-To: "
		"alice@other.org\r\n"
		"Subject: s\r\n\r\nbody" },
	{ "empty ones are replaced",
		"Date: \r\nMessage-ID:\r\nFrom:\r\n \r\nSubject: s\r\n\r\n",
		DATE ID "From: \"alice via example.com\" "
			"<gateway@example.com>\r\nReply-To: alice@other.org\r\n"
			"Subject: s\r\n\r\n" },
	{ "what nobody sees is empty",
		"To: \x7f\r\nFrom: \x01\xe2\x80\xae\r\n" DATE ID "\r\n",
		"From: \"alice via example.com\" <gateway@example.com>\r\nReply-To: "
		"alice@other.org\r\n" DATE ID "\r\n" },
	{ "a message that begins with its body gets a header",
		"Temperature too high\r\nroom 3\r\n",
		DATE ID "From: \"alice via example.com\" "
			"<gateway@example.com>\r\nReply-To: alice@other.org\r\n"
			"\r\nTemperature too high\r\nroom 3\r\n" },
	{ "an empty header is no fault", "\r\nbody\r\n",
		DATE ID "From: \"alice via example.com\" "
			"<gateway@example.com>\r\nReply-To: alice@other.org\r\n"
			"\r\nbody\r\n" },
	{ "an empty message", "",
		DATE ID "From: \"alice via example.com\" "
			"<gateway@example.com>\r\nReply-To: alice@other.org\r\n"
			"\r\n" },
	{ "a body without empty line before it begins there",
		FROM "Date: x\r\n" OWN_ID "Hello\r\nTemp: 5\r\n",
		FROM "Date: x\r\n" OWN_ID "\r\nHello\r\nTemp: 5\r\n" },
	{ "junk inside the header is kept out of the way", FROM "Reply to: x\r\n" REST,
		FROM "X-Unparsed-Line:\r\n Reply to: x\r\n" REST },
	{ "a folded first line is not the trace field's",
		OWN_TRACE "\tby evil.test\r\n" FROM REST,
		OWN_TRACE "X-Unparsed-Line:\r\n by evil.test\r\n" FROM REST },
	{ "nor is a blank one", OWN_TRACE " \r\n" FROM REST, OWN_TRACE FROM REST },
	{ "nor is an indented text", OWN_TRACE "  Room 3\r\n  25 C\r\n",
		DATE ID "From: \"alice via example.com\" "
			"<gateway@example.com>\r\nReply-To: alice@other.org\r\n" OWN_TRACE
			"\r\n  Room 3\r\n  25 C\r\n" },
	{ "a trace field of others is folded as it is",
		"Received: from a by b id 2;\r\n\tdate\r\n\tmore\r\n" FROM REST,
		"Received: from a by b id 2;\r\n\tdate\r\n\tmore\r\n" FROM REST },
	{ "a postmark goes",
		"From alice@example.com Thu Jan  1 00:00:00 1970\r\n" FROM REST,
		FROM REST },
	{ "a header alone", FROM "Date: x\r\n" OWN_ID, FROM "Date: x\r\n" OWN_ID },
	{ "LF files stay LF files",
		"Subject: s\nDate: x\nMessage-ID: y\nFrom: b@c.org\n\nbody\n",
		"Subject: s\nDate: x\nMessage-ID: y\n"
		"From: \"b via example.com\" <gateway@example.com>\nReply-To: b@c.org\n"
		"X-Original-From: b@c.org\n\nbody\n" },
};

static void test_edits(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	for (size_t i = 0; i < G_N_ELEMENTS(edits); i++) {
		const struct edit_case *c = &edits[i];
		GError *error = NULL;
		g_autofree char *got = edited(&preflight, c->in, &error);
		if (g_strcmp0(got, c->want))
			print_error("case: %s\n", c->name);
		assert_null(error);
		assert_string_equal(got, c->want);
		/* What was made fit once is left alone. */
		g_autofree char *again = edited(&preflight, got, &error);
		assert_string_equal(again, got);
	}
}

static const struct from_case {
	const char *name, *in, *want;
} froms[] = {
	{ "verified domain", "alice@example.com", "From: alice@example.com\r\n" },
	{ "domain ignores case", "alice@EXAMPLE.com", "From: alice@EXAMPLE.com\r\n" },
	{ "subdomain of a verified one", "a@b.Example.com", "From: a@b.Example.com\r\n" },
	{ "a domain that only ends alike", "a@badexample.com",
		"From: \"a via example.com\" <gateway@example.com>\r\nReply-To: "
		"a@badexample.com\r\n"
		"X-Original-From: a@badexample.com\r\n" },
	{ "verified address", "Boss <Boss@Partner.org>",
		"From: Boss <Boss@Partner.org>\r\n" },
	{ "its local part has case", "boss@partner.org",
		"From: \"boss via example.com\" <gateway@example.com>\r\n"
		"Reply-To: boss@partner.org\r\nX-Original-From: boss@partner.org\r\n" },
	{ "not a subdomain of a verified address", "Boss@a.partner.org",
		"From: \"Boss via example.com\" <gateway@example.com>\r\n"
		"Reply-To: Boss@a.partner.org\r\nX-Original-From: "
		"Boss@a.partner.org\r\n" },
	{ "a name", "Alice Smith <alice@other.org>",
		VIA_ALICE "Reply-To: \"Alice Smith\" <alice@other.org>\r\n"
			  "X-Original-From: Alice Smith <alice@other.org>\r\n" },
	{ "folded", "Alice\r\n Smith\r\n\t<alice@other.org>",
		VIA_ALICE "Reply-To: \"Alice Smith\" <alice@other.org>\r\n"
			  "X-Original-From: Alice Smith <alice@other.org>\r\n" },
	{ "quotes in a name", "\"A \\\"B\\\" \\\\ C\" <a@o.org>",
		"From: \"A \\\"B\\\" \\\\ C via example.com\" <gateway@example.com>\r\n"
		"Reply-To: \"A \\\"B\\\" \\\\ C\" <a@o.org>\r\n"
		"X-Original-From: \"A \\\"B\\\" \\\\ C\" <a@o.org>\r\n" },
	{ "an encoded name", "=?iso-8859-1?q?J=FCrgen?= <j@o.org>",
		"From: =?UTF-8?B?SsO8cmdlbiB2aWEgZXhhbXBsZS5jb20=?= "
		"<gateway@example.com>\r\n"
		"Reply-To: =?UTF-8?B?SsO8cmdlbg==?= <j@o.org>\r\n"
		"X-Original-From: =?iso-8859-1?q?J=FCrgen?= <j@o.org>\r\n" },
	{ "a name in several words, each padded",
		"=?UTF-8?B?w7w=?= =?UTF-8?B?w7w=?=\r\n =?utf-8?b?w7w=?= <a@o.org>",
		"From: =?UTF-8?B?w7zDvMO8IHZpYSBleGFtcGxlLmNvbQ==?= "
		"<gateway@example.com>\r\n"
		"Reply-To: =?UTF-8?B?w7zDvMO8?= <a@o.org>\r\n"
		"X-Original-From: =?UTF-8?B?w7w=?= =?UTF-8?B?w7w=?= =?utf-8?b?w7w=?= "
		"<a@o.org>\r\n" },
	{ "raw UTF-8", "J\xc3\xbcrgen <j@b\xc3\xbc.de>",
		"From: =?UTF-8?B?SsO8cmdlbiB2aWEgZXhhbXBsZS5jb20=?= "
		"<gateway@example.com>\r\n"
		"Reply-To: =?UTF-8?B?SsO8cmdlbg==?= <j@xn--b-eha.de>\r\n"
		"X-Original-From: =?UTF-8?B?SsO8cmdlbiA8akBiw7wuZGU+?=\r\n" },
	{ "an address SES cannot have is not answered to", "J <j\xc3\xbc@b.de>",
		"From: \"J via example.com\" <gateway@example.com>\r\n"
		"X-Original-From: =?UTF-8?B?SiA8asO8QGIuZGU+?=\r\n" },
	{ "several authors", "A <a@o.org>, B <b@example.com>",
		"From: \"A et al. via example.com\" <gateway@example.com>\r\n"
		"Reply-To: \"A\" <a@o.org>, \"B\" <b@example.com>\r\n"
		"X-Original-From: A <a@o.org>, B <b@example.com>\r\n" },
	{ "a group", "Team: a@o.org, B <b@o.org>;",
		"From: \"a et al. via example.com\" <gateway@example.com>\r\n"
		"Reply-To: a@o.org, \"B\" <b@o.org>\r\n"
		"X-Original-From: Team: a@o.org, B <b@o.org>;\r\n" },
	{ "an empty group", "undisclosed:;",
		"From: <gateway@example.com>\r\nX-Original-From: undisclosed:;\r\n" },
	{ "a name alone", "UPS room 3",
		"From: \"UPS room 3 via example.com\" <gateway@example.com>\r\n"
		"X-Original-From: UPS room 3\r\n" },
	{ "a local part alone", "root (Cron Daemon)",
		"From: \"root via example.com\" <gateway@example.com>\r\n"
		"X-Original-From: root (Cron Daemon)\r\n" },
	{ "an address literal", "<printer@[10.0.0.5]>",
		"From: \"printer via example.com\" <gateway@example.com>\r\n"
		"Reply-To: printer@[10.0.0.5]\r\nX-Original-From: "
		"<printer@[10.0.0.5]>\r\n" },
	{ "dots where none may stand", "Taro <a..b.@o.org>",
		"From: \"Taro via example.com\" <gateway@example.com>\r\n"
		"Reply-To: \"Taro\" <\"a..b.\"@o.org>\r\n"
		"X-Original-From: Taro <a..b.@o.org>\r\n" },
	{ "such dots, and no name", ".a.@o.org",
		"From: \".a. via example.com\" <gateway@example.com>\r\n"
		"Reply-To: \".a.\"@o.org\r\nX-Original-From: .a.@o.org\r\n" },
	{ "an address without brackets behind a name", "UPS \"room 3\" ups@o.org",
		"From: \"UPS room 3 via example.com\" <gateway@example.com>\r\n"
		"Reply-To: \"UPS room 3\" <ups@o.org>\r\n"
		"X-Original-From: UPS \"room 3\" ups@o.org\r\n" },
	{ "in other brackets", "=?utf-8?q?=C3=BC?= [u@o.org]",
		"From: =?UTF-8?B?w7wgdmlhIGV4YW1wbGUuY29t?= <gateway@example.com>\r\n"
		"Reply-To: =?UTF-8?B?w7w=?= <u@o.org>\r\n"
		"X-Original-From: =?utf-8?q?=C3=BC?= [u@o.org]\r\n" },
	{ "a link", "<mailto:a@o.org>",
		"From: \"a via example.com\" <gateway@example.com>\r\n"
		"Reply-To: a@o.org\r\nX-Original-From: <mailto:a@o.org>\r\n" },
	{ "in single quotes", "'a@o.org'",
		"From: \"a via example.com\" <gateway@example.com>\r\n"
		"Reply-To: a@o.org\r\nX-Original-From: 'a@o.org'\r\n" },
	{ "in an encoded-word with its name", "=?utf-8?q?Al=C3=BC_=3Ca=40o=2Eorg=3E?=",
		"From: =?UTF-8?B?QWzDvCB2aWEgZXhhbXBsZS5jb20=?= <gateway@example.com>\r\n"
		"Reply-To: =?UTF-8?B?QWzDvA==?= <a@o.org>\r\n"
		"X-Original-From: =?utf-8?q?Al=C3=BC_=3Ca=40o=2Eorg=3E?=\r\n" },
	{ "a verified one in an encoded-word", "=?utf-8?q?boss=40example=2Ecom?=",
		"From: \"boss via example.com\" <gateway@example.com>\r\n"
		"Reply-To: boss@example.com\r\n"
		"X-Original-From: =?utf-8?q?boss=40example=2Ecom?=\r\n" },
	{ "a verified one in a field that cannot be read", "Boss boss@example.com",
		"From: \"Boss via example.com\" <gateway@example.com>\r\n"
		"Reply-To: \"Boss\" <boss@example.com>\r\n"
		"X-Original-From: Boss boss@example.com\r\n" },
	{ "two such", "A a@o.org B b@o.org",
		"From: <gateway@example.com>\r\n"
		"X-Original-From: A a@o.org B b@o.org\r\n" },
	{ "broken beyond reading", "<alice@>",
		"From: <gateway@example.com>\r\nX-Original-From: <alice@>\r\n" },
	{ "rewritten by another of us",
		"\"Alice Smith via example.com\" <gateway@sub.other.org>",
		VIA_ALICE
		"Reply-To: \"Alice Smith via example.com\" <gateway@sub.other.org>\r\n"
		"X-Original-From: \"Alice Smith via example.com\" "
		"<gateway@sub.other.org>\r\n" },
	{ "a line end smuggled in by an encoded-word",
		"\"=?utf-8?q?a=0D=0ABcc=3A_x=40y?=\" <a@o.org>",
		"From: \"a Bcc: x@y via example.com\" <gateway@example.com>\r\n"
		"Reply-To: \"a Bcc: x@y\" <a@o.org>\r\n"
		"X-Original-From: \"=?utf-8?q?a=0D=0ABcc=3A_x=40y?=\" <a@o.org>\r\n" },
	{ "raw Latin-1", "J\xfcrgen <j@o.org>",
		"From: =?UTF-8?B?SsO8cmdlbiB2aWEgZXhhbXBsZS5jb20=?= "
		"<gateway@example.com>\r\n"
		"Reply-To: =?UTF-8?B?SsO8cmdlbg==?= <j@o.org>\r\n"
		"X-Original-From: =?UTF-8?B?SsO8cmdlbiA8akBvLm9yZz4=?=\r\n" },
};

static void test_from(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	for (size_t i = 0; i < G_N_ELEMENTS(froms); i++) {
		const struct from_case *c = &froms[i];
		g_autofree char *in = g_strconcat(
			"Subject: s\r\nFrom: ", c->in, "\r\nTo: t@u\r\n" REST, NULL);
		g_autofree char *want =
			g_strconcat("Subject: s\r\n", c->want, "To: t@u\r\n" REST, NULL);
		g_autofree char *got = edited(&preflight, in, NULL);
		if (g_strcmp0(got, want))
			print_error("case: %s\n", c->name);
		assert_string_equal(got, want);
		g_autofree char *again = edited(&preflight, got, NULL);
		assert_string_equal(again, want);
	}
}

static void check(const struct preflight *preflight, const char *in, const char *want)
{
	g_autofree char *got = edited(preflight, in, NULL);
	assert_string_equal(got, want);
}

static void test_reply_to_and_sender(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	check(&preflight, "Reply-To: r@s\r\nFrom: A <a@o.org>\r\n" REST,
		"Reply-To: r@s\r\nFrom: \"A via example.com\" <gateway@example.com>\r\n"
		"X-Original-From: A <a@o.org>\r\n" REST);
	check(&preflight, "Reply-To: \r\nFrom: a@o.org\r\nX-Original-From: fake\r\n" REST,
		"From: \"a via example.com\" <gateway@example.com>\r\nReply-To: "
		"a@o.org\r\n"
		"X-Original-From: a@o.org\r\n" REST);
	check(&preflight, FROM "Sender: X <x@o.org>\r\n" REST,
		FROM "X-Original-Sender: X <x@o.org>\r\n" REST);
	check(&preflight, FROM "Sender: x@o.org\r\nX-Original-Sender: y@o.org\r\n" REST,
		FROM "X-Original-Sender: y@o.org\r\n" REST);
	/* Nobody could reply to it. */
	check(&preflight, "Reply-To: <>\r\nFrom: A <a@o.org>\r\n" REST,
		"X-Original-Reply-To: <>\r\nFrom: \"A via example.com\" "
		"<gateway@example.com>\r\nReply-To: \"A\" <a@o.org>\r\n"
		"X-Original-From: A <a@o.org>\r\n" REST);
	check(&preflight, FROM "Sender: x@example.com\r\n" REST,
		FROM "Sender: x@example.com\r\n" REST);
}

static void test_without_sender_from(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	preflight.sender = &preserving;
	check(&preflight, "From: a@o.org\r\nSender: b@o.org\r\n" REST,
		"From: a@o.org\r\nSender: b@o.org\r\n" REST);
	check(&preflight, "Subject: s\r\n\r\n",
		DATE ID "From: alice@other.org\r\nSubject: s\r\n\r\n");
	preflight.reverse_path = "";
	check(&preflight, "Subject: s\r\n\r\n",
		DATE ID "From: postmaster@mail.example.com\r\nSubject: s\r\n\r\n");
}

static void test_missing_from(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	preflight.reverse_path = "bob@example.com";
	check(&preflight, "Subject: s\r\n\r\n",
		DATE ID "From: bob@example.com\r\nSubject: s\r\n\r\n");
	const char *const unusable[] = { "", "x\r\nBcc: y@z", "no-at", "a b@c" };
	for (size_t i = 0; i < G_N_ELEMENTS(unusable); i++) {
		preflight.reverse_path = unusable[i];
		check(&preflight, "Subject: s\r\n\r\n",
			DATE ID "From: <gateway@example.com>\r\nSubject: s\r\n\r\n");
	}
}

static void test_configuration_set(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	preflight.route_ses = &(struct conf_ses){ .configuration_set = "gateway_1-a" };
	check(&preflight, FROM "X-SES-CONFIGURATION-SET: evil\r\n" REST,
		"X-SES-CONFIGURATION-SET: gateway_1-a\r\n" FROM REST);
	const char *const bad[] = { "", "a b", "a\r\nBcc: x@y", "a\xc3\xbc" };
	for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
		GError *error = NULL;
		preflight.route_ses = &(struct conf_ses){ .configuration_set = bad[i] };
		assert_null(edited(&preflight, FROM REST, &error));
		assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
		g_clear_error(&error);
	}
}

static void test_body_changed(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	preflight.body_changed = true;
	check(&preflight, "DKIM-Signature: v=1; b=a\r\n" FROM REST, FROM REST);
	/* mime/ took a line that is no field for part of the header: so must we. */
	check(&preflight, FROM "Date: x\r\n" OWN_ID "stray\r\nFoo: 1\r\n\r\nbody\r\n",
		FROM "Date: x\r\n" OWN_ID
		     "X-Unparsed-Line:\r\n stray\r\nFoo: 1\r\n\r\nbody\r\n");
}

/* What mime/ did to Content-* before stands, and does no harm. */
static void test_beside_other_edits(void **state)
{
	(void)state;
	static const char in[] = FROM "Content-Type: a/b\r\nContent-Type: c/d\r\n" REST;
	struct preflight preflight = preflight_default();
	preflight.body_changed = true;
	struct splice *splice = splice_new(sizeof(in) - 1);
	size_t second = (size_t)(strstr(in, "Content-Type: c/d") - in);
	assert_true(splice_replace(splice, second, 19, "Content-Type: e/f\r\n", 19));
	assert_true(preflight_edit(&preflight, in, sizeof(in) - 1, splice, NULL));
	splice_free(&splice);

	splice = splice_new(sizeof(in) - 1);
	assert_true(splice_replace(splice, 0, 4, "Form", 4));
	preflight.sender = &(struct conf_sender){ .from = "x@y.org" };
	GError *error = NULL;
	assert_false(preflight_edit(&preflight, in, sizeof(in) - 1, splice, &error));
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT));
	g_clear_error(&error);
	splice_free(&splice);
}

static void test_mime_version(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	check(&preflight, FROM REST, FROM REST);
	check(&preflight, FROM "Content-Type: text/plain\r\n" REST,
		"MIME-Version: 1.0\r\n" FROM "Content-Type: text/plain\r\n" REST);
	check(&preflight, FROM "Content-Transfer-Encoding: base64\r\n" REST,
		"MIME-Version: 1.0\r\n" FROM
		"Content-Transfer-Encoding: base64\r\n" REST);
	check(&preflight, FROM "Content-Type: a/b\r\nmime-version : 1.0 (x)\r\n" REST,
		FROM "Content-Type: a/b\r\nmime-version: 1.0 (x)\r\n" REST);
	preflight.is_8bit = true;
	check(&preflight, FROM REST, "MIME-Version: 1.0\r\n" FROM REST);
	check(&preflight, FROM "MIME-Version: 1.0\r\n" REST,
		FROM "MIME-Version: 1.0\r\n" REST);
	/* mime/ kept the field: it added nothing. */
	preflight.body_changed = true;
	check(&preflight, FROM "Content-Type: a/b\r\n" REST,
		"MIME-Version: 1.0\r\n" FROM "Content-Type: a/b\r\n" REST);
}

/* Mended here, it is still the client's, and mime/ has added nothing. */
static void test_mime_version_of_mended(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	preflight.body_changed = true;
	check(&preflight, FROM "Content-Type : a/b\r\n" REST,
		"MIME-Version: 1.0\r\n" FROM "Content-Type: a/b\r\n" REST);
}

/* Where mime/ put its own Content-Type in, it put MIME-Version with it. */
static void test_mime_version_of_others(void **state)
{
	(void)state;
	static const char in[] = FROM "Content-Type: a/b\r\n" REST;
	struct preflight preflight = preflight_default();
	preflight.body_changed = preflight.is_8bit = true;
	struct splice *splice = splice_new(sizeof(in) - 1);
	uint64_t type = (uint64_t)(strstr(in, "Content-Type") - in);
	assert_true(splice_replace(splice, type, 19, "both", 4));
	assert_true(preflight_edit(&preflight, in, sizeof(in) - 1, splice, NULL));
	assert_int_equal(splice_bytes(splice), sizeof(in) - 1 - 19 + 4);
	splice_free(&splice);
	check(&preflight, FROM REST, FROM REST);
}

static const struct {
	const char *in, *want;
} ascii_cases[] = {
	{ "Subject: Gr\xc3\xbc\xc3\x9f"
	  "e aus K\xc3\xb6ln\r\n",
		"Subject: =?UTF-8?b?R3LDvMOfZSBhdXMgS8O2bG4=?=\r\n" },
	{ "subject: K\xf6ln\r\n", "subject: =?UTF-8?b?S8O2bG4=?=\r\n" },
	{ "X-Device: t\xc3\xbcr\r\n\t=?utf-8?q?=C3=BC?= 1\r\n",
		"X-Device: =?UTF-8?b?dMO8ciDDvA==?= 1\r\n" },
	{ "To: J\xc3\xbcrgen <j@b\xc3\xbc"
	  "cher.example>, Bob <bob@example.org>\r\n",
		"To: =?UTF-8?B?SsO8cmdlbg==?= <j@xn--bcher-kva.example>, Bob "
		"<bob@example.org>\r\n" },
	{ "X-Device: \xc3\xbc =?UTF-8?B?w7w=?= =?UTF-8?B?w7w=?=\r\n",
		"X-Device: =?UTF-8?b?w7wgw7zDvA==?=\r\n" },
	{ "To: \xc3\xbc <a@b.c>, =?UTF-8?B?w7w=?= =?UTF-8?B?w7w=?= <d@e.f>\r\n",
		"To: =?UTF-8?B?w7w=?= <a@b.c>, =?UTF-8?B?w7zDvA==?= <d@e.f>\r\n" },
	/* No address in ASCII: a group that says who it was. */
	{ "Cc: \xc3\xbc@example.org, a@b.c\r\n",
		"Cc: =?UTF-8?B?w7xAZXhhbXBsZS5vcmc=?=:;, a@b.c\r\n" },
	{ "To: J <\xc3\xbc@x.org>\r\n", "To: =?UTF-8?B?SiA8w7xAeC5vcmc+?=:;\r\n" },
	{ "List-Id: \xc3\xbc <a.b>\r\n", "List-Id: =?UTF-8?b?w7w=?= <a.b>\r\n" },
	{ "Content-Disposition: inline; filename=\"\xc3\xbc.txt\"\r\n"
	  "MIME-Version: 1.0\r\n",
		"Content-Disposition: inline; filename*=iso-8859-1''%FC.txt\r\n"
		"MIME-Version: 1.0\r\n" },
	{ "Subject: plain\r\n folded\r\n", "Subject: plain\r\n folded\r\n" },
};

static void test_ascii_header(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	for (size_t i = 0; i < G_N_ELEMENTS(ascii_cases); i++) {
		const char *field = ascii_cases[i].in;
		g_autofree char *in = g_strconcat(field, FROM REST, NULL);
		g_autofree char *want = g_strconcat(ascii_cases[i].want, FROM REST, NULL);
		preflight.wants_ascii = true;
		check(&preflight, in, want);
		preflight.wants_ascii = false;
		check(&preflight, in, in);
	}
	preflight.wants_ascii = true;
	check(&preflight,
		"DKIM-Signature: v=1; b=a\r\n" FROM "Subject: \xc3\xbc\r\n" REST,
		FROM "Subject: =?UTF-8?b?w7w=?=\r\n" REST);
	check(&preflight, "DKIM-Signature: v=1; b=a\r\n" FROM REST,
		"DKIM-Signature: v=1; b=a\r\n" FROM REST);
	check(&preflight, "To: a@b.c\r\nTo: \xc3\xbc <d@e.f>\r\n" FROM REST,
		"To: a@b.c, =?UTF-8?B?w7w=?= <d@e.f>\r\n" FROM REST);
	/* What an encoded-word hides stays in its field. */
	check(&preflight, "Subject: \xc3\xbc=?utf-8?q?=0D=0ABcc:_x@y?=\r\n" FROM REST,
		"Subject: =?UTF-8?b?w7w=?= Bcc: x@y\r\n" FROM REST);
}

/* "Subject: a a" and such in the charsets of mail programs that write
 * their headers raw. */
static const struct {
	const char *in, *want;
} octet_cases[] = {
	{ "Subject: \x83\x65\x83\x58\x83\x67\r\n" /* the octet of \ and @ within */
	  "To: \x83\x5c\x83\x40 <a@b.c>, d@e.f\r\n"
	  "Content-Type: text/plain; charset=Shift_JIS\r\nMIME-Version: 1.0\r\n",
		"Subject: =?UTF-8?b?44OG44K544OI?=\r\n"
		"To: =?UTF-8?B?44K944Kh?= <a@b.c>, d@e.f\r\n" },
	{ "Subject: \xa5\xc6\xa5\xb9\xa5\xc8\r\n"
	  "Content-Type: text/plain; charset=\"euc-jp\"\r\nMIME-Version: 1.0\r\n",
		"Subject: =?UTF-8?b?44OG44K544OI?=\r\n" },
	{ "Subject: \xb2\xe2\xca\xd4\r\nContent-Type: text/html; charset=gb2312\r\n"
	  "MIME-Version: 1.0\r\n",
		"Subject: =?UTF-8?b?5rWL6K+V?=\r\n" },
	{ "Subject: \xd2\xe5\xf1\xf2\r\nContent-Type: TEXT/PLAIN;\r\n"
	  "\tcharset=windows-1251\r\nMIME-Version: 1.0\r\n",
		"Subject: =?UTF-8?b?0KLQtdGB0YI=?=\r\n" },
	/* What is UTF-8 stays that, and what cannot be in the charset is as it was. */
	{ "Subject: \xc3\xbc\r\nX-A: \xd2\r\nContent-Type: text/plain; "
	  "charset=windows-1251\r\nMIME-Version: 1.0\r\n",
		"Subject: =?UTF-8?b?w7w=?=\r\nX-A: =?UTF-8?b?0KI=?=\r\n" },
	{ "Subject: K\xf6ln\r\nContent-Type: text/plain; charset=Shift_JIS\r\n"
	  "MIME-Version: 1.0\r\n",
		"Subject: =?UTF-8?b?S8O2bG4=?=\r\n" },
	{ "Subject: K\xf6ln\r\nContent-Type: text/plain; charset=utf-16\r\n"
	  "MIME-Version: 1.0\r\n",
		"Subject: =?UTF-8?b?S8O2bG4=?=\r\n" },
};

static void test_octets(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	preflight.wants_ascii = true;
	for (size_t i = 0; i < G_N_ELEMENTS(octet_cases); i++) {
		const char *type = strstr(octet_cases[i].in, "Content-Type");
		g_autofree char *in = g_strconcat(octet_cases[i].in, FROM REST, NULL);
		g_autofree char *want =
			g_strconcat(octet_cases[i].want, type, FROM REST, NULL);
		check(&preflight, in, want);
	}
	/* Of a multipart the first text tells, though not where it is far away. */
	static const char head[] = FROM "Subject: \xd2\xe5\xf1\xf2\r\nDate: 1\r\n" OWN_ID
					"MIME-Version: 1.0\r\nContent-Type: "
					"multipart/mixed; boundary=b\r\n\r\n";
	static const char part[] = "--b\r\nContent-Type: image/png\r\n\r\n--b\r\n"
				   "Content-Type: text/plain; charset=windows-1251\r\n";
	g_autofree char *in = g_strconcat(head, part, NULL);
	g_autofree char *got = edited(&preflight, in, NULL);
	assert_non_null(strstr(got, "Subject: =?UTF-8?b?0KLQtdGB0YI=?=\r\n"));
	/* An author who is named anew. */
	check(&preflight,
		"From: \xd2\xe5\xf1\xf2 <a@other.org>\r\nContent-Type: text/plain; "
		"charset=windows-1251\r\nMIME-Version: 1.0\r\n" REST,
		"From: =?UTF-8?B?0KLQtdGB0YIgdmlhIGV4YW1wbGUuY29t?= "
		"<gateway@example.com>\r\nReply-To: =?UTF-8?B?0KLQtdGB0YI=?= "
		"<a@other.org>\r\nX-Original-From: "
		"=?UTF-8?B?0KLQtdGB0YIgPGFAb3RoZXIub3JnPg==?=\r\n"
		"Content-Type: text/plain; charset=windows-1251\r\nMIME-Version: "
		"1.0\r\n" REST);
}

static size_t longest_line(const char *text)
{
	size_t longest = 0;
	for (size_t bytes; *text; text += bytes + (text[bytes] ? 1 : 0)) {
		bytes = strcspn(text, "\n");
		longest = MAX(longest, bytes - (bytes && text[bytes - 1] == '\r'));
	}
	return longest;
}

static char *repeated(const char *text, size_t times)
{
	GString *all = g_string_new(NULL);
	while (times--)
		g_string_append(all, text);
	return g_string_free(all, FALSE);
}

static void test_long_lines(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	g_autofree char *ids = repeated(" <0123456789@example.com>", 100);
	g_autofree char *in = g_strconcat("References:", ids, "\r\n" FROM REST, NULL);
	g_autofree char *got = edited(&preflight, in, NULL);
	assert_true(longest_line(got) <= 998);
	assert_non_null(strstr(got, "\r\n <0123456789@example.com>"));
	assert_int_equal(strlen(got) - strlen(in), 4); /* two folds, nothing else */

	g_autofree char *names = repeated("\xc3\xbc\xe4\xb8\xad Very-Long-Name ", 400);
	g_autofree char *from = g_strconcat("From: ", names, "<a@o.org>\r\n" REST, NULL);
	g_autofree char *short_from = edited(&preflight, from, NULL);
	assert_true(longest_line(short_from) <= 78);

	g_autofree char *blob = repeated("a", 5000);
	g_autofree char *solid = g_strconcat("From: ", blob, "@o.org\r\n" REST, NULL);
	g_autofree char *cut = edited(&preflight, solid, NULL);
	assert_true(longest_line(cut) <= 998);
}

/* Longer ones are none to RFC 2047, section 2. */
static void check_words(const char *text)
{
	for (const char *word = text; (word = strstr(word, "=?")); word++)
		assert_true(strcspn(word, " \r\n") <= 75);
}

/* A text without blanks, as languages without them have it. */
static void test_long_words(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	preflight.wants_ascii = true;
	g_autofree char *text = repeated("\xe6\xbc\xa2", 100);
	g_autofree char *in =
		g_strconcat("Subject: a ", text, "\r\n" FROM "X-A: 1\r\n" REST, NULL);
	g_autofree char *got = edited(&preflight, in, NULL);
	check_words(got);
	char *end = strstr(got, "\r\nFrom: ");
	assert_non_null(end);
	*end = '\0';
	g_autoptr(GString) words = g_string_new(got);
	g_string_replace(words, "\r\n", "", 0);
	encoded_words_join(words);
	g_autofree char *decoded = g_mime_utils_header_decode_text(NULL, words->str);
	g_autofree char *want = g_strconcat("Subject: a ", text, NULL);
	assert_string_equal(decoded, want);
}

/* What one gateway has made of a long name is known again by the next. */
static void test_long_names(void **state)
{
	(void)state;
	static const struct conf_sender other = { .from = "gw@two.test" };
	static const char *const names[] = { "n", "name ", "\xc3\xbc", "\xe6\xbc\xa2",
		"\xc3\xbc " };
	static const size_t times[] = { 9, 15, 16, 40, 41, 60, 119, 120, 121, 300 };
	for (size_t i = 0; i < G_N_ELEMENTS(names) * G_N_ELEMENTS(times); i++) {
		struct preflight preflight = preflight_default();
		g_autofree char *name = repeated(
			names[i / G_N_ELEMENTS(times)], times[i % G_N_ELEMENTS(times)]);
		g_autofree char *in = g_strconcat(
			"From: \"", g_strstrip(name), "\" <a@o.org>\r\n" REST, NULL);
		g_autofree char *first = edited(&preflight, in, NULL);
		preflight.sender = &other;
		g_autofree char *second = edited(&preflight, first, NULL);
		g_autofree char *direct = edited(&preflight, in, NULL);
		check_words(first);
		assert_non_null(strstr(direct, "<gw@two.test>"));
		const char *from = strstr(direct, "From: "),
			   *rest = strstr(from, "Reply-To");
		g_autofree char *want = g_strndup(from, (size_t)(rest - from));
		assert_non_null(strstr(second, want));
		assert_null(strstr(second, "<gateway@example.com>"));
	}
}

/* An address list too long to be read is not trusted, and costs no memory to speak of. */
static void test_endless_from(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	g_autofree char *many = repeated("a@example.com, ", 40);
	g_autofree char *in = g_strconcat("From: ", many, "a@example.com\r\n" REST, NULL);
	g_autofree char *got = edited(&preflight, in, NULL);
	assert_non_null(
		strstr(got, "From: \"a et al. via example.com\" <gateway@example.com>"));
	g_autofree char *huge = repeated("a@example.com, ", 20000);
	g_autofree char *in_huge = g_strconcat("From: ", huge, "a@b.c\r\n" REST, NULL);
	g_autofree char *got_huge = edited(&preflight, in_huge, NULL);
	assert_true(g_str_has_prefix(
		got_huge, "From: <gateway@example.com>\r\nX-Original-From:"));
}

static void test_nul(void **state)
{
	(void)state;
	static const char in[] = FROM "X-A: a\0X-SES-TENANT: b\r\n" REST;
	struct preflight preflight = preflight_default();
	g_autofree char *got = edited_octets(&preflight, in, sizeof(in) - 1, NULL);
	assert_string_equal(got, FROM "X-A: a X-SES-TENANT: b\r\n" REST);
	/* Nor does it hide an author. */
	static const char two[] = "From: a@example.com\0, m@o.org\r\n" REST;
	g_autofree char *replaced = edited_octets(&preflight, two, sizeof(two) - 1, NULL);
	assert_string_equal(replaced,
		"From: \"a et al. via example.com\" <gateway@example.com>\r\n"
		"Reply-To: a@example.com, m@o.org\r\n"
		"X-Original-From: a@example.com , m@o.org\r\n" REST);
}

static void test_reverse_path(void **state)
{
	(void)state;
	static const struct {
		struct conf_sender sender;
		bool preserve_sender, is_ses;
		const char *path, *want;
	} cases[] = {
		{ { .from = "f@x", .envelope = "e@x" }, false, false, "c@y", "e@x" },
		{ { .from = "f@x" }, false, false, "c@y", "f@x" },
		{ { .from = "f@x" }, false, true, "", "f@x" },
		{ { .envelope = "e@x" }, false, false, "", "e@x" },
		{ { 0 }, false, false, "c@y", "c@y" },
		{ { 0 }, false, true, "", "" },
		{ { .envelope = "e@x", .envelope_has_id = true }, false, true, "c@y",
			"e+01kah0@x" },
		{ { .from = "f@x", .envelope_has_id = true }, false, true, "c@y",
			"f+01kah0@x" },
		{ { .envelope = "\"a b\"@x", .envelope_has_id = true }, false, true,
			"c@y", "\"a b+01kah0\"@x" },
		/* What comes back for a report is known for that. */
		{ { .envelope = "\"a b\"@x", .envelope_has_id = true }, false, true, "",
			"\"a b+01kah0-r\"@x" },
		{ { .from = "f@x", .envelope_has_id = true }, true, true, NULL,
			"f+01kah0-r@x" },
		{ { .envelope_has_id = true }, false, true, "c@y", "c@y" },
		{ { .from = "f@x", .envelope = "e@x" }, true, false, "c@y", "c@y" },
		{ { .from = "f@x", .envelope = "e@x" }, true, false, "", "" },
		{ { .from = "f@x", .envelope = "e@x" }, true, true, "c@y", "c@y" },
		/* SES refuses the null one, whoever wants it. */
		{ { .from = "f@x", .envelope = "e@x" }, true, true, "", "e@x" },
		{ { .from = "f@x" }, false, true, NULL, "f@x" },
		{ { 0 }, true, false, NULL, "" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct preflight preflight = preflight_default();
		preflight.sender = &cases[i].sender;
		preflight.preserve_sender = cases[i].preserve_sender;
		preflight.is_ses = cases[i].is_ses;
		preflight.reverse_path = cases[i].path;
		g_autofree char *got = preflight_reverse_path(&preflight);
		assert_string_equal(got, cases[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edits),
		cmocka_unit_test(test_from),
		cmocka_unit_test(test_reply_to_and_sender),
		cmocka_unit_test(test_without_sender_from),
		cmocka_unit_test(test_missing_from),
		cmocka_unit_test(test_configuration_set),
		cmocka_unit_test(test_body_changed),
		cmocka_unit_test(test_beside_other_edits),
		cmocka_unit_test(test_mime_version),
		cmocka_unit_test(test_mime_version_of_mended),
		cmocka_unit_test(test_mime_version_of_others),
		cmocka_unit_test(test_ascii_header),
		cmocka_unit_test(test_octets),
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_long_words),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_endless_from),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_reverse_path),
	};
	g_mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
