/* stowing: names, links and distinct objects of one message's attachments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/delivery/stowing.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ID         "01kah0000000000000000000aa"
#define RECEIVED_S 1763683200 /* 2025-11-21 00:00:00 UTC */
#define EXPIRY_S   3600
#define FOLDER     "mail/2025/11/21/" ID "/"

/* Parts 1 to 5: a body, then "one", "two", "one" again under another
 * name, and nothing. */
static const char text[] =
	"From: a@example.com\r\nMIME-Version: 1.0\r\n"
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
	"--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\none\r\n"
	"--b\r\nContent-Type: image/png; name=b.png\r\n\r\ntwo\r\n"
	"--b\r\nContent-Type: application/zip; name=c.zip\r\n\r\none\r\n"
	"--b\r\nContent-Type: application/pdf; name=empty.pdf\r\n\r\n\r\n"
	"--b--\r\n";
#define TEXT_BYTES (sizeof text - 1)
#define N          4

static const uint8_t seed[16] = "sixteen octets.";

struct fixture {
	int fd;
	struct conf conf;
	struct rewriter *rewriter;
	struct stowing *stowing;
};

static int set_up(void **state)
{
	struct fixture *fixture = g_new0(struct fixture, 1);
	g_autoptr(GError) error = NULL;
	fixture->fd = memfd_create("message", MFD_CLOEXEC);
	assert_int_equal(write(fixture->fd, text, TEXT_BYTES), TEXT_BYTES);
	mime_settings_init(&fixture->conf.attachments);
	fixture->conf.link_expiry_s = EXPIRY_S;
	fixture->conf.s3 = (struct s3_settings){ .bucket = "acme",
		.region = "eu-west-1",
		.prefix = "mail",
		.access_key_id = "AKIDEXAMPLE",
		.secret_access_key = "secret" };
	fixture->rewriter = rewriter_new(fixture->fd, NULL, TEXT_BYTES,
		&fixture->conf.attachments, g_get_tmp_dir(), &error);
	assert_null(error);
	fixture->stowing =
		stowing_new(&fixture->conf, fixture->rewriter, ID, seed, RECEIVED_S);
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;
	stowing_free(&fixture->stowing);
	assert_null(fixture->stowing);
	stowing_free(&fixture->stowing);
	rewriter_free(&fixture->rewriter);
	close(fixture->fd);
	g_free(fixture);
	return 0;
}

static void keys_in_order(void **state)
{
	const struct fixture *fixture = *state;
	static const char *const folder[N] = { FOLDER "2-", FOLDER "3-", FOLDER "2-",
		FOLDER "5-" };
	static const char *const extension[N] = { ".pdf", ".png", ".pdf", ".pdf" };
	assert_int_equal(stowing_attachments(fixture->stowing), N);
	for (size_t i = 0; i < N; i++) {
		const char *key = stowing_key(fixture->stowing, i);
		if (!g_str_has_prefix(key, folder[i]) ||
			!g_str_has_suffix(key, extension[i]))
			fail_msg("attachment %zu has the key %s", i, key);
	}
}

static void identical_contents_share_an_object(void **state)
{
	const struct fixture *fixture = *state;
	static const char *const contents[] = { "one", "two", "" };
	static const size_t attachment[] = { 0, 1, 3 };
	size_t n;
	const struct s3_object *objects = stowing_objects(fixture->stowing, &n);
	const struct mime_attachment *attachments;
	rewriter_attachments(fixture->rewriter, &attachments);
	assert_int_equal(n, G_N_ELEMENTS(contents));
	assert_string_equal(
		stowing_key(fixture->stowing, 0), stowing_key(fixture->stowing, 2));
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(
			objects[i].key, stowing_key(fixture->stowing, attachment[i]));
		assert_int_equal(objects[i].size, strlen(contents[i]));
		assert_memory_equal(objects[i].octets, contents[i], objects[i].size);
		assert_memory_equal(
			objects[i].sha256, attachments[attachment[i]].sha256, 32);
		assert_string_equal(objects[i].message_id, ID);
	}
	/* The first one's name and type are the object's. */
	assert_string_equal(objects[0].file_name, "a.pdf");
	assert_string_equal(objects[0].media_type, "application/pdf");
}

static void a_retry_names_alike(void **state)
{
	const struct fixture *fixture = *state;
	struct stowing *again =
		stowing_new(&fixture->conf, fixture->rewriter, ID, seed, RECEIVED_S);
	static const uint8_t other_seed[16] = "another octet..";
	struct stowing *other = stowing_new(
		&fixture->conf, fixture->rewriter, ID, other_seed, RECEIVED_S);
	for (size_t i = 0; i < N; i++) {
		const char *key = stowing_key(fixture->stowing, i);
		assert_string_equal(key, stowing_key(again, i));
		assert_string_not_equal(key, stowing_key(other, i));
	}
	stowing_free(&again);
	stowing_free(&other);
}

/* The message with its links; g_free(). */
static char *linked(struct fixture *fixture, int64_t now_s)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *reason = NULL;
	bool is_linked = false;
	struct s3_store *store = s3_store_new(&fixture->conf.s3, &error);
	assert_null(error);
	struct splice *splice = stowing_link(fixture->stowing, fixture->rewriter, store,
		now_s, TEXT_BYTES, &is_linked, &reason, &error);
	assert_non_null(splice);
	assert_true(is_linked);
	assert_null(reason);
	char *out = g_malloc0(splice_bytes(splice) + 1);
	struct splice_reader reader;
	splice_reader_init(&reader, splice, fixture->fd);
	assert_int_equal(splice_read(&reader, out, splice_bytes(splice), NULL),
		splice_bytes(splice));
	splice_free(&splice);
	s3_store_free(&store);
	return out;
}

/* Each attachment has its own link, also those that share an object: its own name. */
static void links_in_order(void **state)
{
	struct fixture *fixture = *state;
	static const char *const names[N] = { "a.pdf", "b.png", "c.zip", "empty.pdf" };
	g_autofree char *out = linked(fixture, RECEIVED_S + 60);
	const char *at = out;
	for (size_t i = 0; i < N; i++) {
		g_autofree char *signed_name =
			g_strdup_printf("filename%%3D%%22%s%%22", names[i]);
		at = strstr(at, "https://acme.s3.eu-west-1.amazonaws.com/mail/");
		assert_non_null(at);
		g_autofree char *url = g_strndup(at, strcspn(at, ">\r\n"));
		at += strlen(url);
		assert_non_null(strstr(url, stowing_key(fixture->stowing, i)));
		if (!strstr(url, signed_name))
			fail_msg("no %s in %s", signed_name, url);
		assert_int_equal(stowing_expires_at_s(fixture->stowing, i),
			RECEIVED_S + 60 + EXPIRY_S);
	}
	assert_null(strstr(at, "https://"));
	assert_non_null(strstr(out, "2025-11-21 01:01 UTC"));
}

/* A later attempt makes new links, and knows their ends. */
static void links_made_anew(void **state)
{
	struct fixture *fixture = *state;
	g_free(linked(fixture, RECEIVED_S));
	g_autofree char *later = linked(fixture, RECEIVED_S + 86400);
	assert_null(strstr(later, "2025-11-21 01:00 UTC"));
	assert_non_null(strstr(later, "2025-11-22 01:00 UTC"));
	assert_int_equal(stowing_expires_at_s(fixture->stowing, N - 1),
		RECEIVED_S + 86400 + EXPIRY_S);
}

/* A link to a deleted object is none; what may be deleted is stored again first. */
static void links_end_with_their_objects(void **state)
{
	struct fixture *fixture = *state;
	static const struct {
		unsigned retention_s;
		int64_t stored_s; /* after receipt; -1: only then */
		int64_t now_s;    /* likewise */
		int64_t end_s;    /* likewise */
		bool over;
	} cases[] = {
		{ 0, -1, 9000000, 9000000 + EXPIRY_S, false },
		{ 86400, -1, 60, 60 + EXPIRY_S, false },
		{ 86400, -1, 86400 - EXPIRY_S, 86400, false },
		{ 86400, -1, 86400 - 60, 86400, false },
		{ 86400, -1, 86400, 86401, true },
		{ 86400, 86400, 86400 + 60, 86400 + 60 + EXPIRY_S, false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		stowing_free(&fixture->stowing);
		fixture->conf.s3_retention_s = cases[i].retention_s;
		fixture->stowing = stowing_new(
			&fixture->conf, fixture->rewriter, ID, seed, RECEIVED_S);
		if (cases[i].stored_s >= 0)
			stowing_set_stored(
				fixture->stowing, RECEIVED_S + cases[i].stored_s);
		int64_t now_s = RECEIVED_S + cases[i].now_s;
		assert_int_equal(stowing_is_over(fixture->stowing, now_s), cases[i].over);
		g_free(linked(fixture, now_s));
		assert_int_equal(stowing_expires_at_s(fixture->stowing, 0),
			RECEIVED_S + cases[i].end_s);
	}
}

static void hash_as_text(void **state)
{
	(void)state;
	uint8_t sha256[32] = { 0x00, 0x9f, 0xf0, [31] = 0xab };
	char got[65];
	stowing_sha256_text(sha256, got);
	assert_int_equal(strlen(got), 64);
	assert_true(g_str_has_prefix(got, "009ff000"));
	assert_true(g_str_has_suffix(got, "00ab"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keys_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			identical_contents_share_an_object, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_retry_names_alike, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(links_made_anew, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			links_end_with_their_objects, set_up, tear_down),
		cmocka_unit_test(hash_as_text),
	};
	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
