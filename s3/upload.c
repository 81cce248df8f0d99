/* Objects in one PUT each, several at a time. Larger ones: multipart.c. */
#include "s3/upload.h"
#include "s3/error.h"
#include "s3/multipart.h"
#include "s3/name.h"
#include "s3/transfer.h"
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 << 10)

/* One object on its way in one PUT. */
struct put {
	const struct s3_object *object;
	struct s3_headers headers;
	char sha256[65];
};

/* ---- digests ---- */

static ssize_t read_some(
	const struct s3_object *object, uint8_t *buffer, size_t bytes, uint64_t offset)
{
	ssize_t got;
	do
		got = pread(object->fd, buffer, bytes, (off_t)offset);
	while (got < 0 && errno == EINTR);
	return got;
}

static bool feed(const struct s3_object *object, uint64_t offset, uint64_t size,
	EVP_MD_CTX *sha256, EVP_MD_CTX *md5, GError **error)
{
	g_autofree uint8_t *buffer = object->octets ? NULL : g_malloc(READ_BYTES);
	while (size) {
		size_t want = (size_t)MIN(size, READ_BYTES);
		const uint8_t *data = buffer;
		ssize_t got = (ssize_t)want;
		if (object->octets)
			data = (const uint8_t *)object->octets + offset;
		else
			got = read_some(object, buffer, want, offset);
		if (got <= 0)
			return s3_fail(error, S3_ERROR_RETRY,
				"cannot read the object's file: %s",
				got < 0 ? g_strerror(errno) : "it is shorter than said");
		if (sha256)
			EVP_DigestUpdate(sha256, data, (size_t)got);
		if (md5)
			EVP_DigestUpdate(md5, data, (size_t)got);
		offset += (uint64_t)got;
		size -= (uint64_t)got;
	}
	return true;
}

static EVP_MD_CTX *new_digest(const EVP_MD *kind)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	if (!context || !EVP_DigestInit_ex(context, kind, NULL))
		g_error("OpenSSL does not give a digest");
	return context;
}

bool s3_upload_digest(const struct s3_object *object, uint64_t offset, uint64_t size,
	uint8_t *sha256, uint8_t *md5, GError **error)
{
	EVP_MD_CTX *sha256_context = sha256 ? new_digest(EVP_sha256()) : NULL;
	EVP_MD_CTX *md5_context = md5 ? new_digest(EVP_md5()) : NULL;
	bool fed = feed(object, offset, size, sha256_context, md5_context, error);
	if (fed && sha256)
		EVP_DigestFinal_ex(sha256_context, sha256, NULL);
	if (fed && md5)
		EVP_DigestFinal_ex(md5_context, md5, NULL);
	EVP_MD_CTX_free(sha256_context);
	EVP_MD_CTX_free(md5_context);
	return fed;
}

/* ---- what is there already ---- */

static bool has_same_md5(
	const struct s3_object *object, const struct s3_answer *answer, GError **error)
{
	uint8_t md5[16];
	char hex[33];
	if (!s3_upload_digest(object, 0, object->size, NULL, md5, error))
		return false;
	for (size_t i = 0; i < sizeof(md5); i++)
		g_snprintf(hex + 2 * i, 3, "%02x", md5[i]);
	return g_ascii_strcasecmp(hex, answer->etag) == 0;
}

static enum s3_found compare(const struct s3_plan *plan, const struct s3_object *object,
	const struct s3_answer *answer, GError **error)
{
	char sha256[65];
	sigv4_hex(object->sha256, sha256);
	bool has_sha256 = *answer->stored_sha256 != '\0';
	if ((answer->size >= 0 && (uint64_t)answer->size != object->size) ||
		(has_sha256 && strcmp(answer->stored_sha256, sha256) != 0)) {
		s3_fail_about(error, S3_SUBJECT_OBJECT,
			"another object has this key already: it is not overwritten");
		return S3_FOUND_OTHER;
	}
	if (plan->checks_etag && s3_answer_etag_is_md5(answer))
		return has_same_md5(object, answer, NULL) ? S3_FOUND_SAME
							  : S3_FOUND_NOTHING;
	return has_sha256 ? S3_FOUND_SAME : S3_FOUND_NOTHING;
}

enum s3_found s3_upload_look(struct s3_client *client, const struct s3_plan *plan,
	const struct s3_object *object, GError **error)
{
	struct s3_headers headers = { 0 };
	s3_headers_common(&headers, plan);
	struct s3_transfer head = {
		.action = S3_HEAD,
		.key = object->key,
		.headers = headers.pairs,
		.n_headers = headers.n,
		.payload_sha256 = S3_EMPTY_SHA256,
	};
	enum s3_found found = S3_FOUND_NOTHING;
	if (s3_client_run(client, &head)) {
		found = compare(plan, object, &head.answer, error);
	} else if (g_error_matches(head.error, S3_ERROR, S3_ERROR_RETRY)) {
		found = S3_FOUND_UNKNOWN;
		g_propagate_error(error, g_steal_pointer(&head.error));
	}
	g_clear_error(&head.error);
	s3_headers_clear(&headers);
	return found;
}

void s3_upload_note_encryption(struct s3_client *client, const struct s3_plan *plan,
	const struct s3_transfer *transfer)
{
	if (plan->settings->encryption != S3_ENCRYPTION_NONE &&
		!*transfer->answer.encryption)
		s3_site_learn_unencrypted(s3_client_site(client));
}

bool s3_upload_condition_refused(const struct s3_transfer *transfer)
{
	static const char *const codes[] = { "", "NotImplemented", "InvalidArgument",
		"InvalidRequest", "InvalidHeader" };
	const struct s3_answer *answer = &transfer->answer;
	if (!transfer->error || !transfer->is_conditional)
		return false;
	for (size_t i = 0; answer->status == 400 && i < G_N_ELEMENTS(codes); i++)
		if (strcmp(answer->code, codes[i]) == 0)
			return true;
	return answer->status == 501;
}

/* ---- one PUT ---- */

static bool prepare(struct put *put, struct s3_transfer *transfer,
	struct s3_client *client, const struct s3_plan *plan, GError **error)
{
	const struct s3_object *object = put->object;
	uint8_t md5[16];
	if (plan->sends_md5 &&
		!s3_upload_digest(object, 0, object->size, NULL, md5, error))
		return false;
	sigv4_hex(object->sha256, put->sha256);
	s3_headers_object(&put->headers, plan, object, false,
		s3_site_now_s(s3_client_site(client)));
	s3_headers_digests(
		&put->headers, plan, object->sha256, plan->sends_md5 ? md5 : NULL);
	*transfer = (struct s3_transfer){
		.action = S3_PUT,
		.key = object->key,
		.headers = put->headers.pairs,
		.n_headers = put->headers.n,
		.is_conditional = plan->sends_condition &&
				  s3_site_knows_conditions(s3_client_site(client)),
		.octets = object->octets,
		.fd = object->fd,
		.size = object->size,
		.payload_sha256 =
			plan->is_unsigned ? SIGV4_UNSIGNED_PAYLOAD : put->sha256,
		.checks_etag = plan->checks_etag,
		.checksum = s3_headers_checksum(&put->headers),
	};
	transfer->is_trial = plan->seeks_proof && transfer->checksum;
	return true;
}

/* Once more, without the checksum; it is the last header, as nothing
 * comes after digests. */
static void put_plain(struct s3_client *client, struct s3_transfer *transfer)
{
	g_clear_error(&transfer->error);
	transfer->n_headers--;
	transfer->checksum = NULL;
	transfer->is_trial = false;
	transfer->checks_etag = true;
	transfer->attempts = transfer->corrections = 0;
	s3_client_run(client, transfer);
}

/* What a PUT that was done says of the server. */
static void learn_proof(
	struct s3_site *site, const struct s3_transfer *transfer, bool was_tried)
{
	const struct s3_answer *answer = &transfer->answer;
	enum s3_proof before = s3_site_proof(site), now = S3_PROOF_NONE;
	if (*answer->checksum)
		now = S3_PROOF_SHA256;
	else if (before == S3_PROOF_UNKNOWN)
		now = S3_PROOF_TRIAL;
	else if (before == S3_PROOF_TRIAL && !was_tried)
		return; /* begun before */
	else if (s3_answer_etag_is_md5(answer))
		now = S3_PROOF_ETAG;
	if (now != before)
		s3_site_learn_proof(site, now);
}

/* Once more, with what is asked, but without the condition. */
static bool put_anyway(struct s3_client *client, struct s3_transfer *transfer)
{
	g_clear_error(&transfer->error);
	transfer->is_conditional = false;
	transfer->attempts = transfer->corrections = 0;
	return s3_client_run(client, transfer);
}

/* A PUT that ended: what its refused condition means. Takes the transfer's error. */
static bool settle(struct s3_client *client, const struct s3_plan *plan,
	const struct s3_object *object, struct s3_transfer *transfer, GError **error)
{
	if (s3_transfer_trial_failed(transfer))
		put_plain(client, transfer);
	bool refused = s3_upload_condition_refused(transfer);
	bool exists = transfer->error && transfer->is_conditional &&
		      transfer->answer.status == 412;
	if (exists) {
		enum s3_found found = s3_upload_look(client, plan, object, error);
		if (found != S3_FOUND_NOTHING) {
			g_clear_error(&transfer->error);
			return found == S3_FOUND_SAME;
		}
	}
	if ((refused || exists) && put_anyway(client, transfer) && refused)
		s3_site_learn_no_conditions(s3_client_site(client));
	if (!transfer->error)
		return true;
	g_propagate_error(error, g_steal_pointer(&transfer->error));
	return false;
}

/* The first error that is one; of the others nothing is said. */
static void keep_first(GError **first, const char *key, GError *error)
{
	if (!error)
		return;
	g_prefix_error(&error, "object %s: ", key);
	if (*first)
		g_error_free(error);
	else
		*first = error;
}

static void settle_all(struct s3_client *client, const struct s3_plan *plan,
	struct put *puts, struct s3_transfer *transfers, size_t n, GError **first)
{
	for (size_t i = 0; i < n; i++) {
		struct s3_transfer *transfer = &transfers[i];
		GError *error = NULL;
		bool was_tried = transfer->is_trial;
		if (*first) {
			g_clear_error(&transfer->error);
			continue;
		}
		if (transfer->error)
			settle(client, plan, puts[i].object, transfer, &error);
		bool is_done = !error && transfer->answer.status / 100 == 2;
		if (plan->seeks_proof && is_done)
			learn_proof(s3_client_site(client), transfer, was_tried);
		if (is_done)
			s3_upload_note_encryption(client, plan, transfer);
		keep_first(first, transfer->key, error);
	}
}

/* Waits; keeps the error of the one that failed first, by which others are cancelled. */
static void send_all(
	struct s3_client *client, struct s3_transfer *transfers, size_t n, GError **first)
{
	struct s3_batch *batch = s3_batch_new(client);
	struct s3_transfer *transfer;
	s3_batch_submit(batch, transfers, n);
	while ((transfer = s3_batch_take(batch))) {
		if (s3_transfer_has_failed(transfer))
			keep_first(
				first, transfer->key, g_steal_pointer(&transfer->error));
	}
	s3_batch_free(&batch);
}

static bool is_large(const struct s3_plan *plan, const struct s3_object *object)
{
	return object->size > plan->multipart_threshold;
}

static void put_small(struct s3_client *client, const struct s3_plan *plan,
	const struct s3_object *objects, size_t n_objects, GError **first)
{
	const struct s3_plan fitting =
		s3_plan_for(plan, s3_site_proof(s3_client_site(client)));
	g_autofree struct put *puts = g_new0(struct put, n_objects);
	g_autofree struct s3_transfer *transfers = g_new0(struct s3_transfer, n_objects);
	size_t n = 0;
	for (size_t i = 0; i < n_objects && !*first; i++) {
		GError *error = NULL;
		if (is_large(plan, &objects[i]))
			continue;
		puts[n].object = &objects[i];
		if (prepare(&puts[n], &transfers[n], client, &fitting, &error))
			n++;
		keep_first(first, objects[i].key, error);
	}
	if (!*first) {
		send_all(client, transfers, n, first);
		settle_all(client, plan, puts, transfers, n, first);
	}
	for (size_t i = 0; i < n; i++)
		s3_headers_clear(&puts[i].headers);
}

static void put_large(struct s3_client *client, const struct s3_plan *plan,
	const struct s3_object *objects, size_t n_objects, GError **first)
{
	for (size_t i = 0; i < n_objects && !*first; i++) {
		GError *error = NULL;
		if (!is_large(plan, &objects[i]))
			continue;
		s3_multipart_put(client, plan, &objects[i], &error);
		keep_first(first, objects[i].key, error);
	}
}

static bool check_keys(const struct s3_object *objects, size_t n_objects, GError **error)
{
	for (size_t i = 0; i < n_objects; i++)
		if (!s3_name_is_key(objects[i].key))
			return s3_fail_about(error, S3_SUBJECT_OBJECT,
				"\"%s\" cannot be an object's key: check the prefix",
				objects[i].key);
	return true;
}

bool s3_upload(struct s3_client *client, const struct s3_plan *plan,
	const struct s3_object *objects, size_t n_objects, GError **error)
{
	GError *first = NULL;
	if (!check_keys(objects, n_objects, error))
		return false;
	put_small(client, plan, objects, n_objects, &first);
	if (!first)
		put_large(client, plan, objects, n_objects, &first);
	if (!first)
		return true;
	g_propagate_error(error, first);
	return false;
}
