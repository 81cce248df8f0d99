/* Settings and objects as headers. Signing and sending them is transfer.c's. */
#include "s3/request.h"
#include "s3/error.h"
#include "s3/name.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define MULTIPART_THRESHOLD_DEFAULT ((uint64_t)64 << 20)
/* "Object tagging", Amazon S3 User Guide: ten, of 128 and 256 characters. */
#define TAGS_MAX           10
#define TAG_NAME_MAX_BYTES 128
#define TAG_MAX_BYTES      256
#define DAY_S              86400
#define CHECKSUM           "x-amz-checksum-sha256"

/* ---- the plan ---- */

bool s3_tag_check(const char *tag, GError **error)
{
	const char *equals = strchr(tag, '=');
	bool good = equals && equals != tag && equals - tag <= TAG_NAME_MAX_BYTES &&
		    strlen(equals + 1) <= TAG_MAX_BYTES && g_utf8_validate(tag, -1, NULL);
	for (const char *p = tag; good && *p; p = g_utf8_next_char(p)) {
		gunichar c = g_utf8_get_char(p);
		good = g_unichar_isalnum(c) || (c < 0x80 && strchr(" +-=._:/@", (int)c));
	}
	if (!good)
		return s3_fail(error, S3_ERROR_CONFIG,
			"\"%.200s\" is not like name=value, of letters, digits, "
			"spaces and + - = . _ : / @, %d and %d characters at most",
			tag, TAG_NAME_MAX_BYTES, TAG_MAX_BYTES);
	return g_ascii_strncasecmp(tag, "aws:", 4) != 0 ||
	       s3_fail(error, S3_ERROR_CONFIG,
		       "\"%.200s\" has a name that is Amazon's own", tag);
}

static bool read_tags(struct s3_plan *plan, GError **error)
{
	const char *const *tags = plan->settings->tags;
	if (!tags || !tags[0])
		return true;
	if (g_strv_length((char **)tags) > TAGS_MAX)
		return s3_fail(
			error, S3_ERROR_CONFIG, "s3.tags: S3 takes %d at most", TAGS_MAX);
	GString *text = g_string_new(NULL);
	bool good = true;
	for (size_t i = 0; good && tags[i]; i++) {
		good = s3_tag_check(tags[i], error);
		g_auto(GStrv) halves = g_strsplit(tags[i], "=", 2);
		if (!good)
			break;
		g_string_append(text, i ? "&" : "");
		sigv4_append_encoded(text, halves[0], false);
		g_string_append_c(text, '=');
		sigv4_append_encoded(text, halves[1], false);
	}
	plan->tagging = g_string_free(text, FALSE);
	if (!good)
		g_prefix_error(error, "s3.tags: ");
	return good;
}

static bool read_context(struct s3_plan *plan, GError **error)
{
	const char *const *pairs = plan->settings->kms_context;
	if (!pairs || !pairs[0])
		return true;
	json_t *json = json_object();
	bool good = true;
	for (size_t i = 0; good && pairs[i]; i++) {
		g_auto(GStrv) halves = g_strsplit(pairs[i], "=", 2);
		good = halves[0] && *halves[0] && halves[1] &&
		       json_object_set_new(json, halves[0], json_string(halves[1])) == 0;
		if (!good)
			s3_fail(error, S3_ERROR_CONFIG,
				"s3.kms_context: \"%.200s\" is not like name=value",
				pairs[i]);
	}
	char *text = json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(json);
	plan->context = g_base64_encode((const guchar *)text, strlen(text));
	free(text);
	return good;
}

/*
 * Amazon compares a SHA-256, which is known. Several others refuse requests
 * with one: they compare what is signed, and their ETag is compared here, until
 * they are found to know it.
 */
static void choose_digests(struct s3_plan *plan, bool is_amazon)
{
	enum s3_checksum checksum = plan->settings->checksum;
	bool must = plan->settings->lock != S3_LOCK_NONE;
	bool is_eager = is_amazon && !plan->settings->checksum_only_required;
	plan->sends_sha256 = checksum == S3_CHECKSUM_SHA256 ||
			     (checksum == S3_CHECKSUM_AUTO && is_eager);
	plan->sends_md5 = checksum == S3_CHECKSUM_MD5 ||
			  (must && !plan->sends_sha256); /* with a lock S3 wants one */
	plan->checks_etag = checksum == S3_CHECKSUM_MD5 ||
			    (checksum == S3_CHECKSUM_AUTO && !is_eager);
	plan->seeks_proof = checksum == S3_CHECKSUM_AUTO && !is_amazon && !must &&
			    !plan->settings->checksum_only_required;
}

static bool check_lock(const struct s3_settings *s, GError **error)
{
	if ((s->lock == S3_LOCK_NONE) == (s->lock_days == 0))
		return true;
	return s3_fail(error, S3_ERROR_CONFIG,
		"s3: object_lock and object_lock_days belong together");
}

static bool check_encryption(const struct s3_settings *s, GError **error)
{
	if (s->encryption == S3_ENCRYPTION_KMS ||
		(!s->kms_key_id && !s->kms_context && !s->bucket_key))
		return true;
	return s3_fail(error, S3_ERROR_CONFIG,
		"s3: kms_key_id, kms_context and bucket_key need encryption: kms");
}

bool s3_plan_init(struct s3_plan *plan, const struct s3_settings *settings,
	bool is_amazon, bool is_tls, GError **error)
{
	*plan = (struct s3_plan){ .settings = settings };
	plan->multipart_threshold = settings->multipart_threshold
					    ? settings->multipart_threshold
					    : MULTIPART_THRESHOLD_DEFAULT;
	plan->is_unsigned = settings->unsigned_payload;
	plan->sends_condition = settings->if_none_match != S3_IF_NONE_MATCH_OFF;
	choose_digests(plan, is_amazon);
	if (settings->unsigned_payload && !is_tls)
		return s3_fail(error, S3_ERROR_CONFIG,
			"s3: unsigned_payload is for https only: without TLS nothing "
			"else "
			"would protect the content");
	return check_lock(settings, error) && check_encryption(settings, error) &&
	       read_tags(plan, error) && read_context(plan, error);
}

void s3_plan_deinit(struct s3_plan *plan)
{
	g_clear_pointer(&plan->tagging, g_free);
	g_clear_pointer(&plan->context, g_free);
}

/* An MD5 that nothing is compared with is not taken, where at least the
 * signature lets the server compare. */
struct s3_plan s3_plan_for(const struct s3_plan *plan, enum s3_proof proof)
{
	struct s3_plan fitting = *plan;
	if (!plan->seeks_proof)
		return fitting;
	fitting.sends_sha256 = proof == S3_PROOF_TRIAL || proof == S3_PROOF_SHA256;
	if (proof == S3_PROOF_SHA256 || proof == S3_PROOF_NONE)
		fitting.checks_etag = plan->is_unsigned;
	return fitting;
}

/* ---- headers ---- */

void s3_headers_clear(struct s3_headers *headers)
{
	while (headers->n_owned)
		g_free(headers->owned[--headers->n_owned]);
	headers->n = 0;
}

/* Nothing is added for NULL. */
static void add(struct s3_headers *headers, const char *name, const char *value)
{
	if (!value)
		return;
	g_assert(headers->n < S3_HEADERS_MAX);
	headers->pairs[headers->n++] = (struct sigv4_pair){ name, value };
}

static void add_owned(struct s3_headers *headers, const char *name, char *value)
{
	g_assert(headers->n_owned < S3_HEADERS_MAX);
	headers->owned[headers->n_owned++] = value;
	add(headers, name, value);
}

void s3_headers_common(struct s3_headers *headers, const struct s3_plan *plan)
{
	add(headers, "x-amz-expected-bucket-owner", plan->settings->bucket_owner);
}

static void add_encryption(struct s3_headers *headers, const struct s3_plan *plan)
{
	static const char *const names[] = {
		[S3_ENCRYPTION_AES256] = "AES256",
		[S3_ENCRYPTION_KMS] = "aws:kms",
	};
	const struct s3_settings *s = plan->settings;
	if (s->encryption == S3_ENCRYPTION_NONE)
		return;
	add(headers, "x-amz-server-side-encryption", names[s->encryption]);
	add(headers, "x-amz-server-side-encryption-aws-kms-key-id", s->kms_key_id);
	add(headers, "x-amz-server-side-encryption-context", plan->context);
	add(headers, "x-amz-server-side-encryption-bucket-key-enabled",
		s->bucket_key ? "true" : NULL);
}

static void add_lock(
	struct s3_headers *headers, const struct s3_settings *s, int64_t now_s)
{
	static const char *const names[] = {
		[S3_LOCK_GOVERNANCE] = "GOVERNANCE",
		[S3_LOCK_COMPLIANCE] = "COMPLIANCE",
	};
	if (s->lock == S3_LOCK_NONE)
		return;
	g_autoptr(GDateTime) end =
		g_date_time_new_from_unix_utc(now_s + (int64_t)s->lock_days * DAY_S);
	add(headers, "x-amz-object-lock-mode", names[s->lock]);
	add_owned(headers, "x-amz-object-lock-retain-until-date",
		g_date_time_format(end, "%Y-%m-%dT%H:%M:%SZ"));
}

static void add_metadata(struct s3_headers *headers, const struct s3_object *object)
{
	char *sha256 = g_malloc(65);
	sigv4_hex(object->sha256, sha256);
	add_owned(headers, "x-amz-meta-filename", s3_name_metadata(object->file_name));
	add_owned(headers, "x-amz-meta-message-id",
		s3_name_metadata(object->message_id ? object->message_id : "-"));
	add_owned(headers, "x-amz-meta-sha256", sha256);
}

void s3_headers_object(struct s3_headers *headers, const struct s3_plan *plan,
	const struct s3_object *object, bool in_parts, int64_t now_s)
{
	add_owned(headers, "Content-Type", s3_name_media_type(object->media_type));
	add_owned(headers, "Content-Disposition", s3_name_disposition(object->file_name));
	add_metadata(headers, object);
	add_encryption(headers, plan);
	add(headers, "x-amz-storage-class", plan->settings->storage_class);
	add(headers, "x-amz-tagging", plan->tagging);
	add_lock(headers, plan->settings, now_s);
	if (in_parts && plan->sends_sha256)
		add(headers, "x-amz-checksum-algorithm", "SHA256");
	s3_headers_common(headers, plan);
}

void s3_headers_digests(struct s3_headers *headers, const struct s3_plan *plan,
	const uint8_t sha256[32], const uint8_t *md5)
{
	if (plan->sends_sha256)
		add_owned(headers, CHECKSUM, g_base64_encode(sha256, 32));
	if (plan->sends_md5 && md5)
		add_owned(headers, "Content-MD5", g_base64_encode(md5, 16));
}

const char *s3_headers_checksum(const struct s3_headers *headers)
{
	for (size_t i = 0; i < headers->n; i++)
		if (strcmp(headers->pairs[i].name, CHECKSUM) == 0)
			return headers->pairs[i].value;
	return NULL;
}
