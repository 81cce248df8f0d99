/* rewriter: attachments out of one message, in memory when it is small, else in files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/delivery/rewriter.h"
#include "gateway/error.h"
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD                                                                             \
	"From: a@example.com\r\nMIME-Version: 1.0\r\n"                                   \
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n"                              \
	"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
#define PART(name, encoding)                                                             \
	"--b\r\nContent-Type: application/pdf; name=" name "\r\n"                        \
	"Content-Transfer-Encoding: " encoding "\r\n\r\n"
#define END "--b--\r\n"

/* A first attachment of about this many octets makes the message a large one. */
#define LARGE_BYTES ((size_t)600 * 1024)

struct message {
	int fd;
	GString *text;
	struct mime_settings settings;
};

static void message_init(struct message *message, const char *text, bool large)
{
	message->text = g_string_new(HEAD);
	if (large) {
		g_string_append(message->text, PART("large.pdf", "7bit"));
		for (size_t bytes = 0; bytes < LARGE_BYTES; bytes += 64)
			g_string_append(message->text,
				"filling of some sixty octets without their line end, "
				"it is.\r\n");
	}
	g_string_append(message->text, text);
	g_string_append(message->text, END);
	message->fd = memfd_create("message", MFD_CLOEXEC);
	assert_true(message->fd >= 0);
	assert_int_equal(write(message->fd, message->text->str, message->text->len),
		message->text->len);
	mime_settings_init(&message->settings);
}

static void message_clear(struct message *message)
{
	close(message->fd);
	g_string_free(message->text, true);
}

static struct rewriter *rewriter_of(const struct message *message)
{
	g_autoptr(GError) error = NULL;
	struct rewriter *rewriter = rewriter_new(message->fd, NULL, message->text->len,
		&message->settings, g_get_tmp_dir(), &error);
	if (!rewriter)
		fail_msg("%s", error->message);
	return rewriter;
}

/* The decoded octets, wherever they are; g_free(). */
static char *content(const struct rewriter *rewriter, size_t index, size_t bytes)
{
	const char *octets = rewriter_octets(rewriter, index);
	if (octets)
		return g_strndup(octets, bytes);
	char *text = g_malloc0(bytes + 1);
	int fd = rewriter_fd(rewriter, index);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, text, bytes + 1, 0), bytes);
	return text;
}

static struct {
	const char *name, *text;
	const char *want[4]; /* contents, NULL-ended */
} cases[] = {
	{ "one", PART("a.pdf", "base64") "b25l\r\n", { "one" } },
	{ "an empty one between others",
		PART("a.pdf", "base64") "b25l\r\n" PART("b.pdf", "base64")
			PART("c.pdf", "quoted-printable") "t=77o\r\n",
		{ "one", "", "two" } },
	{ "empty ones at the end",
		PART("a.pdf", "base64") "b25l\r\n" PART("b.pdf", "base64")
			PART("c.pdf", "base64"),
		{ "one", "", "" } },
	{ "one that stays leaves no trace",
		PART("a.pdf", "base64") "b25l\r\n" PART("b.pdf",
			"base64") "b25l!b25l\r\n" PART("c.pdf", "base64") "dHdv\r\n",
		{ "one", "two" } },
	{ "none", "", { NULL } },
};

static void check_contents(bool large)
{
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct message message;
		message_init(&message, cases[i].text, large);
		struct rewriter *rewriter = rewriter_of(&message);
		const struct mime_attachment *attachments;
		size_t first = large ? 1 : 0; /* behind the filling */
		size_t n = rewriter_attachments(rewriter, &attachments);
		if (n != first + g_strv_length((char **)cases[i].want))
			fail_msg("%s: %zu attachments", cases[i].name, n);
		for (size_t k = 0; first + k < n; k++) {
			const char *want = cases[i].want[k];
			assert_int_equal(attachments[first + k].size, strlen(want));
			g_autofree char *got = content(rewriter, first + k, strlen(want));
			if (strcmp(got, want) != 0)
				fail_msg("%s: %s, not %s", cases[i].name, got, want);
		}
		rewriter_free(&rewriter);
		assert_null(rewriter);
		message_clear(&message);
	}
}

static void small_in_memory(void **state)
{
	(void)state;
	check_contents(false);
}

static void large_in_files(void **state)
{
	(void)state;
	check_contents(true);
}

/* Which of both it is, and that a file has neither name nor other readers. */
static void where_it_lies(void **state)
{
	(void)state;
	for (int large = 0; large < 2; large++) {
		struct message message;
		message_init(&message, PART("a.pdf", "base64") "b25l\r\n", large);
		struct rewriter *rewriter = rewriter_of(&message);
		struct stat status;
		assert_int_equal(rewriter_octets(rewriter, 0) == NULL, large);
		assert_int_equal(rewriter_fd(rewriter, 0) >= 0, large);
		if (large) {
			assert_int_equal(fstat(rewriter_fd(rewriter, 0), &status), 0);
			assert_int_equal(status.st_nlink, 0);
			assert_int_equal(status.st_mode & 0777, 0600);
		}
		assert_int_equal(rewriter_fd(rewriter, 7), -1);
		rewriter_free(&rewriter);
		message_clear(&message);
	}
}

static void no_room_for_files(void **state)
{
	(void)state;
	struct message message;
	g_autoptr(GError) error = NULL;
	message_init(&message, "", true);
	struct rewriter *rewriter = rewriter_new(message.fd, NULL, message.text->len,
		&message.settings, "/nonexistent", &error);
	assert_null(rewriter);
	assert_true(g_error_matches(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY));
	assert_non_null(strstr(error->message, "/nonexistent"));
	message_clear(&message);
}

static void shorter_than_it_was(void **state)
{
	(void)state;
	struct message message;
	g_autoptr(GError) error = NULL;
	message_init(&message, PART("a.pdf", "base64") "b25l\r\n", false);
	assert_int_equal(ftruncate(message.fd, 10), 0);
	struct rewriter *rewriter = rewriter_new(message.fd, NULL, message.text->len,
		&message.settings, g_get_tmp_dir(), &error);
	assert_null(rewriter);
	assert_non_null(error);
	message_clear(&message);
}

static GString *linked(struct rewriter *rewriter, const struct message *message)
{
	const struct mime_attachment *attachments;
	size_t n = rewriter_attachments(rewriter, &attachments);
	g_autofree struct mime_link *links = g_new(struct mime_link, n);
	struct splice *splice = splice_new(message->text->len);
	struct splice_reader reader;
	GString *out = g_string_new(NULL);
	char block[1000];
	ssize_t got;
	for (size_t i = 0; i < n; i++)
		links[i] = (struct mime_link){ "https://x.example/?a=1&b=2", "noon" };
	assert_true(rewriter_link(rewriter, links, n, splice, NULL));
	splice_reader_init(&reader, splice, message->fd);
	while ((got = splice_read(&reader, block, sizeof(block), NULL)) > 0)
		g_string_append_len(out, block, got);
	splice_free(&splice);
	return out;
}

/* A bound above what is left, just below it, and of none. */
static void what_fits_stays_as_it_is(void **state)
{
	(void)state;
	struct message message;
	message_init(&message, PART("a.pdf", "base64") "b25l\r\n", true);
	struct rewriter *rewriter = rewriter_of(&message);
	assert_true(rewriter_fit(rewriter, 0, false, NULL));
	assert_true(rewriter_fit(rewriter, message.text->len + 5000, false, NULL));
	assert_true(rewriter_fit(rewriter, 50000, false, NULL));
	assert_false(rewriter_is_whole(rewriter));
	message.settings.oversized = MIME_OVERSIZED_KEEP;
	assert_true(rewriter_fit(rewriter, 1000, false, NULL));
	assert_false(rewriter_is_whole(rewriter));
	rewriter_free(&rewriter);
	message_clear(&message);
}

static const struct {
	const char *name, *head, *tail;
	const char *want_head; /* of the result */
} oversized[] = {
	{ "signed",
		"From: a@example.com\r\nDate: x\r\nMIME-Version: 1.0\r\nContent-Type: "
		"multipart/signed;\r\n\tboundary=s\r\nSubject: y\r\nLines: "
		"9\r\n\r\n--s\r\n"
		"\r\n",
		"--s\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--s--\r\n",
		"From: a@example.com\r\nDate: x\r\nSubject: y\r\nMIME-Version: 1.0\r\n"
		"Content-Type: multipart/alternative; boundary=" },
	{ "plain text", "Subject: y\r\n\r\n", "",
		"Subject: y\r\nMIME-Version: 1.0\r\nContent-Type: " },
	{ "two types, LF alone",
		"Content-Type: text/plain\nSubject: y\nContent-type : text/html\n\n", "",
		"Subject: y\nMIME-Version: 1.0\nContent-Type: " },
};

static void what_does_not_fit_is_one_attachment(void **state)
{
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(oversized); i++) {
		struct message message;
		g_autoptr(GString) text = g_string_new(oversized[i].head);
		for (size_t bytes = 0; bytes < LARGE_BYTES; bytes += 22)
			g_string_append(text, "a line of the message\n");
		g_string_append(text, oversized[i].tail);
		message_init(&message, "", false);
		g_string_assign(message.text, text->str);
		assert_int_equal(pwrite(message.fd, text->str, text->len, 0), text->len);
		struct rewriter *rewriter = rewriter_of(&message);
		const struct mime_attachment *attachments;
		assert_true(rewriter_fit(rewriter, LARGE_BYTES / 2, false, NULL));
		assert_true(rewriter_is_whole(rewriter));
		assert_int_equal(rewriter_attachments(rewriter, &attachments), 1);
		assert_int_equal(attachments[0].size, text->len);
		assert_string_equal(attachments[0].file_name, "message.eml");
		g_autofree char *sum = g_compute_checksum_for_string(
			G_CHECKSUM_SHA256, text->str, (gssize)text->len);
		for (size_t k = 0; k < 32; k++)
			assert_int_equal(attachments[0].sha256[k],
				g_ascii_xdigit_value(sum[2 * k]) * 16 +
					g_ascii_xdigit_value(sum[2 * k + 1]));
		assert_null(rewriter_octets(rewriter, 0));
		assert_int_equal(rewriter_fd(rewriter, 0), message.fd);
		g_autoptr(GString) out = linked(rewriter, &message);
		if (!g_str_has_prefix(out->str, oversized[i].want_head))
			fail_msg("%s: %s", oversized[i].name, out->str);
		assert_non_null(strstr(out->str, "too large"));
		assert_non_null(strstr(out->str, "<https://x.example/?a=1&b=2>"));
		assert_null(strstr(out->str, "a line of the message"));
		rewriter_free(&rewriter);
		message_clear(&message);
	}
}

/* Octets that grow as quoted-printable, and those that do not. */
static void what_grows_for_the_relay_must_fit_then(void **state)
{
	static const struct {
		const char *line;
		bool shortens, is_whole;
	} texts[] = {
		{ "\xff", true, true },
		{ "\xff", false, false },
		{ "a line\r\n", true, false },
	};
	(void)state;
	for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
		struct message message;
		g_autoptr(GString) text =
			g_string_new("--b\r\nContent-Type: text/plain\r\n\r\n");
		while (text->len < LARGE_BYTES)
			g_string_append(text, texts[i].line);
		g_string_append(text, "\r\n");
		message_init(&message, text->str, false);
		struct rewriter *rewriter = rewriter_of(&message);
		assert_true(
			rewriter_fit(rewriter, LARGE_BYTES * 2, texts[i].shortens, NULL));
		assert_int_equal(rewriter_is_whole(rewriter), texts[i].is_whole);
		rewriter_free(&rewriter);
		message_clear(&message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_stays_as_it_is),
		cmocka_unit_test(what_does_not_fit_is_one_attachment),
		cmocka_unit_test(what_grows_for_the_relay_must_fit_then),
		cmocka_unit_test(small_in_memory),
		cmocka_unit_test(large_in_files),
		cmocka_unit_test(where_it_lies),
		cmocka_unit_test(no_room_for_files),
		cmocka_unit_test(shorter_than_it_was),
	};
	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
