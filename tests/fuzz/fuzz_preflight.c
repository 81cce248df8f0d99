/* Whatever the header, what leaves is one that SES and every reader take alike. */
#include "gateway/delivery/preflight.h"
#include "tests/fuzz/fuzz.h"

#include <gmime/gmime.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	g_mime_init();
	return 0;
}

static size_t longest_line(const char *text, size_t bytes)
{
	size_t longest = 0, length = 0;
	for (size_t i = 0; i < bytes; i++) {
		length = text[i] == '\n' ? 0 : length + 1;
		longest = MAX(longest, length);
	}
	return longest;
}

/* Lines of the header that begin with name and a colon. */
static unsigned count(const char *header, const char *name)
{
	unsigned found = 0;
	size_t length = strlen(name);
	for (const char *line = header; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (g_ascii_strncasecmp(line, name, length))
			continue;
		found += line[length + strspn(line + length, " \t")] == ':';
	}
	return found;
}

static void check_header(const char *header, const struct preflight *preflight)
{
	static const char *const once[] = { "From", "Date", "Message-ID" };
	static const char *const at_most_once[] = { "Sender", "Reply-To", "To", "Cc",
		"Subject", "Content-Type", "MIME-Version", "References", "In-Reply-To",
		"X-Original-From", "X-Original-Sender", "X-Original-Reply-To" };
	static const char *const once_for_ses[] = { "List-Unsubscribe", "Delivered-To",
		"Comments", "VBR-Info", "acceptLanguage" };
	static const char *const never[] = { "Bcc", "Resent-Bcc", "Return-Path",
		"X-SES-TENANT" };
	for (size_t i = 0; i < G_N_ELEMENTS(once); i++)
		CHECK(count(header, once[i]) == 1);
	for (size_t i = 0; i < G_N_ELEMENTS(at_most_once); i++)
		CHECK(count(header, at_most_once[i]) <= 1);
	for (size_t i = 0; preflight->is_ses && i < G_N_ELEMENTS(once_for_ses); i++)
		CHECK(count(header, once_for_ses[i]) <= 1);
	for (size_t i = 0; i < G_N_ELEMENTS(never); i++)
		CHECK(count(header, never[i]) == 0);
	CHECK(!preflight->is_ses || count(header, "DKIM-Signature") == 0);
	CHECK(count(header, "X-SES-CONFIGURATION-SET") == (preflight->relay_ses ? 1 : 0));
	CHECK(count(header, "X-SES-MESSAGE-TAGS") == preflight->is_ses);
	for (const char *p = header; *p; p++) {
		CHECK(*p != '\r' || p[1] == '\n');
		CHECK(*p != '\n' || (p > header && p[-1] == '\r'));
		CHECK(!preflight->wants_ascii || (unsigned char)*p < 0x80);
	}
	CHECK(longest_line(header, strlen(header)) <= 999);
}

static char *result(const struct splice *splice, int fd, size_t *bytes)
{
	*bytes = splice_bytes(splice);
	char *out = g_malloc0(*bytes + 1);
	struct splice_reader reader;
	splice_reader_init(&reader, splice, fd);
	CHECK(splice_read(&reader, out, *bytes, NULL) == (ssize_t)*bytes);
	return out;
}

static void check_result(const char *in, size_t in_bytes, char *out, size_t out_bytes,
	const struct preflight *preflight)
{
	CHECK(longest_line(out, out_bytes) <= MAX(999, longest_line(in, in_bytes) + 1));
	/* A file of bare LF is left one; elsewhere no line of the header ends so. */
	const char *feed = memchr(in, '\n', in_bytes);
	if (feed && (feed == in || feed[-1] != '\r'))
		return;
	char *end = strstr(out, "\r\n\r\n");
	char *bare = strstr(out, "\r\n\n");
	if (bare && (!end || bare < end))
		end = bare;
	if (end)
		end[2] = '\0';
	check_header(out, preflight);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	static const char *const verified[] = { "example.com", "a@b.c", NULL };
	const struct conf_sender sender = { .from = data[0] & 1 ? "g@example.com" : NULL,
		.verified = data[0] & 2 ? verified : NULL };
	static const struct conf_ses told = { .configuration_set = "set" };
	const struct preflight preflight = { .sender = &sender,
		.relay_ses = data[0] & 4 ? &told : NULL,
		.is_ses = data[0] & 64,
		.preserve_sender = data[0] & 128,
		.hostname = "mail.example.com",
		.id = "01kah0",
		.reverse_path = data[0] & 8 ? "x@y.org" : "",
		.received_s = 1763683200,
		.is_8bit = data[0] & 16,
		.wants_ascii = data[0] & 32 };
	const char *in = (const char *)data + 1;
	int fd = memfd_create("message", MFD_CLOEXEC);
	CHECK(fd >= 0 && write(fd, in, size - 1) == (ssize_t)(size - 1));
	struct splice *splice = splice_new(size - 1);
	CHECK(preflight_edit(&preflight, in, size - 1, splice, NULL));
	size_t bytes;
	char *out = result(splice, fd, &bytes);
	check_result(in, size - 1, out, bytes, &preflight);
	g_free(out);
	splice_free(&splice);
	close(fd);
	return 0;
}
