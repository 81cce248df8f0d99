/* Messages whose texts name recipients: who they are, and the message without the list,
 * octet by octet; and messages that get a notice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/mime.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HEAD    "Subject: x\r\nMIME-Version: 1.0\r\n"
#define ALTER   HEAD "Content-Type: multipart/alternative; boundary=b\r\n\r\n"
#define C(list) ":W:" list ":W:"

static const struct mime_markers markers = {
	.forms = MIME_MARKER_COLON | MIME_MARKER_BRACKET, .word = "w", .max = 5
};

static const struct {
	const char *name;
	const char *mail;
	const char *want; /* addresses; '!': the reason */
	const char *left; /* NULL: the message as it was */
} cases[] = {
	{ "plain", "Subject: x\r\n\r\na " C("x@y.example") " b\r\n", "x@y.example",
		"Subject: x\r\n\r\na  b\r\n" },
	{ "lines in LF", "Subject: x\n\na\n" C("x@y.\nexample") "\nb\n", "x@y.example",
		"Subject: x\n\na\nb\n" },
	{ "stale fields go",
		"Lines: 1\r\nContent-Length: 20\r\nX: y\r\n\r\n" C("x@y.example") "!\r\n",
		"x@y.example", "X: y\r\n\r\n!\r\n" },
	{ "quoted-printable, over a soft break",
		HEAD "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		     "=C3=A4 :=57:x@y.exa=\r\nmple=2Cz=40y.example:W: b\r\n=\r\nc\r\n",
		"x@y.example z@y.example",
		HEAD "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		     "=C3=A4  b\r\n=\r\nc\r\n" },
	{ "quoted-printable, no blank at the end",
		HEAD "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		     "a " C("x@y.example") "\r\nb\r\n",
		"x@y.example",
		HEAD "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		     "a =\r\n\r\nb\r\n" },
	{ "quoted-printable, no long line",
		HEAD "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		     "0123456789012345678901234567890123456789:W:x@y.exam=\r\n"
		     "ple:W:0123456789012345678901234567890123456789\r\n",
		"x@y.example",
		HEAD "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		     "0123456789012345678901234567890123456789=\r\n"
		     "0123456789012345678901234567890123456789\r\n" },
	/* "a :W:x@y.example:W: b" */
	{ "base64",
		HEAD "Content-Transfer-Encoding: base64\r\n\r\n"
		     "YSA6Vzp4QHkuZXhhbXBs\r\nZTpXOiBi\r\n",
		"x@y.example",
		HEAD "Content-Transfer-Encoding: base64\r\n\r\nYSAgYg==\r\n" },
	/* the same in UTF-16LE */
	{ "UTF-16",
		HEAD "Content-Type: text/plain; charset=utf-16le\r\n"
		     "Content-Transfer-Encoding: base64\r\n\r\n"
		     "YQAgADoAVwA6AHgAQAB5AC4AZQB4AGEAbQBwAGwAZQA6AFcAOgAgAGIA\r\n",
		"x@y.example",
		HEAD "Content-Type: text/plain; charset=utf-16le\r\n"
		     "Content-Transfer-Encoding: base64\r\n\r\nYQAgACAAYgA=\r\n" },
	{ "ISO-2022-JP",
		HEAD "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n"
		     "\x1b$B$\"\x1b(B" C("x@y.example") "\x1b$B$$\x1b(B\r\n",
		"x@y.example",
		HEAD "Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n"
		     "\x1b$B$\"$$\x1b(B\r\n" },
	{ "undeclared 8-bit", "Subject: x\r\n\r\n\xe4 " C("x@y.example") " \xf6\r\n",
		"x@y.example", "Subject: x\r\n\r\n\xe4  \xf6\r\n" },
	{ "text and HTML",
		ALTER "--b\r\n\r\nHi " C(
			"x@y.example") "\r\n--b\r\nContent-Type: text/html\r\n\r\n"
				       "<p>Hi W:[<a "
				       "href=\"mailto:x@y.example\">X@y.example</"
				       "a>]<br>:W:</p>\r\n"
				       "--b--\r\n",
		"x@y.example",
		ALTER "--b\r\n\r\nHi \r\n--b\r\nContent-Type: text/html\r\n\r\n"
		      "<p>Hi </p>\r\n--b--\r\n" },
	{ "HTML alone has it",
		ALTER "--b\r\n\r\nHi\r\n--b\r\nContent-Type: text/html\r\n\r\n" C(
			"x@y.example") "\r\n--b--\r\n",
		"x@y.example",
		ALTER
		"--b\r\n\r\nHi\r\n--b\r\nContent-Type: text/html\r\n\r\n\r\n--b--\r\n" },
	{ "text and HTML differ",
		ALTER
		"--b\r\n\r\n" C("x@y.example") "\r\n--b\r\nContent-Type: "
					       "text/html\r\n\r\n" C(
						       "z@y.example") "\r\n--b--\r\n",
		"!different recipients", NULL },
	{ "no delimiter comes about",
		HEAD "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
		     "x\r\n--" C("x@y.example") "b--\r\ny\r\n--b--\r\n",
		"x@y.example",
		HEAD "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
		     "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		     "x\r\n=2D-b--\r\ny\r\n--b--\r\n" },
	{ "not in what is signed",
		HEAD "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" C(
			"x@y.example") "\r\n--b\r\nContent-Type: "
				       "application/pgp-signature\r\n\r\n"
				       "x\r\n--b--\r\n",
		"!stays as it is", NULL },
	{ "not in an attached text",
		HEAD "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
		     "Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\n" C(
			     "x@y.example") "\r\n--b--\r\n",
		"!no list", NULL },
	{ "none", "Subject: x\r\n\r\nHello\r\n", "!no list", NULL },
};

static struct mime_message *open_mail(const char *mail, int *fd)
{
	const struct mime_output output = { 0 };
	struct mime_settings settings;

	mime_settings_init(&settings);
	*fd = memfd_create("mail", MFD_CLOEXEC);
	assert_int_equal(write(*fd, mail, strlen(mail)), strlen(mail));
	struct mime_message *message =
		mime_message_new(*fd, NULL, strlen(mail), &settings, NULL);

	assert_non_null(message);
	assert_true(mime_message_extract(message, &output, NULL));
	return message;
}

static char *link_mail(struct mime_message *message, const char *mail, int fd)
{
	struct splice *splice = splice_new(strlen(mail));
	struct splice_reader reader;
	char *result;

	assert_true(mime_message_link(message, NULL, 0, splice, NULL));
	result = g_malloc0(splice_bytes(splice) + 1);
	splice_reader_init(&reader, splice, fd);
	assert_int_equal(splice_read(&reader, result, splice_bytes(splice), NULL),
		splice_bytes(splice));
	splice_free(&splice);
	return result;
}

static char *join(GPtrArray *addresses)
{
	GString *text = g_string_new(NULL);

	for (size_t i = 0; i < addresses->len; i++)
		g_string_append_printf(
			text, "%s%s", i > 0 ? " " : "", (char *)addresses->pdata[i]);
	return g_string_free(text, FALSE);
}

static void test_recipients(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		int fd;
		struct mime_message *message = open_mail(cases[i].mail, &fd);
		g_autoptr(GPtrArray) addresses = NULL;
		g_autofree char *reason = NULL;

		assert_true(mime_message_recipients(
			message, &markers, &addresses, &reason, NULL));
		assert_true((addresses == NULL) == (reason != NULL));
		g_autofree char *got = addresses != NULL ? join(addresses) : NULL;
		bool good = cases[i].want[0] == '!'
				    ? reason && strstr(reason, cases[i].want + 1)
				    : got && strcmp(got, cases[i].want) == 0;
		g_autofree char *left = link_mail(message, cases[i].mail, fd);
		const char *want = cases[i].left != NULL ? cases[i].left : cases[i].mail;

		if (!good || strcmp(left, want) != 0)
			fail_msg("%s: %s %s\n%s", cases[i].name, got, reason, left);
		mime_message_free(&message);
		close(fd);
	}
}

static const struct {
	const char *name;
	const char *mail;
	const char *want;
} notices[] = {
	{ "text", "Subject: x\r\n\r\nHello\r\n",
		"Subject: x\r\n\r\nNo <one>.\r\n\r\nHello\r\n" },
	{ "text and HTML",
		ALTER "--b\r\n\r\nHi\r\n--b\r\nContent-Type: "
		      "text/html\r\n\r\n<body>Hi</body>\r\n"
		      "--b--\r\n",
		ALTER
		"--b\r\n\r\nNo <one>.\r\n\r\nHi\r\n--b\r\nContent-Type: text/html\r\n\r\n"
		"<body>\r\n<p style=\"border:1px solid #8a94a3;border-radius:8px;"
		"padding:10px 14px\">No &#x3c;one&#x3e;.</p>\r\nHi</body>\r\n--b--\r\n" },
	{ "signed beside others",
		HEAD
		"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n"
		"Content-Type: multipart/signed; "
		"boundary=b\r\n\r\n--b\r\n\r\nHi\r\n--b\r\n"
		"Content-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n--a--\r\n",
		HEAD "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n"
		     "Content-Type: text/plain; charset=utf-8\r\n"
		     "Content-Transfer-Encoding: 7bit\r\n\r\nNo <one>.\r\n\r\n--a\r\n"
		     "Content-Type: multipart/signed; "
		     "boundary=b\r\n\r\n--b\r\n\r\nHi\r\n--b\r\n"
		     "Content-Type: "
		     "application/pgp-signature\r\n\r\nx\r\n--b--\r\n--a--\r\n" },
};

static void test_notices(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(notices); i++) {
		int fd;
		struct mime_message *message = open_mail(notices[i].mail, &fd);

		mime_message_set_notice(message, "No <one>.", "secret");
		g_autofree char *got = link_mail(message, notices[i].mail, fd);

		if (strcmp(got, notices[i].want) != 0)
			fail_msg("%s:\n%s", notices[i].name, got);
		mime_message_free(&message);
		close(fd);
	}
}

/* A text that cannot be edited: the notice stands before it in a part of its own, whose
 * boundary depends on what the sender cannot know. */
static void test_notice_beside(void **state)
{
	static const char mail[] =
		HEAD "Content-Type: text/plain\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n";
	char *boundaries[2];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		int fd;
		struct mime_message *message = open_mail(mail, &fd);

		mime_message_set_notice(message, "No.", i == 0 ? "one" : "two");
		g_autofree char *got = link_mail(message, mail, fd);
		const char *notice = strstr(got, "\r\n\r\nNo.\r\n");
		const char *boundary = strstr(got, "boundary=\"");

		assert_non_null(boundary);
		assert_non_null(notice);
		assert_true(notice < strstr(got, "-----BEGIN PGP"));
		boundaries[i] = g_strndup(boundary, strcspn(boundary, "\r"));
		mime_message_free(&message);
		close(fd);
	}
	assert_string_not_equal(boundaries[0], boundaries[1]);
	g_free(boundaries[0]);
	g_free(boundaries[1]);
}

static int setup(void **state)
{
	(void)state;
	mime_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_notices),
		cmocka_unit_test(test_notice_beside),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
