/* DATA and BDAT in every mixture; From as the message has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/queue/spool.h"
#include "replay.h"
#include <string.h>

static const struct session_case cases[] = {
	/* BDAT */
	{ "one chunk", &mx, BEGIN "BDAT 3 LAST\r\na\r\nQUIT\r\n",
		BEGUN "250 2.0.0|221 2.0.0|", ENVELOPE "data [a\r\n]|" },
	{ "chunks", &mx, BEGIN "BDAT 2\r\na\rbdat 1\r\n\nBDAT 4 last\r\nbc\r\n",
		BEGUN "250 2.0.0|250 2.0.0|250 2.0.0|", ENVELOPE "data [a\r\nbc\r\n]|" },
	{ "an empty last chunk", &mx, BEGIN "BDAT 3\r\na\r\nBDAT 0 LAST\r\nNOOP\r\n",
		BEGUN "250 2.0.0|250 2.0.0|250 2.0.0|", ENVELOPE "data [a\r\n]|" },
	{ "an empty chunk within", &mx,
		BEGIN "BDAT 0\r\nBDAT 3\r\na\r\nBDAT 0\r\nBDAT 0 LAST\r\n",
		BEGUN "250 2.0.0|250 2.0.0|250 2.0.0|250 2.0.0|",
		ENVELOPE "data [a\r\n]|" },
	{ "an empty message", &mx, BEGIN "BDAT 0 LAST\r\n", BEGUN "250 2.0.0|",
		ENVELOPE "data []|" },
	{ "zeros before the size, blanks round it", &mx,
		BEGIN "BDAT   00000000000000000003   LAST  \r\na\r\n", BEGUN "250 2.0.0|",
		ENVELOPE "data [a\r\n]|" },
	{ "dots are text", &mx, BEGIN "BDAT 13 LAST\r\n..\r\n.\r\n.a\r\n\r\n",
		BEGUN "250 2.0.0|", ENVELOPE "data [..\r\n.\r\n.a\r\n\r\n]|" },
	{ "commands in chunks are data", &mx, BEGIN "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
		BEGUN "250 2.0.0|250 2.0.0|", ENVELOPE "data [QUIT\r\n]|" },
	{ "a last line without its end gets it", &mx, BEGIN "BDAT 1 LAST\r\na",
		BEGUN "250 2.0.0|", ENVELOPE "data [a\r\n]|" },
	{ "though a chunk before it ended well", &mx,
		BEGIN "BDAT 3\r\na\r\nBDAT 1 LAST\r\n.", BEGUN "250 2.0.0|250 2.0.0|",
		ENVELOPE "data [a\r\n.\r\n]|" },
	{ "strict: a bare LF", &mx, BEGIN "BDAT 3 LAST\r\na\nb" MAIL,
		BEGUN "550 5.5.2|250 2.1.0|", ENVELOPE "drop 550|reset|mail <a@b> 0|" },
	{ "strict: a bare CR at the end", &mx, BEGIN "BDAT 2 LAST\r\na\r",
		BEGUN "550 5.5.2|", ENVELOPE "drop 550|reset|" },
	{ "strict: a bare CR between chunks", &mx,
		BEGIN "BDAT 2\r\na\rBDAT 3 LAST\r\nb\r\n", BEGUN "250 2.0.0|550 5.5.2|",
		ENVELOPE "drop 550|reset|" },
	{ "standard: made good", &plain, BEGIN "BDAT 6 LAST\r\na\nb\rc\r",
		BEGUN "250 2.0.0|",
		ENVELOPE "!data_bare_lf|!data_bare_cr|data [a\r\nb c\r\n]|" },
	{ "8-bit", &mx, BEGIN "BDAT 4 LAST\r\n\xc3\xa4\r\n", BEGUN "250 2.0.0|",
		ENVELOPE "data 8bit [\xc3\xa4\r\n]|" },
	{ "two messages", &mx,
		BEGIN "BDAT 3 LAST\r\n1\r\n" MAIL RCPT "BDAT 3 LAST\r\n2\r\n",
		BEGUN "250 2.0.0|250 2.1.0|250 2.1.5|250 2.0.0|",
		ENVELOPE "data [1\r\n]|" ENVELOPE "data [2\r\n]|" },
	{ "DATA, then BDAT, for the next", &mx,
		OPEN ".\r\n" MAIL RCPT "BDAT 0 LAST\r\n" MAIL RCPT "DATA\r\n.\r\n",
		OPENED "250 2.0.0|250 2.1.0|250 2.1.5|250 2.0.0|250 2.1.0|250 2.1.5|354|"
		       "250 2.0.0|",
		NULL },
	/* order */
	{ "RSET ends it", &mx, BEGIN "BDAT 1\r\naRSET\r\n" MAIL RCPT "BDAT 1 LAST\r\nb",
		BEGUN "250 2.0.0|250 2.0.0|250 2.1.0|250 2.1.5|250 2.0.0|",
		ENVELOPE "reset|" ENVELOPE "data [b\r\n]|" },
	{ "so do EHLO and QUIT", &mx,
		BEGIN "BDAT 1\r\na" HELLO MAIL RCPT "BDAT 1\r\naQUIT\r\n",
		BEGUN "250 2.0.0|250|250 2.1.0|250 2.1.5|250 2.0.0|221 2.0.0|",
		ENVELOPE "reset|" ENVELOPE "reset|" },
	{ "nothing but BDAT within it", &mx,
		BEGIN "BDAT 1\r\naDATA\r\n" MAIL RCPT
		      "STARTTLS\r\nNOOP\r\nBDAT 1 LAST\r\nb",
		BEGUN "250 2.0.0|503 5.5.1|503 5.5.1|503 5.5.1|503 5.5.1|250 2.0.0|250 "
		      "2.0.0|",
		ENVELOPE "data [ab\r\n]|" },
	{ "before EHLO", &mx, "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
		"220|503 5.5.1|250 2.0.0|", "" },
	{ "before MAIL", &mx, HELLO "BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n" BEGIN,
		HELLOED "503 5.5.1|503 5.5.1|250|250 2.1.0|250 2.1.5|", ENVELOPE },
	{ "before RCPT", &mx,
		HELLO MAIL "BDAT 6\r\nQUIT\r\n" RCPT "BDAT 1 LAST\r\naBDAT 1 LAST\r\na",
		HELLOED "250 2.1.0|503 5.5.1|503 5.5.1|503 5.5.1|503 5.5.1|",
		"mail <a@b> 0|reset|" },
	{ "whole, before RCPT", &mx,
		HELLO MAIL "BDAT 6 LAST\r\nQUIT\r\n" RCPT "BDAT 1 LAST\r\na",
		HELLOED "250 2.1.0|503 5.5.1|250 2.1.5|250 2.0.0|",
		ENVELOPE "data [a\r\n]|" },
	{ "no recipient left", &mx,
		HELLO MAIL "RCPT TO:<no@d>\r\nBDAT 6 LAST\r\nQUIT\r\nRSET\r\n",
		HELLOED "250 2.1.0|550 5.1.1|503 5.5.1|250 2.0.0|",
		"mail <a@b> 0|reset|" },
	{ "behind LAST", &mx, BEGIN "BDAT 1 LAST\r\naBDAT 6 LAST\r\nQUIT\r\n" MAIL,
		BEGUN "250 2.0.0|503 5.5.1|250 2.1.0|",
		ENVELOPE "data [a\r\n]|mail <a@b> 0|" },
	{ "TLS first", &submit, HELLO "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
		HELLOED "530 5.7.0|250 2.0.0|", "" },
	{ "AUTH first", &submits, HELLO "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n",
		HELLOED "503 5.5.1|250 2.0.0|", "" },
	{ "DATA of a recipient, BDAT of none", &mx, BEGIN "DATA\r\nBDAT 1\r\n.\r\n",
		OPENED "250 2.0.0|", ENVELOPE "data [BDAT 1\r\n]|" },
	/* size */
	{ "declared too large", &mx,
		BEGIN "BDAT 1001 LAST\r\n" X500 X500 "xNOOP\r\n" MAIL,
		BEGUN "552 5.3.4|250 2.0.0|250 2.1.0|",
		ENVELOPE "drop 552|reset|mail <a@b> 0|" },
	{ "too large together", &mx,
		BEGIN "BDAT 500\r\n" X500 "BDAT 501\r\n" X500 "xBDAT 1\r\nxBDAT 6 "
		      "LAST\r\nQUIT\r\n" MAIL,
		BEGUN "250 2.0.0|552 5.3.4|552 5.3.4|552 5.3.4|250 2.1.0|",
		ENVELOPE "drop 552|reset|mail <a@b> 0|" },
	{ "too large, then RSET", &mx, BEGIN "BDAT 1001\r\n" X500 X500 "xRSET\r\n" MAIL,
		BEGUN "552 5.3.4|250 2.0.0|250 2.1.0|",
		ENVELOPE "drop 552|reset|mail <a@b> 0|" },
	{ "nothing else behind a failed chunk", &mx,
		BEGIN "BDAT 1001\r\n" X500 X500 "xDATA\r\n" MAIL RCPT
		      "BDAT 0 LAST\r\n" MAIL,
		BEGUN "552 5.3.4|503 5.5.1|503 5.5.1|503 5.5.1|552 5.3.4|250 2.1.0|",
		ENVELOPE "drop 552|reset|mail <a@b> 0|" },
	{ "as large as may be", &mx,
		BEGIN "BDAT 1000 LAST\r\n" X500 X100 X100 X100 X100 X10 X10 X10 X10 X10
			X10 X10 X10 X10 "xxxxxxxx\r\n",
		BEGUN "250 2.0.0|", NULL },
	{ "as large as may be, the line end that is added aside", &mx,
		BEGIN "BDAT 1000 LAST\r\n" X500 X500 MAIL, BEGUN "250 2.0.0|250 2.1.0|",
		NULL },
	{ "too large without it", &mx,
		BEGIN "BDAT 500\r\n" X500 "BDAT 501 LAST\r\n" X500 "x",
		BEGUN "250 2.0.0|552 5.3.4|", NULL },
	/* syntax */
	{ "no size", &mx, HELLO "BDAT\r\nBDAT x\r\nBDAT -1\r\nBDAT LAST\r\n" BEGIN,
		HELLOED
		"503 5.5.1|503 5.5.1|503 5.5.1|503 5.5.1|250|250 2.1.0|250 2.1.5|",
		ENVELOPE },
	{ "no size that is one", &mx, BEGIN "BDAT\r\nBDAT 1 LAST\r\naRSET\r\n",
		BEGUN "501 5.5.4|501 5.5.4|250 2.0.0|", ENVELOPE "reset|" },
	{ "a sign", &mx, BEGIN "BDAT +1 LAST\r\nBDAT 1 LAST\r\na",
		BEGUN "501 5.5.4|250 2.0.0|", ENVELOPE "data [a\r\n]|" },
	{ "another word than LAST", &mx,
		BEGIN "BDAT 6 FIRST\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n" MAIL,
		BEGUN "501 5.5.4|501 5.5.4|250 2.1.0|", ENVELOPE "reset|mail <a@b> 0|" },
	{ "a word behind LAST, within a message", &mx,
		BEGIN "BDAT 1\r\naBDAT 6 LAST LAST\r\nQUIT\r\nBDAT 6 LAST\r\nQUIT\r\n",
		BEGUN "250 2.0.0|501 5.5.4|501 5.5.4|", ENVELOPE "drop 501|reset|" },
	{ "beyond numbers", &mx, BEGIN "BDAT 99999999999999999999 LAST\r\n" MAIL,
		BEGUN "501 5.5.4|", ENVELOPE },
	{ "beyond numbers, at any time", &mx, "BDAT 18446744073709551616\r\nNOOP\r\n",
		"220|501 5.5.4|", "" },
	{ "the largest number", &mx, BEGIN "BDAT 18446744073709551615 LAST\r\n" MAIL,
		BEGUN, ENVELOPE "drop 552|" },
	{ "too long a line", &mx, BEGIN "BDAT 1 " X500 X10 "\r\nNOOP\r\n",
		BEGUN "501 5.5.4|", ENVELOPE },
	{ "a line that ends with a bare LF", &mx, BEGIN "BDAT 6 LAST\nQUIT\r\n" MAIL,
		BEGUN "501 5.5.4|", ENVELOPE },
	{ "a line with a bare LF, too long", &plain,
		BEGIN "bdat 1 \n" X500 X10 "\r\nNOOP\r\n", BEGUN "501 5.5.4|", ENVELOPE },
	{ "legacy: blanks before a line that is too long", &lan,
		BEGIN " BDAT 1 " X500 X10 "\r\nNOOP\r\n", BEGUN "501 5.5.4|", ENVELOPE },
	{ "control characters", &mx, BEGIN "BDAT 1 LAST \x01\r\naNOOP\r\nRSET\r\n",
		BEGUN "500 5.5.2|250 2.0.0|250 2.0.0|", ENVELOPE "reset|" },
	/* From */
	{ "From, by DATA", &mx, OPEN "From: A <a@b>\r\n\r\nFrom: no\r\n.\r\n",
		OPENED "250 2.0.0|",
		ENVELOPE "data [From: A <a@b>\r\n\r\nFrom: no\r\n]|from [A <a@b>]|" },
	{ "From, by BDAT and without an end", &mx,
		BEGIN "BDAT 4\r\nFrOmBDAT 7 LAST\r\n :\r\n a@",
		BEGUN "250 2.0.0|250 2.0.0|",
		ENVELOPE "data [FrOm :\r\n a@\r\n]|from [a@]|" },
	{ "From twice, line ends made good", &plain,
		OPEN "From: a@b\nfrom: c@d\r\n\r\n.\r\n", OPENED "250 2.0.0|",
		ENVELOPE "!data_bare_lf|data [From: a@b\r\nfrom: "
			 "c@d\r\n\r\n]|from [a@b, c@d]|" },
	{ "a dot before From", &mx, OPEN "..From: a@b\r\n.From: c@d\r\n.\r\n",
		OPENED "250 2.0.0|",
		ENVELOPE "data [.From: a@b\r\nFrom: c@d\r\n]|from [c@d]|" },
};

static void every_read_size(void **state)
{
	(void)state;
	replay(cases, G_N_ELEMENTS(cases), NULL);
}

static void run(struct dialog *d, const struct conf_listener *listener, const char *in)
{
	dialog_run(d, listener, in, strlen(in), strlen(in));
}

static void what_is_said(void **state)
{
	(void)state;
	struct dialog d = { 0 };
	run(&d, &mx, BEGIN "BDAT 12\r\nxxxxxxxxxx\r\nBDAT 0 LAST\r\n");
	assert_non_null(
		strstr(d.replies->str, "\r\n250 2.0.0 12 octets received\r\n250 2.0.0 "
				       "Ok: queued as ID\r\n"));
	dialog_clear(&d);
}

/* What the log has: the verb alone, and nothing that the owner has said itself. */
static void what_the_log_has(void **state)
{
	(void)state;
	static const struct {
		const char *in, *refusals;
	} told[] = {
		{ HELLO "BDAT 6 LAST\r\nsecret", "503 BDAT|" },
		{ BEGIN "BDAT 6 secret\r\nsecretBDAT 1\r\nx", "501 BDAT|" },
		{ BEGIN "BDAT x\r\n", "501 BDAT|" },
		{ BEGIN "BDAT 1001 LAST\r\n" X500 X500 "x", "" },
		{ "BDAT 99999999999999999999\r\n", "501 BDAT|" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(told); i++) {
		for (size_t piece = strlen(told[i].in); piece > 0; piece--) {
			struct dialog d = { 0 };
			dialog_run(&d, &mx, told[i].in, strlen(told[i].in), piece);
			assert_string_equal(d.refusals->str, told[i].refusals);
			dialog_clear(&d);
		}
	}
}

static void the_owner_says_no(void **state)
{
	(void)state;
	struct dialog refused = { .data_begin = REPLY_NO_ROOM };
	run(&refused, &mx, BEGIN "BDAT 1\r\naBDAT 6 LAST\r\nQUIT\r\n" MAIL);
	assert_string_equal(refused.codes->str, BEGUN "452 4.3.1|452 4.3.1|250 2.1.0|");
	assert_string_equal(refused.events->str, ENVELOPE "reset|mail <a@b> 0|");
	dialog_clear(&refused);
	struct dialog whole = { .data_begin = REPLY_NO_ROOM };
	run(&whole, &mx, BEGIN "BDAT 6 LAST\r\nQUIT\r\nRSET\r\n");
	assert_string_equal(whole.codes->str, BEGUN "452 4.3.1|250 2.0.0|");
	assert_string_equal(whole.events->str, ENVELOPE "reset|");
	dialog_clear(&whole);
	struct dialog lost = { .data_done = REPLY_LOCAL_ERROR };
	run(&lost, &mx, BEGIN "BDAT 0 LAST\r\nNOOP\r\n");
	assert_string_equal(lost.codes->str, BEGUN "451 4.3.0|250 2.0.0|");
	dialog_clear(&lost);
}

static void feed(struct dialog *d, const char *text)
{
	assert_int_equal(smtp_session_feed(d->session, text, strlen(text)), strlen(text));
}

static void storage_fails(void **state)
{
	(void)state;
	struct dialog between = { 0 };
	run(&between, &mx, BEGIN "BDAT 1\r\na");
	assert_true(smtp_session_in_data(between.session));
	smtp_session_data_failed(between.session, REPLY_NO_ROOM);
	feed(&between, "BDAT 1\r\nbBDAT 0 LAST\r\nNOOP\r\n");
	assert_string_equal(smtp_session_output(between.session)->str,
		"452 4.3.1 Insufficient storage, try again later\r\n"
		"452 4.3.1 Insufficient storage, try again later\r\n250 2.0.0 Ok\r\n");
	assert_string_equal(between.events->str, ENVELOPE "drop 452|reset|");
	assert_false(smtp_session_in_data(between.session));
	dialog_clear(&between);
	struct dialog within = { 0 };
	run(&within, &mx, BEGIN "BDAT 2 LAST\r\na");
	smtp_session_data_failed(within.session, REPLY_NO_ROOM);
	feed(&within, "bNOOP\r\n");
	assert_string_equal(smtp_session_output(within.session)->str,
		"452 4.3.1 Insufficient storage, try again later\r\n250 2.0.0 Ok\r\n");
	dialog_clear(&within);
}

static void draining(void **state)
{
	(void)state;
	struct dialog d = { .drain_in_data = true };
	static const char in[] = BEGIN "BDAT 1\r\naBDAT 1 LAST\r\nb" MAIL;
	dialog_run(&d, &mx, in, strlen(in), 1);
	assert_string_equal(d.codes->str, BEGUN "250 2.0.0|250 2.0.0|421 4.3.2|");
	dialog_clear(&d);
}

static size_t count_of(const char *text, const char *what)
{
	size_t n = 0;
	for (; (text = strstr(text, what)); text++)
		n++;
	return n;
}

/* Chunks of nothing, and chunks of what was refused, are idle commands and no more:
 * neither goes on for ever, and a pipeline that was under way is read to its end. */
static void floods_end(void **state)
{
	(void)state;
	static const struct {
		const char *start, *chunk, *code;
		size_t answered;
	} floods[] = {
		{ BEGIN, "BDAT 0\r\n", "|250 2.0.0", 99 },
		{ BEGIN "BDAT 5 x\r\naaaaa", "BDAT 0\r\n", "|501 5.5.4", 100 },
		{ BEGIN "BDAT 5 x\r\naaaaa", "BDAT 0 \x01\r\n", "|501 5.5.4", 100 },
		{ HELLO, "BDAT 0\r\n", "|503 5.5.1", 20 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(floods); i++) {
		g_autoptr(GString) in = g_string_new(floods[i].start);
		for (size_t n = 0; n < 150; n++)
			g_string_append(in, floods[i].chunk);
		struct dialog d = { 0 };
		run(&d, &mx, in->str);
		assert_int_equal(
			count_of(d.codes->str, floods[i].code), floods[i].answered);
		assert_true(g_str_has_suffix(d.codes->str, "421 4.7.0|"));
		dialog_clear(&d);
	}
}

/* More From than is kept: said, so that nothing passes unseen. */
static void a_long_from(void **state)
{
	(void)state;
	static const struct conf_listener large = { .name = "large",
		.max_message_size = 100000,
		.max_recipients = 3,
		.max_errors = 20,
		.max_idle_commands = 100 };
	g_autofree char *name = g_strnfill(9000, 'x');
	g_autofree char *in = g_strdup_printf(OPEN "From: %s\r\n\r\n.\r\n", name);
	for (size_t piece = strlen(in); piece > 0; piece /= 3) {
		struct dialog d = { 0 };
		dialog_run(&d, &large, in, strlen(in), piece);
		assert_true(g_str_has_suffix(d.events->str, "|from too long|"));
		dialog_clear(&d);
	}
}

/* How the message with a header of n octets and its empty line is answered. */
static char *answer_to_header(const struct conf_listener *listener, size_t n, bool ends)
{
	static const char line[] = "X-Line: 0123456789abcdef0123456789abcdef\r\n";
	g_autoptr(GString) in = g_string_new(OPEN);
	size_t begin = in->len;
	while (in->len - begin + 2 * strlen(line) < n)
		g_string_append(in, line);
	g_string_append(in, "X-Last: ");
	while (in->len - begin + 4 < n)
		g_string_append_c(in, 'x');
	g_string_append(in, ends ? "\r\n\r\n" : "xx\r\n");
	g_string_append(in, "a\r\n.\r\nNOOP\r\n");
	struct dialog d = { .room = 65536 };
	dialog_run(&d, listener, in->str, in->len, 4000);
	assert_true(g_str_has_suffix(d.codes->str, "|250 2.0.0|"));
	char *answer = g_strdup(strstr(d.codes->str, "354|") + strlen("354|"));
	dialog_clear(&d);
	return answer;
}

/* What could not be sent is not taken: the limit is for the header alone. */
static void a_large_header(void **state)
{
	(void)state;
	static const struct conf_listener large = { .name = "large",
		.max_message_size = 10000000,
		.max_recipients = 3,
		.max_errors = 20,
		.max_idle_commands = 100 };
	struct conf_listener legacy = large, strict = large;
	legacy.profile = CONF_PROFILE_LEGACY;
	strict.profile = CONF_PROFILE_STRICT;
	const struct conf_listener *listeners[] = { &large, &legacy, &strict };
	static const struct {
		size_t bytes;
		bool ends;
		const char *answer;
	} headers[] = {
		{ 1000000, true, "250 2.0.0|250 2.0.0|" },
		{ SPOOL_HEADER_BYTES_MAX - 4096, true, "250 2.0.0|250 2.0.0|" },
		{ SPOOL_HEADER_BYTES_MAX - 4095, true, "552 5.3.4|250 2.0.0|" },
		{ 3000000, true, "552 5.3.4|250 2.0.0|" },
		{ SPOOL_HEADER_BYTES_MAX, false, "552 5.3.4|250 2.0.0|" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(listeners); i++) {
		for (size_t n = 0; n < G_N_ELEMENTS(headers); n++) {
			g_autofree char *answer = answer_to_header(
				listeners[i], headers[n].bytes, headers[n].ends);
			assert_string_equal(answer, headers[n].answer);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_read_size),
		cmocka_unit_test(what_is_said),
		cmocka_unit_test(what_the_log_has),
		cmocka_unit_test(the_owner_says_no),
		cmocka_unit_test(storage_fails),
		cmocka_unit_test(draining),
		cmocka_unit_test(floods_end),
		cmocka_unit_test(a_long_from),
		cmocka_unit_test(a_large_header),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
