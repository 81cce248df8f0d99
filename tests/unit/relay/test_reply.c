/* reply: lines to a reply, a reply to a verdict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/relay/reply.h"
#include <string.h>

/* Feeds text line by line; false when a line is refused or the reply
 * does not end with it. */
static bool feed(struct reply *reply, const char *text)
{
	reply_clear(reply);
	for (const char *p = text; *p;) {
		const char *end = strchrnul(p, '\n');
		end += *end == '\n';
		if (!reply_add_line(reply, p, (size_t)(end - p)))
			return false;
		p = end;
	}
	return reply->complete;
}

static void test_parse(void **unused)
{
	(void)unused;
	static const struct {
		const char *in;
		int code; /* 0: no reply */
		const char *print;
	} cases[] = {
		{ "250 Ok\r\n", 250, "Ok" },
		{ "250\r\n", 250, "" },
		{ "250 \r\n", 250, "" },
		{ "354 go\n", 354, "go" },
		{ "250-a\r\n250-b\r\n250 c\r\n", 250, "a b c" },
		{ "550-5.1.1 No such\r\n550 5.1.1 user\r\n", 550, "5.1.1 No such user" },
		{ "550-5.1.1: No\r\n550 5.1.1: b\r\n", 550, "5.1.1: No b" },
		{ "550-5.1.1 No\r\n550 5.1.10 b\r\n", 550, "5.1.1 No 5.1.10 b" },
		{ "550-5.1.1 No\r\n550 5.1.1\r\n", 550, "5.1.1 No 5.1.1" },
		{ "550-4.0.0 x\r\n450 y\r\n", 450, "4.0.0 x y" },
		{ "550 a\tb\x01 c\x7f\r\n", 550, "a b  c " },
		{ "550 \xff\r\n", 550, "\xef\xbf\xbd" },
		{ "199 no\r\n", 0, NULL },
		{ "600 no\r\n", 0, NULL },
		{ "25 no\r\n", 0, NULL },
		{ "2500 no\r\n", 0, NULL },
		{ "250_no\r\n", 0, NULL },
		{ "hello\r\n", 0, NULL },
		{ "\r\n", 0, NULL },
		{ "", 0, NULL },
		{ "-50 a\r\n", 0, NULL },
		{ "2 0 a\r\n", 0, NULL },
		{ "250-half\r\n", 0, NULL },
		{ "250 a\r\n250 b\r\n", 0, NULL },
	};
	struct reply reply;
	reply_init(&reply);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		bool whole = feed(&reply, cases[i].in);
		if (whole != (cases[i].code != 0))
			fail_msg("\"%s\"", cases[i].in);
		if (!whole)
			continue;
		g_autofree char *print = reply_print(&reply);
		assert_int_equal(reply.code, cases[i].code);
		assert_string_equal(print, cases[i].print);
	}
	reply_deinit(&reply);
}

static void test_nul_does_not_hide_text(void **unused)
{
	(void)unused;
	struct reply reply;
	reply_init(&reply);
	assert_true(reply_add_line(&reply, "550 a\0b\r\n", 9));
	assert_string_equal(reply.text->str, "a?b");
	reply_deinit(&reply);
}

static void test_text_is_bounded(void **unused)
{
	(void)unused;
	struct reply reply;
	reply_init(&reply);
	g_autofree char *fill = g_strnfill(1000, 'x');
	g_autofree char *line = g_strconcat("250-", fill, "\r\n", NULL);
	for (int i = 0; i < 100; i++)
		assert_true(reply_add_line(&reply, line, strlen(line)));
	assert_true(reply_add_line(&reply, "250 end\r\n", 9));
	assert_true(reply.complete);
	assert_true(reply.text->len <= REPLY_TEXT_BYTES_MAX);
	reply_clear(&reply);
	/* of one line that is too long, its beginning says what it is about */
	g_autofree char *long_fill = g_strnfill(60000, 'x');
	g_autofree char *long_line = g_strconcat(
		"554-5.7.1 Email address is not verified ", long_fill, "\r\n", NULL);
	assert_true(reply_add_line(&reply, long_line, strlen(long_line)));
	assert_int_equal(reply.text->len, REPLY_TEXT_BYTES_MAX);
	assert_true(reply_add_line(&reply, "554 end\r\n", 9));
	assert_int_equal(reply.text->len, REPLY_TEXT_BYTES_MAX);
	assert_int_equal(reply_classify(&reply, NULL), REPLY_MEND);
	reply_deinit(&reply);
}

static void test_classify(void **unused)
{
	(void)unused;
	static const struct {
		const char *in;
		enum reply_kind want;
	} cases[] = {
		{ "250 Ok", REPLY_DONE },
		{ "354 go", REPLY_DONE },
		{ "421 Too many concurrent SMTP connections", REPLY_THROTTLE },
		{ "421 4.3.2 shutting down", REPLY_RETRY },
		{ "450 4.2.1 greylisted", REPLY_RETRY },
		{ "451 Temporary service failure", REPLY_RETRY },
		{ "451 Timeout waiting for data from client.", REPLY_RETRY },
		{ "452 4.3.1 full", REPLY_RETRY },
		{ "454 Throttling failure: Maximum sending rate exceeded.",
			REPLY_THROTTLE },
		{ "454 4.7.0 Throttling failure: Maximum sending rate exceeded.",
			REPLY_THROTTLE },
		{ "454 Throttling failure: Maximum SigV2 SMTP sending rate exceeded.",
			REPLY_THROTTLE },
		{ "454 Throttling failure: Daily message quota exceeded.", REPLY_MEND },
		{ "454 Temporary authentication failure", REPLY_RETRY },
		{ "454 Temporary service failure", REPLY_RETRY },
		{ "500 what", REPLY_REFUSE },
		{ "501 Invalid MAIL FROM address provided", REPLY_REFUSE },
		{ "503 5.5.1 bad sequence", REPLY_RETRY },
		{ "530 Authentication required", REPLY_MEND },
		{ "530 Must issue a STARTTLS command first", REPLY_MEND },
		{ "534 5.7.9 mechanism too weak", REPLY_MEND },
		{ "535 Authentication Credentials Invalid", REPLY_MEND },
		{ "535 Account not subscribed to SES", REPLY_MEND },
		{ "538 5.7.11 Encryption required", REPLY_MEND },
		{ "550 5.1.1 no such user", REPLY_REFUSE },
		{ "550 5.7.1 Recipient address rejected: Access denied", REPLY_REFUSE },
		{ "552 Message is too long.", REPLY_REFUSE },
		{ "553 <x> Invalid email address", REPLY_REFUSE },
		{ "554 Access denied: User `arn:aws:iam::1:user/x' is not authorized to "
		  "perform `ses:SendRawEmail' on resource `arn:aws:ses:x'",
			REPLY_MEND },
		{ "554 5.7.1 <a@b>: Relay access denied", REPLY_MEND },
		{ "554 Message rejected: Email address is not verified. The following "
		  "identities failed the check in region EU-WEST-1: a@b",
			REPLY_MEND },
		{ "554 Message rejected: Sending paused for this account.", REPLY_MEND },
		{ "554 Configuration set does not exist: x", REPLY_MEND },
		{ "554 Transaction failed: Duplicate header 'DKIM-Signature'.",
			REPLY_REFUSE },
		{ "554 Message rejected: Message contains virus", REPLY_REFUSE },
	};
	struct reply reply;
	reply_init(&reply);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		const char *advice;
		assert_true(feed(&reply, cases[i].in));
		enum reply_kind kind = reply_classify(&reply, &advice);
		if (kind != cases[i].want)
			fail_msg("\"%s\": %d", cases[i].in, kind);
		if (kind == REPLY_MEND)
			assert_non_null(advice);
		bool refused = kind == REPLY_REFUSE;
		assert_int_equal(reply_classify_session(&reply, NULL),
			refused ? REPLY_MEND : kind);
	}
	reply_deinit(&reply);
}

/* The classes that matter beyond "retry" and "refuse", by texts seen in the field. */
static const struct {
	const char *in;
	enum reply_kind kind;
	const char *hold;
} known[] = {
	/* SES */
	{ "454 Throttling failure: Daily message quota exceeded.", REPLY_MEND, "quota" },
	{ "554 Message rejected: Email address is not verified. The following identities "
	  "failed the check in region EU-WEST-1: Alice@Example.com",
		REPLY_MEND, "sender example.com" },
	{ "554 Message rejected: Email address is not verified. The following identities "
	  "failed the check in region US-EAST-1: b@z.org, Alice <a@b.example.com>, "
	  "b@z.org, "
	  "arn:aws:ses:us-east-1:123456789012:identity/m.net, ...",
		REPLY_MEND, "sender b.example.com, m.net, z.org" },
	{ "554 Message rejected: Email address is not verified. The following identities "
	  "failed the check in region EU-WEST-1: a@d.x, a@c.x, a@b.x, a@a.x",
		REPLY_MEND, "sender a.x, b.x, c.x" },
	{ "554 Message rejected: Email address is not verified. The following identities "
	  "failed the check in region EU-WEST-1: ...",
		REPLY_MEND, "sender" },
	{ "554 Message rejected: Email address is not verified.", REPLY_MEND, "sender" },
	{ "554 Message rejected: Sending paused for this account. For more information, "
	  "please check the inbox of the email address associated with your AWS account.",
		REPLY_MEND, "paused" },
	{ "554 Message rejected: Sending suspended for this account.", REPLY_MEND,
		"paused" },
	{ "554 Message rejected: Email sending for the configuration set x is paused.",
		REPLY_MEND, "paused" },
	{ "554 Message rejected: Email sending is paused.", REPLY_MEND, "paused" },
	{ "454 Message rejected: Sending paused for this account.", REPLY_MEND,
		"paused" },
	{ "454 4.7.0 Sending suspended for this account.", REPLY_MEND, "paused" },
	{ "451 Email sending for the configuration set x is paused.", REPLY_MEND,
		"paused" },
	{ "454 Sending is disabled for this account.", REPLY_MEND, "paused" },
	{ "554 Message rejected: Email sending is disabled for your entire Amazon SES "
	  "account.",
		REPLY_MEND, "paused" },
	{ "554 The message can't be sent because the account's ability to send email is "
	  "currently paused.",
		REPLY_MEND, "paused" },
	{ "454 The message can't be sent because the account's ability to send email has "
	  "been permanently restricted.",
		REPLY_MEND, "paused" },
	{ "454 Your account is paused.", REPLY_MEND, "paused" },
	{ "454 Your account has been paused.", REPLY_MEND, "paused" },
	{ "554 Account suspended", REPLY_MEND, "paused" },
	{ "454 Your account is suspended.", REPLY_MEND, "paused" },
	{ "454 Your AWS account has been suspended.", REPLY_MEND, "paused" },
	{ "554 Your account is disabled.", REPLY_MEND, "paused" },
	{ "454 Configuration set <x> does not exist.", REPLY_MEND, "configuration set" },
	{ "451 Configuration set lookup failed, try again later.", REPLY_RETRY, NULL },
	{ "454 Message rejected: Email address is not verified.", REPLY_MEND, "sender" },
	{ "454 Access denied: User `arn:aws:iam::1:user/x' is not authorized to perform "
	  "`ses:SendRawEmail' on resource `arn:aws:ses:x'",
		REPLY_MEND, "access" },
	{ "454 Account not subscribed to SES", REPLY_MEND, "credentials" },
	{ "454 Authentication Credentials Invalid", REPLY_MEND, "credentials" },
	{ "554 Throttling failure: Maximum sending rate exceeded.", REPLY_THROTTLE,
		NULL },
	{ "554 Throttling failure", REPLY_THROTTLE, NULL },
	{ "554 Throttling failure: Daily message quota exceeded.", REPLY_MEND, "quota" },
	{ "454 Daily sending quota exceeded", REPLY_MEND, "quota" },
	{ "452 4.5.3 Daily quota exceeded", REPLY_MEND, "quota" },
	{ "554 Temporary service failure", REPLY_RETRY, NULL },
	{ "554 Temporary authentication failure", REPLY_RETRY, NULL },
	{ "554 Timeout waiting for data from client.", REPLY_RETRY, NULL },
	{ "452 Message is too long.", REPLY_RETRY, NULL },
	/* A recipient's account is not the relay's. */
	{ "550 5.2.1 The email account that you tried to reach is disabled.",
		REPLY_REFUSE, NULL },
	{ "550 5.2.1 <a@b.c>: this account is suspended", REPLY_REFUSE, NULL },
	{ "450 4.2.1 <a@b.c>: account is disabled", REPLY_RETRY, NULL },
	{ "550 5.2.1 Account suspended", REPLY_REFUSE, NULL },
	{ "452 4.2.2 <a@b.c>: Daily quota exceeded", REPLY_RETRY, NULL },
	{ "550 5.2.2 mailbox has exceeded its daily limit", REPLY_REFUSE, NULL },
	{ "554 Configuration set <x> does not exist.", REPLY_MEND, "configuration set" },
	{ "554 Access denied: User `arn:aws:iam::1:user/x' is not authorized to perform "
	  "`ses:SendRawEmail' on resource `arn:aws:ses:x'",
		REPLY_MEND, "access" },
	{ "535 Account not subscribed to SES", REPLY_MEND, "credentials" },
	{ "535 Authentication Credentials Invalid", REPLY_MEND, "credentials" },
	{ "530 Authentication required", REPLY_MEND, "credentials" },
	{ "530 Must issue a STARTTLS command first", REPLY_MEND, "TLS" },
	{ "554 Transaction failed: Recipient count exceeds 50.", REPLY_MEND,
		"recipients" },
	{ "554 Transaction failed: Missing final '@domain'", REPLY_REFUSE, NULL },
	{ "554 Transaction failed: Duplicate header 'List-Unsubscribe'.", REPLY_REFUSE,
		NULL },
	{ "554 Transaction failed: Missing start boundary", REPLY_REFUSE, NULL },
	{ "554 Message rejected: Invalid email address", REPLY_REFUSE, NULL },
	{ "501 Invalid MAIL FROM address provided", REPLY_REFUSE, NULL },
	{ "421 Timeout waiting for data from client.", REPLY_RETRY, NULL },
	{ "454 Throttling failure: Maximum sending rate exceeded.", REPLY_THROTTLE,
		NULL },
	/* Google */
	{ "421-4.7.28 [192.0.2.1      19] Our system has detected an unusual rate of\n"
	  "421-4.7.28 unsolicited mail originating from your IP address. To protect our\n"
	  "421 4.7.28 users from spam - gsmtp",
		REPLY_THROTTLE, NULL },
	{ "421 4.7.0 Try again later, closing connection. - gsmtp", REPLY_RETRY, NULL },
	{ "421-4.7.0 This message does not have authentication information or fails to\n"
	  "421 4.7.0 pass authentication checks. - gsmtp",
		REPLY_RETRY, NULL },
	{ "450-4.2.1 The user you are trying to contact is receiving mail too quickly.\n"
	  "450 4.2.1 Please resend your message at a later time. - gsmtp",
		REPLY_RETRY, NULL },
	{ "450 4.2.1 Peak SMTP relay limit exceeded for customer. - gsmtp",
		REPLY_THROTTLE, NULL },
	{ "550 5.4.5 Daily SMTP relay limit exceeded for customer. - gsmtp", REPLY_MEND,
		"quota" },
	{ "550 5.4.5 Daily user sending limit exceeded. - gsmtp", REPLY_MEND, "quota" },
	{ "550 5.4.5 Daily sending quota exceeded. - gsmtp", REPLY_MEND, "quota" },
	{ "421 4.7.0 IP not in whitelist for RCPT domain, closing connection. - gsmtp",
		REPLY_RETRY, NULL },
	{ "450 4.5.4 Daily user sending limit exceeded. - gsmtp", REPLY_MEND, "quota" },
	{ "450 4.1.90 Your message can't be sent because you've reached your daily limit "
	  "for message recipients",
		REPLY_MEND, "quota" },
	{ "550 5.1.90 Your message can't be sent because you've reached your daily limit "
	  "for "
	  "message recipients",
		REPLY_MEND, "quota" },
	{ "550 5.7.233 Your message can't be sent because your tenant exceeded its daily "
	  "limit for sending email to external recipients",
		REPLY_MEND, "quota" },
	{ "554 5.2.0 Submission quota exceeded", REPLY_MEND, "quota" },
	{ "432 4.3.2 STOREDRV.Deliver; recipient thread limit exceeded", REPLY_RETRY,
		NULL },
	{ "550 5.7.705 Access denied, tenant has exceeded threshold", REPLY_MEND,
		"paused" },
	{ "550 5.1.8 Access denied, bad outbound sender AS(42003)", REPLY_MEND,
		"paused" },
	{ "550 5.7.708 Service unavailable. Access denied, traffic not accepted from "
	  "this IP. "
	  "For more information please go to "
	  "https://go.microsoft.com/fwlink/?LinkID=526655",
		REPLY_MEND, "network address" },
	{ "550 5.7.511 Access denied, banned sender[192.0.2.1]", REPLY_MEND,
		"network address" },
	{ "550 5.7.750 Service unavailable. Client blocked from sending from "
	  "unregistered "
	  "domain",
		REPLY_MEND, "sender" },
	{ "550 5.7.703 Your message can't be delivered because messages to b@c.d are "
	  "blocked "
	  "by your organization using Tenant Allow Block List.",
		REPLY_REFUSE, NULL },
	{ "451 4.4.2 Timeout waiting for data from client.", REPLY_RETRY, NULL },
	{ "554 Transaction failed: Expected '/', got ;", REPLY_REFUSE, NULL },
	{ "554 Transaction failed: Domain contains illegal character", REPLY_REFUSE,
		NULL },
	{ "550 5.7.1 Mail relay denied [192.0.2.1]. Invalid credentials for relay",
		REPLY_MEND, "relaying" },
	{ "550-5.7.1 Invalid credentials for relay [192.0.2.1]. The IP address you've\n"
	  "550 5.7.1 registered - gsmtp",
		REPLY_MEND, "relaying" },
	{ "550-5.7.1 [192.0.2.1] The IP you're using to send mail is not authorized to\n"
	  "550 5.7.1 send email directly to our servers. - gsmtp",
		REPLY_MEND, "network address" },
	{ "550-5.7.25 [192.0.2.1] The IP address sending this message does not have a "
	  "PTR record\n550 5.7.25 setup - gsmtp",
		REPLY_MEND, "network address" },
	{ "550-5.7.26 Unauthenticated email from example.com is not accepted due to\n"
	  "550 5.7.26 domain's DMARC policy. - gsmtp",
		REPLY_REFUSE, NULL },
	{ "550-5.7.1 [192.0.2.1      12] Our system has detected that this message is\n"
	  "550 5.7.1 likely unsolicited mail. - gsmtp",
		REPLY_REFUSE, NULL },
	{ "550-5.1.1 The email account that you tried to reach does not exist.\n"
	  "550 5.1.1 - gsmtp",
		REPLY_REFUSE, NULL },
	{ "552 5.2.2 The email account that you tried to reach is over quota.",
		REPLY_REFUSE, NULL },
	{ "452 4.2.2 The email account that you tried to reach is over quota.",
		REPLY_RETRY, NULL },
	{ "534 5.7.9 Application-specific password required.", REPLY_MEND,
		"credentials" },
	/* Microsoft */
	{ "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. "
	  "(AS77712300)",
		REPLY_THROTTLE, NULL },
	{ "451 4.7.550 Access denied, please try again later. (AS3110)", REPLY_THROTTLE,
		NULL },
	{ "451 4.7.651 The mail server [192.0.2.1] has been temporarily rate limited due "
	  "to IP reputation. (S3114)",
		REPLY_THROTTLE, NULL },
	{ "421 4.3.2 The maximum number of concurrent connections per source has "
	  "exceeded "
	  "a limit, closing transmission channel",
		REPLY_THROTTLE, NULL },
	{ "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", REPLY_THROTTLE,
		NULL },
	{ "550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal "
	  "from this list please visit https://sender.office.com/ (AS16012609)",
		REPLY_MEND, "network address" },
	{ "550 5.7.708 Service unavailable. Access denied, traffic not accepted from "
	  "this "
	  "IP. (AS843)",
		REPLY_MEND, "network address" },
	{ "550 5.7.1 Unfortunately, messages from [192.0.2.1] weren't sent. Please "
	  "contact "
	  "your Internet service provider since part of their network is on our block "
	  "list (S3140).",
		REPLY_MEND, "network address" },
	{ "550 5.7.1 Service unavailable, Client host [192.0.2.1] blocked using "
	  "Spamhaus.",
		REPLY_MEND, "network address" },
	{ "550 5.7.64 TenantAttribution; Relay Access Denied", REPLY_MEND, "relaying" },
	{ "550 5.4.1 Recipient address rejected: Access denied. AS(201806281)",
		REPLY_REFUSE, NULL },
	{ "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
		REPLY_MEND, "sender" },
	{ "554 5.2.252 SendAsDenied; a@b.c not allowed to send as c@d.e", REPLY_MEND,
		"sender" },
	{ "550 5.7.30 Basic authentication is not supported for Client Submission.",
		REPLY_MEND, "credentials" },
	{ "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain", REPLY_MEND,
		"relaying" },
	/* Postfix and others */
	{ "554 5.7.1 <a@b.c>: Relay access denied", REPLY_MEND, "relaying" },
	{ "454 4.7.1 <a@b.c>: Relay access denied", REPLY_MEND, "relaying" },
	{ "550 relay not permitted", REPLY_MEND, "relaying" },
	{ "554 5.7.1 <host[192.0.2.1]>: Client host rejected: Access denied", REPLY_MEND,
		"network address" },
	{ "504 5.5.2 <x>: Helo command rejected: need fully-qualified hostname",
		REPLY_MEND, "hostname" },
	{ "553 5.7.1 <a@b.c>: Sender address rejected: not owned by user x", REPLY_MEND,
		"sender" },
	{ "421 4.7.0 mx Error: too many connections from 192.0.2.1", REPLY_THROTTLE,
		NULL },
	{ "450 4.7.1 Error: too much mail from 192.0.2.1", REPLY_THROTTLE, NULL },
	{ "450 4.2.0 <a@b.c>: Recipient address rejected: Greylisted", REPLY_RETRY,
		NULL },
	{ "450 4.1.8 <a@b.c>: Sender address rejected: Domain not found", REPLY_RETRY,
		NULL },
	{ "451 4.7.1 Service unavailable; blocked using x", REPLY_RETRY, NULL },
	{ "550 5.1.1 <a@b.c>: Recipient address rejected: User unknown", REPLY_REFUSE,
		NULL },
	{ "550 Access denied - invalid recipient", REPLY_REFUSE, NULL },
	{ "552 5.3.4 Message size exceeds fixed limit", REPLY_REFUSE, NULL },
	{ "552 Too many recipients", REPLY_RETRY, NULL },
	{ "552 5.5.3 too many recipients", REPLY_RETRY, NULL },
	{ "550 5.5.3 too many recipients", REPLY_REFUSE, NULL },
	/* Nobody's */
	{ "499 what", REPLY_RETRY, NULL },
	{ "599 what", REPLY_REFUSE, NULL },
};

static void test_known_texts(void **unused)
{
	(void)unused;
	struct reply reply;
	reply_init(&reply);
	for (size_t i = 0; i < G_N_ELEMENTS(known); i++) {
		const char *advice;
		assert_true(feed(&reply, known[i].in));
		enum reply_kind kind = reply_classify(&reply, &advice);
		g_autofree char *hold = reply_hold(&reply);
		if (kind != known[i].kind || g_strcmp0(hold, known[i].hold) != 0)
			fail_msg("\"%s\": %d, %s", known[i].in, kind, hold);
		assert_true(kind != REPLY_MEND || (hold && advice));
		assert_true(kind == REPLY_MEND || !hold);
	}
	reply_deinit(&reply);
}

/* What stands in a reply is a stranger's: the hold made of it is short and clean. */
static void test_hold_is_clean(void **unused)
{
	(void)unused;
	static const char head[] =
		"554 Email address is not verified. The following identities failed the "
		"check in region X: ";
	g_autofree char *label = g_strnfill(300, 'a');
	const struct {
		const char *list, *want;
	} cases[] = {
		{ "a@b\x1b[31m.c", "sender" },
		{ "a@\xc3\xbc.de, b@c.de", "sender c.de" },
		{ label, "sender" },
		{ "@, @., ..., a b c, <>", "sender" },
		{ "a@b.c: d", "sender b.c" },
		{ "a@b.c.", "sender b.c" },
	};
	struct reply reply;
	reply_init(&reply);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autofree char *line = g_strconcat(head, cases[i].list, NULL);
		assert_true(feed(&reply, line));
		g_autofree char *hold = reply_hold(&reply);
		assert_string_equal(hold, cases[i].want);
	}
	reply_deinit(&reply);
}

static void test_hold_of_session(void **unused)
{
	(void)unused;
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "554 5.7.1 No service for you", "connection" },
		{ "554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using "
		  "x",
			"network address" },
		{ "535 no", "credentials" },
		{ "421 later", NULL },
		{ "454 4.7.0 Temporary authentication failure", NULL },
		{ "220 hello", NULL },
	};
	struct reply reply;
	reply_init(&reply);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		assert_true(feed(&reply, cases[i].in));
		g_autofree char *hold = reply_hold_session(&reply);
		if (g_strcmp0(hold, cases[i].want) != 0)
			fail_msg("\"%s\": %s", cases[i].in, hold);
	}
	reply_deinit(&reply);
}

static void test_failure(void **unused)
{
	(void)unused;
	struct failure failure = { 0 };
	failure_set(&failure, REPLY_MEND, 535, "no", "advice");
	failure_set_hold(&failure, g_strdup("credentials"));
	assert_string_equal(failure.hold, "credentials");
	/* Its own text may be what it is set to again. */
	failure_set(&failure, REPLY_RETRY, 0, failure.text, NULL);
	assert_string_equal(failure.text, "no");
	assert_null(failure.hold);
	failure_clear(&failure);
	assert_null(failure.text);
}

static void test_message_id(void **unused)
{
	(void)unused;
	static const struct {
		const char *in, *want;
	} cases[] = {
		{ "250 Ok 0102018e1b2c3d4e-6c5f0f4e-1b2c-4d5e-8f90-a1b2c3d4e5f6-000000",
			"0102018e1b2c3d4e-6c5f0f4e-1b2c-4d5e-8f90-a1b2c3d4e5f6-000000" },
		{ "250 2.0.0 Ok: queued as 4XkT6Y1zQnz9s", "4XkT6Y1zQnz9s" },
		{ "250 OK id=1qXyZ2-0001Ab-Cd", "1qXyZ2-0001Ab-Cd" },
		{ "250 2.0.0 Ok 0102018e1b2c3d4e-6c5f", "0102018e1b2c3d4e-6c5f" },
		{ "250 Ok", NULL },
		{ "250 Ok thanks", NULL },
		{ "250 Ok thank you very much indeed", NULL },
		{ "250 2.0.0 Ok: queued as ", NULL },
		{ "250 queued as <bad\"id", NULL },
		{ "251 Ok 0102018e1b2c3d4e-6c5f", NULL },
	};
	struct reply reply;
	reply_init(&reply);
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		assert_true(feed(&reply, cases[i].in));
		g_autofree char *id = reply_message_id(&reply);
		if (g_strcmp0(id, cases[i].want) != 0)
			fail_msg("\"%s\": %s", cases[i].in, id ? id : "none");
	}
	reply_deinit(&reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_nul_does_not_hide_text),
		cmocka_unit_test(test_text_is_bounded),
		cmocka_unit_test(test_classify),
		cmocka_unit_test(test_known_texts),
		cmocka_unit_test(test_hold_is_clean),
		cmocka_unit_test(test_hold_of_session),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_message_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
