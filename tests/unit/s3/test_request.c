/* How an object is to be kept, as headers; and settings that cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/request.h"
#include <string.h>

#define NOW 1785974400 /* 2026-08-06T00:00:00Z */

static const char *const tags[] = { "origin=in mail", "\xc3\xa4=a=b&c", NULL };
static const char *const good_tags[] = { "origin=in mail", "team=a+b=c", NULL };
static const char *const no_pair[] = { "origin", NULL };
static const char *const no_name[] = { "=x", NULL };
static const char *const many[] = {
	"a=", "b=", "c=", "d=", "e=", "f=", "g=", "h=", "i=", "j=", "k=", NULL
};
static const char *const context[] = { "b=2", "a=\"1\"", NULL };

static const struct s3_object object = { .key = "k",
	.media_type = "application/pdf",
	.file_name = "\xc3\xa4.pdf",
	.message_id = "4x5" };

static const struct {
	struct s3_settings settings;
	bool is_amazon, in_parts;
	const char *want; /* lines beyond those of every object */
} cases[] = {
	{ { 0 }, false, false, "" },
	{ { .encryption = S3_ENCRYPTION_AES256 }, false, false,
		"x-amz-server-side-encryption: AES256\n" },
	{ { .encryption = S3_ENCRYPTION_KMS,
		  .kms_key_id = "key/1",
		  .kms_context = context,
		  .bucket_key = true },
		false, false,
		"x-amz-server-side-encryption: aws:kms\n"
		"x-amz-server-side-encryption-aws-kms-key-id: key/1\n"
		"x-amz-server-side-encryption-context: eyJhIjoiXCIxXCIiLCJiIjoiMiJ9\n"
		"x-amz-server-side-encryption-bucket-key-enabled: true\n" },
	{ { .storage_class = "STANDARD_IA", .tags = good_tags, .bucket_owner = "1112" },
		false, true,
		"x-amz-storage-class: STANDARD_IA\n"
		"x-amz-tagging: origin=in%20mail&team=a%2Bb%3Dc\n"
		"x-amz-expected-bucket-owner: 1112\n" },
	{ { .lock = S3_LOCK_COMPLIANCE, .lock_days = 30 }, true, false,
		"x-amz-object-lock-mode: COMPLIANCE\n"
		"x-amz-object-lock-retain-until-date: 2026-09-05T00:00:00Z\n" },
	{ { .lock = S3_LOCK_GOVERNANCE, .lock_days = 1 }, true, true,
		"x-amz-object-lock-mode: GOVERNANCE\n"
		"x-amz-object-lock-retain-until-date: 2026-08-07T00:00:00Z\n"
		"x-amz-checksum-algorithm: SHA256\n" },
};

static char *lines_of(const struct s3_headers *headers)
{
	GString *text = g_string_new(NULL);
	for (size_t i = 0; i < headers->n; i++)
		g_string_append_printf(text, "%s: %s\n", headers->pairs[i].name,
			headers->pairs[i].value);
	return g_string_free(text, FALSE);
}

static void settings_become_headers(void **state)
{
	(void)state;
	static const char common[] =
		"Content-Type: application/pdf\n"
		"Content-Disposition: attachment; filename=\"attachment.pdf\"; "
		"filename*=UTF-8''%C3%A4.pdf\n"
		"x-amz-meta-filename: %C3%A4.pdf\nx-amz-meta-message-id: 4x5\n"
		"x-amz-meta-sha256: "
		"0000000000000000000000000000000000000000000000000000000000000000\n";
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct s3_plan plan;
		struct s3_headers headers = { 0 };
		assert_true(s3_plan_init(
			&plan, &cases[i].settings, cases[i].is_amazon, true, NULL));
		s3_headers_object(&headers, &plan, &object, cases[i].in_parts, NOW);
		g_autofree char *got = lines_of(&headers);
		g_autofree char *want = g_strconcat(common, cases[i].want, NULL);
		assert_string_equal(got, want);
		assert_null(strstr(got, "acl"));
		s3_headers_clear(&headers);
		s3_plan_deinit(&plan);
	}
}

static void digests_go_where_they_are_known(void **state)
{
	(void)state;
	static const struct {
		enum s3_checksum checksum;
		bool is_amazon, is_locked, sha256, md5, etag;
	} choices[] = {
		{ S3_CHECKSUM_AUTO, true, false, true, false, false },
		{ S3_CHECKSUM_AUTO, false, false, false, false, true },
		{ S3_CHECKSUM_AUTO, true, true, true, false, false },
		{ S3_CHECKSUM_AUTO, false, true, false, true, true },
		{ S3_CHECKSUM_SHA256, false, true, true, false, false },
		{ S3_CHECKSUM_MD5, true, false, false, true, true },
		{ S3_CHECKSUM_NONE, true, false, false, false, false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(choices); i++) {
		struct s3_settings settings = { .checksum = choices[i].checksum };
		if (choices[i].is_locked) {
			settings.lock = S3_LOCK_GOVERNANCE;
			settings.lock_days = 1;
		}
		struct s3_plan plan;
		assert_true(
			s3_plan_init(&plan, &settings, choices[i].is_amazon, true, NULL));
		if (plan.sends_sha256 != choices[i].sha256 ||
			plan.sends_md5 != choices[i].md5 ||
			plan.checks_etag != choices[i].etag)
			fail_msg("case %zu", i);
		s3_plan_deinit(&plan);
	}
}

static void digests_follow_the_proof_that_is_given(void **state)
{
	(void)state;
	static const struct {
		enum s3_checksum checksum;
		bool is_amazon, is_unsigned;
		enum s3_proof proof;
		bool sha256, etag;
	} proofs[] = {
		{ S3_CHECKSUM_AUTO, false, false, S3_PROOF_UNKNOWN, false, true },
		{ S3_CHECKSUM_AUTO, false, false, S3_PROOF_TRIAL, true, true },
		{ S3_CHECKSUM_AUTO, false, false, S3_PROOF_SHA256, true, false },
		{ S3_CHECKSUM_AUTO, false, false, S3_PROOF_ETAG, false, true },
		{ S3_CHECKSUM_AUTO, false, false, S3_PROOF_NONE, false, false },
		{ S3_CHECKSUM_AUTO, false, true, S3_PROOF_SHA256, true, true },
		{ S3_CHECKSUM_AUTO, false, true, S3_PROOF_NONE, false, true },
		{ S3_CHECKSUM_AUTO, true, false, S3_PROOF_NONE, true, false },
		{ S3_CHECKSUM_MD5, false, false, S3_PROOF_SHA256, false, true },
		{ S3_CHECKSUM_NONE, false, false, S3_PROOF_TRIAL, false, false },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(proofs); i++) {
		const struct s3_settings settings = { .checksum = proofs[i].checksum,
			.unsigned_payload = proofs[i].is_unsigned };
		struct s3_plan plan;
		assert_true(
			s3_plan_init(&plan, &settings, proofs[i].is_amazon, true, NULL));
		const struct s3_plan fitting = s3_plan_for(&plan, proofs[i].proof);
		if (fitting.sends_sha256 != proofs[i].sha256 ||
			fitting.checks_etag != proofs[i].etag)
			fail_msg("case %zu", i);
		s3_plan_deinit(&plan);
	}
}

/* AWS_REQUEST_CHECKSUM_CALCULATION=when_required: the ETag is compared instead. */
static void digests_may_be_left_to_what_requires_them(void **state)
{
	(void)state;
	struct s3_settings settings = { .checksum_only_required = true };
	struct s3_plan plan;
	assert_true(s3_plan_init(&plan, &settings, true, true, NULL));
	assert_false(plan.sends_sha256 || plan.sends_md5);
	assert_true(plan.checks_etag);
	s3_plan_deinit(&plan);
	settings.lock = S3_LOCK_COMPLIANCE;
	settings.lock_days = 1;
	assert_true(s3_plan_init(&plan, &settings, true, true, NULL));
	assert_true(plan.sends_md5);
	s3_plan_deinit(&plan);
	settings.checksum = S3_CHECKSUM_SHA256;
	assert_true(s3_plan_init(&plan, &settings, true, true, NULL));
	assert_true(plan.sends_sha256);
	s3_plan_deinit(&plan);
}

static void what_cannot_be_is_said(void **state)
{
	(void)state;
	static const struct {
		struct s3_settings settings;
		const char *says;
	} wrong[] = {
		{ { .unsigned_payload = true }, "https only" },
		{ { .lock = S3_LOCK_GOVERNANCE }, "belong together" },
		{ { .lock_days = 1 }, "belong together" },
		{ { .kms_key_id = "k" }, "need encryption: kms" },
		{ { .bucket_key = true }, "need encryption: kms" },
		{ { .tags = tags }, "not like name=value" },
		{ { .tags = no_pair }, "\"origin\" is not like name=value" },
		{ { .tags = no_name }, "not like name=value" },
		{ { .tags = many }, "10 at most" },
		{ { .encryption = S3_ENCRYPTION_KMS, .kms_context = no_pair },
			"s3.kms_context" },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
		struct s3_plan plan;
		g_autoptr(GError) error = NULL;
		assert_false(
			s3_plan_init(&plan, &wrong[i].settings, false, false, &error));
		assert_true(g_error_matches(error, S3_ERROR, S3_ERROR_CONFIG));
		if (!strstr(error->message, wrong[i].says))
			fail_msg("case %zu: %s", i, error->message);
		s3_plan_deinit(&plan);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_become_headers),
		cmocka_unit_test(digests_go_where_they_are_known),
		cmocka_unit_test(digests_follow_the_proof_that_is_given),
		cmocka_unit_test(digests_may_be_left_to_what_requires_them),
		cmocka_unit_test(what_cannot_be_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
