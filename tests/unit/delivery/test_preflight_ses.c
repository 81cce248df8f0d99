/* preflight for SES: what it is told, what it would refuse, and whose
 * name mail goes in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/delivery/preflight.h"
#include "gateway/error.h"
#include "tests/unit/delivery/editing.h"
#include <gmime/gmime.h>
#include <string.h>

#define TAG   "X-SES-MESSAGE-TAGS: stowage-id=01kah0\r\n"
#define FROM  "From: Alice <alice@example.com>\r\n"
#define BARE  "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: x\r\n\r\nbody\r\n"
#define DATED "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\n"

static const char *const verified[] = { "example.com", NULL };
static const struct conf_sender rewriting = { .from = "gateway@example.com",
	.verified = verified,
	.display_name = "{name} via {gateway}" };

static struct preflight preflight_default(void)
{
	return (struct preflight){ .sender = &rewriting,
		.is_ses = true,
		.hostname = "mail.example.com",
		.id = "01kah0",
		.reverse_path = "alice@other.org",
		.received_s = 1763683200 };
}

static void check(const struct preflight *preflight, const char *in, const char *want)
{
	g_autofree char *got = edited(preflight, in, NULL);
	assert_string_equal(got, want);
	g_autofree char *again = edited(preflight, got, NULL);
	assert_string_equal(again, want);
}

static void test_doubles(void **state)
{
	(void)state;
	static const char *const once[] = { "Accept-Language", "acceptLanguage",
		"Archived-At", "Auto-Submitted", "Bounces-to", "Comments",
		"Content-Alternative", "Content-Base", "Content-Class",
		"Content-Description", "Content-Disposition", "Content-Duration",
		"Content-ID", "Content-Language", "Content-Length", "Content-Location",
		"Content-MD5", "Content-Transfer-Encoding", "Content-Type", "Date",
		"Delivered-To", "Disposition-Notification-Options",
		"Disposition-Notification-To", "Errors-To", "Importance", "In-Reply-To",
		"Keywords", "List-Archive", "List-Help", "List-Id", "List-Owner",
		"List-Post", "List-Subscribe", "List-Unsubscribe",
		"List-Unsubscribe-Post", "Message-Context", "Message-ID", "MIME-Version",
		"Organization", "Original-From", "Original-Message-ID",
		"Original-Recipient", "Original-Subject", "Precedence", "Priority",
		"References", "Return-Receipt-To", "Sensitivity", "Solicitation",
		"Subject", "Thread-Index", "Thread-Topic", "User-Agent", "VBR-Info" };
	struct preflight preflight = preflight_default();
	for (size_t i = 0; i < G_N_ELEMENTS(once); i++) {
		g_autofree char *in = g_strdup_printf(
			"MIME-Version: 1.0\r\n%s: a\r\n%s: b\r\n" FROM BARE, once[i],
			once[i]);
		g_autofree char *got = edited(&preflight, in, NULL);
		g_autofree char *line = g_strdup_printf("\n%s:", once[i]);
		const char *first = strcmp(once[i], "MIME-Version")
					    ? strstr(got, line)
					    : strstr(got, "MIME-Version");
		assert_non_null(first);
		if (strstr(first + 1, line))
			fail_msg("%s twice", once[i]);
	}
	check(&preflight, "DKIM-Signature: a\r\nDomainKey-Signature: b\r\n" FROM BARE,
		TAG FROM BARE);
}

static void test_told(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	static const char *const relay_tags[] = { "team=it", "site=one", NULL };
	static const char *const route_tags[] = { "ses:feedback-id-a=x", "site=two",
		NULL };
	static const char *const listener_tags[] = { "site=three", "door=mx", NULL };
	static const char *const account_tags[] = { "site=four", "site=five",
		"stowage-id=forged", NULL };
	static const struct conf_ses relay = { .configuration_set = "all",
		.tags = relay_tags,
		.source_arn = "arn:aws:ses:eu-west-1:123456789012:identity/example.com",
		.from_arn = "arn:aws:ses:eu-west-1:123456789012:identity/example.com" };
	static const struct conf_ses route = { .configuration_set = "alarms",
		.tags = route_tags,
		.from_arn = "arn:aws:ses:eu-west-1:123456789012:identity/a@b.c",
		.return_path_arn = "arn:aws-cn:ses:eu-west-1:123456789012:identity/x" };
	preflight.relay_ses = &relay;
	preflight.route_ses = &route;
	preflight.listener_tags = listener_tags;
	preflight.account_tags = account_tags;
	static const char arns[] =
		"X-SES-SOURCE-ARN: "
		"arn:aws:ses:eu-west-1:123456789012:identity/example.com\r\n"
		"X-SES-FROM-ARN: arn:aws:ses:eu-west-1:123456789012:identity/a@b.c\r\n"
		"X-SES-RETURN-PATH-ARN: "
		"arn:aws-cn:ses:eu-west-1:123456789012:identity/x\r\n";
	g_autofree char *want = g_strconcat("X-SES-CONFIGURATION-SET: alarms\r\n", arns,
		"X-SES-MESSAGE-TAGS: stowage-id=01kah0, site=four, door=mx, "
		"ses:feedback-id-a=x, team=it\r\n" FROM BARE,
		NULL);
	check(&preflight,
		"X-SES-FROM-ARN: evil\r\nX-SES-MESSAGE-TAGS: stowage-id=2\r\n" FROM BARE,
		want);

	/* Another MTA in front of SES is told too; its message is
	 * nobody's but its own. */
	preflight.is_ses = false;
	g_autofree char *other = g_strconcat("X-SES-CONFIGURATION-SET: alarms\r\n", arns,
		"X-SES-MESSAGE-TAGS: site=four, stowage-id=forged, door=mx, "
		"ses:feedback-id-a=x, team=it\r\n" FROM BARE,
		NULL);
	check(&preflight, FROM BARE, other);
	/* Any other MTA is told nothing. */
	preflight.relay_ses = preflight.route_ses = NULL;
	check(&preflight, "X-SES-TENANT: x\r\n" FROM BARE, FROM BARE);
}

static void test_many_tags(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	const char *tags[61] = { NULL };
	for (size_t i = 0; i < 60; i++)
		tags[i] = g_strdup_printf("tag-number-%zu=%0200d", i, 1);
	preflight.account_tags = tags;
	g_autofree char *got = edited(&preflight, FROM BARE, NULL);
	for (char *line = strtok(got, "\r\n"); line; line = strtok(NULL, "\r\n"))
		assert_true(strlen(line) <= 998);
	for (size_t i = 0; i < 60; i++)
		g_free((char *)tags[i]);
}

static void test_bad_settings(void **state)
{
	(void)state;
	static const char *const bad_tags[] = { "", "a", "=b", "a=", "a b=c", "a=b c",
		"a=\xc3\xbc", "ses:x=y", "a=b,c=d", "a=b\r\nBcc: x@y" };
	static const char *const bad_arns[] = { "", "arn", "arn:aws:ses:x:1:identity/y",
		"arn:aws:s3:eu-west-1:123456789012:identity/y",
		"arn:aws:ses:eu-west-1:123456789012:identity/",
		"arn:aws:ses:eu-west-1:123456789012:identity/y\r\nBcc: x@y" };
	for (size_t i = 0; i < G_N_ELEMENTS(bad_tags) + G_N_ELEMENTS(bad_arns); i++) {
		size_t n_tags = G_N_ELEMENTS(bad_tags);
		const char *const tags[] = { i < n_tags ? bad_tags[i] : NULL, NULL };
		const struct conf_ses ses = { .tags = tags,
			.source_arn = i < n_tags ? NULL : bad_arns[i - n_tags] };
		struct preflight preflight = preflight_default();
		GError *error = NULL;
		preflight.route_ses = &ses;
		g_autofree char *got = edited(&preflight, FROM BARE, &error);
		if (got)
			fail_msg("case %zu", i);
		assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND));
		g_clear_error(&error);
	}
}

static void test_references(void **state)
{
	(void)state;
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "Message-ID: <1@x>\r\n" FROM,
			"References: <1@x>\r\nMessage-ID: <1@x>\r\n" FROM },
		{ "Message-ID: \r\n <1@x>\r\nReferences: <a@b>\r\n" FROM,
			"Message-ID: \r\n <1@x>\r\nReferences: <a@b>\r\n "
			"<1@x>\r\n" FROM },
		{ "References: <a@b>\r\n\t<1@x> <c@d>\r\nMessage-ID: <1@x>\r\n" FROM,
			"References: <a@b>\r\n\t<1@x> <c@d>\r\nMessage-ID: "
			"<1@x>\r\n" FROM },
		{ "References:\r\nMessage-ID: <1@x>\r\n" FROM,
			"References:\r\n <1@x>\r\nMessage-ID: <1@x>\r\n" FROM },
		{ "In-Reply-To: <a@b>\r\nMessage-ID: <1@x>\r\n" FROM,
			"References: <a@b> <1@x>\r\nIn-Reply-To: <a@b>\r\nMessage-ID: "
			"<1@x>\r\n" FROM },
		{ "In-Reply-To: <a@b> <c@d>\r\nMessage-ID: <1@x>\r\n" FROM,
			"References: <1@x>\r\nIn-Reply-To: <a@b> <c@d>\r\nMessage-ID: "
			"<1@x>\r\n" FROM },
		/* What is no identifier would only break the field. */
		{ "Message-ID: 1@x\r\n" FROM, "Message-ID: 1@x\r\n" FROM },
		{ "Message-ID: <1 @x>\r\n" FROM, "Message-ID: <1 @x>\r\n" FROM },
		{ "Message-ID: <\xc3\xbc@x>\r\n" FROM,
			"Message-ID: <\xc3\xbc@x>\r\n" FROM },
		{ "Message-ID: <>\r\n" FROM, "Message-ID: <>\r\n" FROM },
	};
	struct preflight preflight = preflight_default();
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *in = g_strconcat(cases[i].in, DATED "\r\n", NULL);
		g_autofree char *want =
			g_strconcat(TAG, cases[i].want, DATED "\r\n", NULL);
		check(&preflight, in, want);
	}
	/* Other relays keep the Message-ID that there is. */
	preflight.is_ses = false;
	check(&preflight, "Message-ID: <1@x>\r\n" FROM DATED "\r\n",
		"Message-ID: <1@x>\r\n" FROM DATED "\r\n");
}

static void test_references_are_bounded(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	g_autofree char *many = g_strnfill(17000, 'a');
	for (size_t i = 0; i < 17000; i += 100)
		memcpy(many + i, "\r\n ", 3);
	g_autofree char *in = g_strdup_printf(
		"Message-ID: <1@x>\r\nReferences:%s\r\n" FROM DATED "\r\n", many);
	g_autofree char *want = g_strconcat(TAG, in, NULL);
	check(&preflight, in, want);
}

static const struct {
	const char *in, *want;
} lists[] = {
	/* Sound ones stay byte for byte. */
	{ "To: a@b.c\r\n", NULL },
	{ "To: A B <a@b.c>,\r\n\t\"C, D\" <c@d.e> (x (y) z)\r\n", NULL },
	{ "Cc: J. Smith <a@b.c>, x@y.z <x@y.z>\r\n", NULL },
	{ "To: undisclosed-recipients:;\r\n", NULL },
	{ "Cc: \"a@b.c\" <d@e.f>, a@b.c <a@b.c>\r\n", NULL },
	{ "To: a@b.c <d@e.f>\r\n", "To: \"a@b.c\" <d@e.f>\r\n" },
	{ "To : a@b.c\r\n", "To: a@b.c\r\n" },
	{ "To: Team: a@b.c, d@e.f;, g@h.i\r\n", NULL },
	{ "To: =?utf-8?q?=C3=BC?= <a@b.c>\r\n", NULL },
	{ "To: Team: ; , a@b.c\r\n", NULL },
	{ "To: a@b.c,,d@e.f,\r\n", "To: a@b.c, d@e.f\r\n" },
	{ "To: \"a b\"@c.d, <e@[10.0.0.1]>\r\n", NULL },
	/* SES would say: Missing final '@domain'. */
	{ "To: root\r\n", "To: root:;\r\n" },
	{ "To: Admin <admin>, a@b.c\r\n", "To: \"Admin <admin>\":;, a@b.c\r\n" },
	{ "Cc: Mueller, Hans <h@x.org>\r\n", "Cc: \"Mueller, Hans\" <h@x.org>\r\n" },
	{ "To: a..b@c.d, e@f.g\r\n", "To: \"a..b\"@c.d, e@f.g\r\n" },
	{ "To: A <.a.@c.d>\r\n", "To: A <\".a.\"@c.d>\r\n" },
	{ "To: \"a..b\"@c.d\r\n", "To: \"a..b\"@c.d\r\n" },
	{ "To: a@c..d\r\n", "To: \"a@c..d\":;\r\n" },
	{ "Cc: <>\r\n", "Cc: \"<>\":;\r\n" },
	{ "To: Team: root, a@b.c;\r\n", "To: Team: a@b.c;, root:;\r\n" },
	{ "To: <a@b.c\r\n", "To: a@b.c\r\n" },
	{ "To: a@b.c b@c.d\r\n", "To: a@b.c, b@c.d\r\n" },
	{ "To: a@b.c; d@e.f\r\n", "To: a@b.c, d@e.f\r\n" },
};

static void test_lists(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
		g_autofree char *in = g_strconcat(lists[i].in, FROM BARE, NULL);
		g_autofree char *want = g_strconcat(TAG,
			lists[i].want ? lists[i].want : lists[i].in, FROM BARE, NULL);
		g_autofree char *got = edited(&preflight, in, NULL);
		if (strcmp(got, want))
			print_error("case: %s", lists[i].in);
		check(&preflight, in, want);
	}
	/* Other relays may know whom root is. */
	preflight.is_ses = false;
	check(&preflight, "To: root\r\n" FROM BARE, "To: root\r\n" FROM BARE);
}

static size_t occurrences(const char *text, const char *what)
{
	size_t n = 0;
	for (; (text = strstr(text, what)) != NULL; text += strlen(what))
		n++;
	return n;
}

/* Longer than what is read at once: mended piece by piece, nobody left out. */
static void test_endless_lists(void **state)
{
	(void)state;
	static const struct {
		const char *head, *unit, *bad, *tail, *mended;
		const char *address; /* of each unit, as it is to stand */
	} endless[] = {
		{ "To: ", "\"X, (Y\" <a.very.long.address@example.net>,\r\n ",
			"Admin <admin>, ", "b@c.d", "\"Admin <admin>\":;,",
			"\"X, (Y\" <a.very.long.address@example.net>," },
		{ "Cc: ", "a.very.long.address@example.net;\r\n ", "root; ", "b@c.d",
			" root:;,", "a.very.long.address@example.net," },
		{ "To: Team: ", "a.very.long.address@example.net,\r\n\t", "root, ",
			"b@c.d;", " root:;", "a.very.long.address@example.net" },
		{ "To: A (\\) , \"): ", "a.very.long.address@example.net,\r\n ", "",
			"b@c.d;", "b@c.d", "a.very.long.address@example.net" },
	};
	enum { UNITS = 8000 };
	struct preflight preflight = preflight_default();
	for (size_t i = 0; i < G_N_ELEMENTS(endless); i++) {
		g_autoptr(GString) in = g_string_new(endless[i].head);
		for (size_t n = 0; n < UNITS; n++) {
			g_string_append(in, endless[i].unit);
			if (n == UNITS / 2)
				g_string_append(in, endless[i].bad);
		}
		g_string_append_printf(in, "%s\r\n" FROM BARE, endless[i].tail);
		g_autofree char *got = edited(&preflight, in->str, NULL);
		char *from = strstr(got, "\r\nX-Unparsed");
		from = from ? from : strstr(got, "\r\n" FROM);
		assert_non_null(from);
		*from = '\0';
		g_strdelimit(got, "\r\n", ' ');
		g_auto(GStrv) lines = g_strsplit(got, "   ", -1);
		g_autofree char *line = g_strjoinv(" ", lines);
		assert_non_null(strstr(line, endless[i].mended));
		assert_int_equal(occurrences(line, endless[i].address), UNITS);
	}
}

static const struct {
	const char *in, *want; /* NULL: it stays; the value, but for its blank before */
} types[] = {
	{ "text/plain", NULL },
	{ "Text/HTML; Charset=UTF-8;", NULL },
	{ "text/plain;\r\n\tcharset=\"iso-8859-1\"; format=flowed; name=\"a; "
	  "\\\"b\\\".txt\"",
		NULL },
	{ "text/plain (a; b (c)); charset = utf-8 (d)", NULL },
	{ "multipart/mixed; boundary=\"=_a b\"", NULL },
	{ "multipart/mixed; boundary*0=ab; boundary*1=cd", NULL },
	{ "text/plain; charset=us-ascii(Plain text); format=flowed", NULL },
	{ "application/pdf; name*0*=utf-8''%C3%BC; name*1=.pdf", NULL },
	/* RFC 2045, section 5.2 */
	{ "text", "text/plain" },
	{ "TEXT; charset=utf-8", "text/plain; charset=utf-8" },
	{ "text/", "text/plain" },
	{ "; charset=utf-8", "text/plain; charset=utf-8" },
	{ "plain", "text/plain\r\nX-Unparsed-Content-Type: plain" },
	{ "multipart; boundary=x", "multipart/mixed; boundary=x" },
	{ "multipart/mixed", "text/plain\r\nX-Unparsed-Content-Type: multipart/mixed" },
	{ "multipart/mixed; boundary=\"\"; a=b",
		"text/plain\r\nX-Unparsed-Content-Type: multipart/mixed; boundary=\"\"; "
		"a=b" },
	/* parameters */
	{ "text/plain; charset=utf-8; charset=us-ascii", "text/plain; charset=utf-8" },
	{ "text/plain; charset=; charset=us-ascii", "text/plain; charset=us-ascii" },
	{ "text/plain;; charset=utf-8", "text/plain; charset=utf-8" },
	{ "text/plain; charset", "text/plain" },
	{ "text/plain; =utf-8; a=b", "text/plain; a=b" },
	{ "text/plain charset=utf-8 format=flowed",
		"text/plain; charset=utf-8; format=flowed" },
	{ "text/plain, charset=utf-8", "text/plain" },
	{ "text/plain/x; a=b", "text/plain; a=b" },
	{ "multipart/mixed; boundary=----=_Part_1",
		"multipart/mixed; boundary=\"----=_Part_1\"" },
	{ "image/png; name=my file.png; x=y", "image/png; name=\"my file.png\"; x=y" },
	{ "image/png; name==?utf-8?q?=C3=BC?=",
		"image/png; name=\"=?utf-8?q?=C3=BC?=\"" },
	{ "text/plain; name=\"a b", "text/plain; name=\"a b\"" },
	{ "text/plain; name=\"a\\", "text/plain; name=a" },
	{ "text/plain (never; charset=utf-8", "text/plain" },
};

static void test_types(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
		const char *value = types[i].want ? types[i].want : types[i].in;
		g_autofree char *in = g_strdup_printf(
			"Content-Type: %s\r\nMIME-Version: 1.0\r\n" FROM BARE,
			types[i].in);
		g_autofree char *want = g_strdup_printf(
			TAG "Content-Type: %s\r\nMIME-Version: 1.0\r\n" FROM BARE, value);
		g_autofree char *got = edited(&preflight, in, NULL);
		if (strcmp(got, want) != 0)
			print_error("case: %s\n", types[i].in);
		check(&preflight, in, want);
	}
	check(&preflight, "Content-Type: \r\nMIME-Version: 1.0\r\n" FROM BARE,
		TAG "MIME-Version: 1.0\r\n" FROM BARE);
	/* Other relays hand on what there is. */
	preflight.is_ses = false;
	check(&preflight, "Content-Type: text\r\nMIME-Version: 1.0\r\n" FROM BARE,
		"Content-Type: text\r\nMIME-Version: 1.0\r\n" FROM BARE);
	/* Beyond ASCII */
	preflight.is_ses = preflight.wants_ascii = true;
	check(&preflight,
		"Content-Type: text; name=\xc3\xbc\r\nMIME-Version: 1.0\r\n" FROM BARE,
		TAG "Content-Type: text/plain; name*=iso-8859-1''%FC\r\nMIME-Version: "
		    "1.0\r\n" FROM BARE);
}

static void test_reply_to(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	check(&preflight, "Reply-To: nobody\r\n" FROM BARE,
		TAG "X-Original-Reply-To: nobody\r\n" FROM BARE);
	check(&preflight, "Reply-To: nobody, a@b.c\r\n" FROM BARE,
		TAG "Reply-To: nobody:;, a@b.c\r\n" FROM BARE);
}

static void test_preserved(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	preflight.preserve_sender = true;
	check(&preflight, "From: a@o.org\r\nSender: b@o.org\r\n" BARE,
		TAG "From: a@o.org\r\nSender: b@o.org\r\n" BARE);
	check(&preflight, BARE, TAG "From: alice@other.org\r\n" BARE);
	preflight.reverse_path = NULL;
	check(&preflight, BARE, TAG "From: postmaster@mail.example.com\r\n" BARE);
}

static const struct {
	const char *pattern, *in, *want;
} names[] = {
	{ NULL, "From: A B <a@o.org>\r\n",
		"From: \"A B via example.com\" <gateway@example.com>\r\n"
		"Reply-To: \"A B\" <a@o.org>\r\nX-Original-From: A B <a@o.org>\r\n" },
	{ "{name} via {domain}", "From: A <a@o.org>\r\n",
		"From: \"A via o.org\" <gateway@example.com>\r\n"
		"Reply-To: \"A\" <a@o.org>\r\nX-Original-From: A <a@o.org>\r\n" },
	{ "{name} ({address}) {x} }{", "From: A <a@o.org>\r\n",
		"From: \"A (a@o.org) {x} }{\" <gateway@example.com>\r\n"
		"Reply-To: \"A\" <a@o.org>\r\nX-Original-From: A <a@o.org>\r\n" },
	{ "Gateway", "From: A <a@o.org>\r\n",
		"From: \"Gateway\" <gateway@example.com>\r\n"
		"Reply-To: \"A\" <a@o.org>\r\nX-Original-From: A <a@o.org>\r\n" },
	/* By another gateway of ours, of others, by a list. */
	{ NULL,
		"From: \"A B via o.net\" <gw@o.net>\r\nReply-To: A B <a@o.org>\r\n"
		"X-Original-From: A B <a@o.org>\r\n",
		"From: \"A B via example.com\" <gateway@example.com>\r\n"
		"Reply-To: A B <a@o.org>\r\nX-Original-From: A B <a@o.org>\r\n" },
	{ "{name} [{domain}]",
		"X-Original-From: a@o.org\r\nFrom: \"a [o.org]\" <gw@o.net>\r\n",
		"X-Original-From: a@o.org\r\nFrom: \"a [o.org]\" "
		"<gateway@example.com>\r\nReply-To: a@o.org\r\n" },
	{ NULL,
		"X-Original-From: A B <a@o.org>\r\n"
		"From: \"'A B' via Team\" <team@lists.org>\r\n",
		"X-Original-From: A B <a@o.org>\r\n"
		"From: \"A B via example.com\" <gateway@example.com>\r\n"
		"Reply-To: \"A B\" <a@o.org>\r\n" },
	/* One who only says so is taken for what he is. */
	{ NULL, "X-Original-From: Boss <boss@example.com>\r\nFrom: M <m@o.org>\r\n",
		"From: \"M via example.com\" <gateway@example.com>\r\n"
		"Reply-To: \"M\" <m@o.org>\r\nX-Original-From: M <m@o.org>\r\n" },
	/* Who stands behind an odd separator is an author too. */
	{ NULL, "From: a@example.com; m@o.org\r\n",
		"From: \"a et al. via example.com\" <gateway@example.com>\r\n"
		"Reply-To: a@example.com, m@o.org\r\n"
		"X-Original-From: a@example.com; m@o.org\r\n" },
	/* Ours again. */
	{ NULL,
		"From: \"A via example.com\" <gateway@example.com>\r\n"
		"Reply-To: a@o.org\r\nX-Original-From: A <a@o.org>\r\n",
		"From: \"A via example.com\" <gateway@example.com>\r\n"
		"Reply-To: a@o.org\r\nX-Original-From: A <a@o.org>\r\n" },
	{ NULL, "From: \"=?utf-8?q?=C3=BC?=\" <a@o.org>\r\n",
		"From: =?UTF-8?B?w7wgdmlhIGV4YW1wbGUuY29t?= <gateway@example.com>\r\n"
		"Reply-To: =?UTF-8?B?w7w=?= <a@o.org>\r\n"
		"X-Original-From: \"=?utf-8?q?=C3=BC?=\" <a@o.org>\r\n" },
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
		struct conf_sender sender = rewriting;
		struct preflight preflight = preflight_default();
		sender.display_name = names[i].pattern;
		preflight.sender = &sender;
		g_autofree char *in = g_strconcat(names[i].in, BARE, NULL);
		g_autofree char *want = g_strconcat(TAG, names[i].want, BARE, NULL);
		g_autofree char *got = edited(&preflight, in, NULL);
		if (strcmp(got, want))
			print_error("case: %s", names[i].in);
		check(&preflight, in, want);
	}
}

/* Through a chain of gateways with different addresses no name grows. */
static void test_chain(void **state)
{
	(void)state;
	static const char *const gateways[] = { "gateway@a.net", "gateway@b.net",
		"gateway@c.net", "gateway@a.net" };
	g_autofree char *mail = g_strdup("From: A B <a@o.org>\r\n" BARE);
	for (size_t i = 0; i < G_N_ELEMENTS(gateways); i++) {
		const struct conf_sender sender = { .from = gateways[i] };
		struct preflight preflight = preflight_default();
		preflight.sender = &sender;
		char *next = edited(&preflight, mail, NULL);
		g_free(mail);
		mail = next;
		g_autofree char *want = g_strdup_printf(TAG
			"From: \"A B via %s\" <%s>\r\nReply-To: \"A B\" <a@o.org>\r\n"
			"X-Original-From: A B <a@o.org>\r\n" BARE,
			strchr(gateways[i], '@') + 1, gateways[i]);
		assert_string_equal(mail, want);
	}
}

static void test_long_lines(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	static const char *const units[] = { "a", "\xc3\xbc", "a,", " ", "a b", "<a@b.c>",
		"\t" };
	static const char *const fields[] = { "X-A", "Subject", "To", "References",
		"Content-Type", "Message-ID", "Reply-To" };
	for (size_t i = 0; i < G_N_ELEMENTS(units) * G_N_ELEMENTS(fields); i++) {
		const char *unit = units[i % G_N_ELEMENTS(units)];
		const char *field = fields[i / G_N_ELEMENTS(units)];
		GString *in = g_string_new(NULL);
		g_string_append_printf(in, "%s: ", field);
		while (in->len < 5000)
			g_string_append(in, unit);
		g_string_append(in, "x\r\n" FROM BARE);
		preflight.wants_ascii = (unsigned char)*unit >= 0x80;
		g_autofree char *got = edited(&preflight, in->str, NULL);
		g_string_free(in, TRUE);
		char *body = strstr(got, "\r\n\r\n");
		assert_string_equal(body, "\r\n\r\nbody\r\n");
		*body = '\0';
		for (char *line = strtok(got, "\r\n"); line; line = strtok(NULL, "\r\n"))
			if (strlen(line) > 998 || !line[strspn(line, " \t")])
				fail_msg("%s: %s", field, unit);
	}
}

static const struct {
	const char *in, *want; /* NULL: it stays */
} dispositions[] = {
	{ "attachment; filename=\"a b.pdf\"", NULL },
	{ "INLINE", NULL },
	{ "attachment (c); filename*=utf-8''%C3%BC.pdf; size=7;", NULL },
	{ "attachment; filename=a b.pdf", "attachment; filename=\"a b.pdf\"" },
	{ "=?utf-8?q?attachment=3B_filename=3Da=2Epdf?=", "attachment; filename=a.pdf" },
	{ "=?utf-8?q?inline?=", "inline" },
	{ "\"inline\"", "attachment" },
	{ "; filename=a.pdf", "attachment; filename=a.pdf" },
	{ "attachment filename=a", "attachment; filename=a" },
	{ "attachment; filename=\"a.pdf", "attachment; filename=a.pdf" },
	{ "attachment; filename=; filename=b", "attachment; filename=b" },
	{ "filename=\"x.pdf\"", "attachment; filename=x.pdf" },
	{ "filename = x.pdf; size=7", "attachment; filename=x.pdf; size=7" },
	{ "=?utf-8?Q?attachment;_filename=3D=22x=0D=0AX-SES-SOURCE-ARN:_e=22?=",
		"attachment; filename=\"x X-SES-SOURCE-ARN: e\"" },
	{ "=?utf-8?Q?inline;_name=3Dx=0D=0A=0D=0Aforged_body?=",
		"inline; name=\"x forged body\"" },
};

static void test_dispositions(void **state)
{
	(void)state;
	struct preflight preflight = preflight_default();
	for (size_t i = 0; i < G_N_ELEMENTS(dispositions); i++) {
		const char *value =
			dispositions[i].want ? dispositions[i].want : dispositions[i].in;
		g_autofree char *in = g_strdup_printf(
			"MIME-Version: 1.0\r\nContent-Disposition: %s\r\n" FROM BARE,
			dispositions[i].in);
		g_autofree char *want =
			g_strdup_printf(TAG "MIME-Version: 1.0\r\n"
					    "Content-Disposition: %s\r\n" FROM BARE,
				value);
		check(&preflight, in, want);
	}
	check(&preflight, "Content-Disposition: ;\r\nMIME-Version: 1.0\r\n" FROM BARE,
		TAG "MIME-Version: 1.0\r\n" FROM BARE);
}

static const struct {
	const char *in, *want; /* NULL: it stays */
} of_parts[] = {
	{ "Content-Type: text/plain; charset=utf-8\r\n", NULL },
	{ "content-type:TEXT/html\r\n", NULL },
	{ "Content-Type: text/plain; charset=\r\n", "Content-Type: text/plain\r\n" },
	{ "Content-Type:\r\n", "" },
	{ "Content-Type: multipart/mixed\r\n",
		"Content-Type: text/plain\r\n"
		"X-Unparsed-Content-Type: multipart/mixed\r\n" },
	{ "Content-Disposition: =?utf-8?q?inline?=\r\n",
		"Content-Disposition: inline\r\n" },
	{ "Content-Type: image/png; name=\"\xc3\xbc.png\"\r\n",
		"Content-Type: image/png; name*=iso-8859-1''%FC.png\r\n" },
	/* Nobody knows what is meant: let the reader guess. */
	{ "Content-Type: image/png; name=\"\xfc.png\"\r\n", NULL },
	{ "Content-Type: text/plain;\r\n\tcharset=utf-8\r \r\n",
		"Content-Type: text/plain; charset=utf-8\r\n" },
};

static void test_fields_of_parts(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(of_parts); i++) {
		g_autoptr(GString) got = preflight_part_field(
			of_parts[i].in, strlen(of_parts[i].in), "\r\n");
		if (!got != !of_parts[i].want ||
			(got && strcmp(got->str, of_parts[i].want) != 0))
			fail_msg("%s: %s", of_parts[i].in, got ? got->str : "stays");
	}
	/* A line of any length is folded. */
	g_autofree char *name = g_strnfill(2000, 'x');
	g_autofree char *in = g_strdup_printf("Content-Type: a/b; name=%s\r\n", name);
	g_autoptr(GString) got = preflight_part_field(in, strlen(in), "\r\n");
	for (const char *line = got->str; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_many_tags),
		cmocka_unit_test(test_bad_settings),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_references_are_bounded),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_endless_lists),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_dispositions),
		cmocka_unit_test(test_fields_of_parts),
		cmocka_unit_test(test_reply_to),
		cmocka_unit_test(test_preserved),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_long_lines),
	};
	g_mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
