/* A text body that gets HTML as well: the words in HTML, and when that is done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mime/mime.h"
#include "mime/text.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct {
	const char *name;
	bool flowed, delsp;
	const char *text, *want;
} texts[] = {
	{ "lines", false, false, "a\r\n\r\nb", "a<br>\n<br>\nb<br>\n" },
	{ "escaped", false, false, "<b> & \"\xc3\xa4\"",
		"&#x3c;b&#x3e; &amp; "
		"&#x22;&#xe4;&#x22;<br>\n" },
	{ "blanks", false, false, "  a  b \tc ",
		"&#xa0;&#xa0;a &#xa0;b &#xa0;c&#xa0;<br>\n" },
	{ "a fixed line with a blank at its end", false, false, "a \nb",
		"a&#xa0;<br>\nb<br>\n" },
	{ "flowed", true, false, "a \r\nb\r\nc", "a b<br>\nc<br>\n" },
	{ "flowed, blanks deleted", true, true, "a \nb", "ab<br>\n" },
	{ "stuffed", true, false, " From x\n  y", "From x<br>\n&#xa0;y<br>\n" },
	{ "quotes are not joined", true, false, "> a \n> b \nc",
		"&#x3e; a&#xa0;<br>\n"
		"&#x3e; b&#xa0;<br>\nc<br>\n" },
	{ "nor a signature", true, false, "a\n-- \nb", "a<br>\n--&#xa0;<br>\nb<br>\n" },
	{ "nor the last line", true, false, "a \n", "a&#xa0;<br>\n" },
	{ "nothing", false, false, "", "" },
};

static void test_words(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		g_autoptr(GString) text = g_string_new(texts[i].text);
		g_autoptr(GString) html =
			text_to_html(text, texts[i].flowed, texts[i].delsp, "\n");
		g_autofree char *want = g_strdup_printf("<div>%s</div>\n", texts[i].want);

		if (strcmp(html->str, want) != 0)
			fail_msg("%s: %s", texts[i].name, html->str);
	}
}

#define MIXED                                                                            \
	"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX-Y: "    \
	"z\r\n"
#define ATTACHED "\r\n--b\r\nContent-Type: a/b; name=f\r\n\r\n1\r\n--b--\r\n"

static const struct {
	const char *name;
	const char *mail;
	bool both;
	const char *holds; /* in the result, all in this order, parted by | */
} mails[] = {
	{ "text alone", MIXED "\r\nHi\r\n-- \r\nA\r\n" ATTACHED, true,
		"X-Y: z\r\nContent-Type: multipart/alternative; boundary=|"
		"text/plain; charset=utf-8\r\n|\r\n\r\nHi\r\n\r\n1 attachment|-- "
		"\r\nA\r\n\r\n--=_|"
		"text/html; "
		"charset=utf-8|<div>Hi<br>\r\n--&#xa0;<br>\r\nA<br>\r\n</div>\r\n<table|"
		"</table>\r\n</body></html>|\r\n--b--\r\n" },
	{ "a charset of its own",
		MIXED "Content-Type: text/plain; charset=koi8-r; "
		      "format=flowed\r\n\r\n\xf0 \r\nx" ATTACHED,
		true,
		"text/plain; charset=utf-8; format=flowed|\r\n=D0=9F=20\r\nx|&#x41f; x" },
	{ "HTML stands beside it",
		MIXED
		"Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\nHi\r\n"
		"--c\r\nContent-Type: text/html\r\n\r\nHi\r\n--c--" ATTACHED,
		false, "1 attachment|1 attachment" },
	{ "an alternative without HTML",
		MIXED
		"Content-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\nHi\r\n"
		"--c\r\nContent-Type: text/calendar\r\n\r\nHi\r\n--c--" ATTACHED,
		false, "1 attachment" },
	{ "what it holds is not known", MIXED "\r\n\xf0" ATTACHED, false,
		"\r\n\xf0|1 attachment" },
	{ "it has an id", MIXED "Content-ID: <a>\r\n\r\nHi" ATTACHED, false,
		"1 attachment" },
};

static char *rewrite(const char *mail)
{
	const struct mime_link link = { .url = "https://x.example/1" };
	struct mime_settings settings;
	struct splice_reader reader;
	int fd = memfd_create("mail", MFD_CLOEXEC);

	mime_settings_init(&settings);
	settings.text_only = MIME_TEXT_ONLY_BOTH;
	assert_int_equal(write(fd, mail, strlen(mail)), strlen(mail));
	struct mime_message *message =
		mime_message_new(fd, NULL, strlen(mail), &settings, NULL);
	struct splice *splice = splice_new(strlen(mail));

	assert_true(mime_message_link(message, &link, 1, splice, NULL));
	char *result = g_malloc0(splice_bytes(splice) + 1);

	splice_reader_init(&reader, splice, fd);
	assert_int_equal(splice_read(&reader, result, splice_bytes(splice), NULL),
		splice_bytes(splice));
	splice_free(&splice);
	mime_message_free(&message);
	close(fd);
	return result;
}

static void test_both(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(mails); i++) {
		g_autofree char *result = rewrite(mails[i].mail);
		g_auto(GStrv) want = g_strsplit(mails[i].holds, "|", -1);
		const char *at = result;

		for (size_t k = 0; want[k] != NULL && at != NULL; k++) {
			at = strstr(at, want[k]);
			if (at != NULL)
				at += strlen(want[k]);
		}
		if (at == NULL ||
			(strstr(result, "=_stowage_b_") != NULL) != mails[i].both)
			fail_msg("%s:\n%s", mails[i].name, result);
	}
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
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_both),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
