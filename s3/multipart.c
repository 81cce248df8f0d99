/* Create, parts, complete; abort when any of it fails. */
#include "s3/multipart.h"
#include "s3/error.h"
#include "s3/transfer.h"
#include <string.h>

#define PARTS_MAX  10000
#define PART_BYTES ((uint64_t)8 << 20)
#define MIB        ((uint64_t)1 << 20)
/* Of one object at a time, so that other mail gets its turn. */
#define PARALLEL_MAX 4

/* What COMPLETE says of a part. */
struct done {
	char *etag, *checksum;
};

struct multipart {
	struct s3_client *client;
	const struct s3_plan *plan;
	const struct s3_object *object;
	uint64_t part_bytes;
	unsigned n_parts;
	char *upload_id;
	struct done *done; /* of n_parts */
};

/* A part on its way. */
struct slot {
	struct s3_transfer transfer;
	struct s3_headers headers;
	char sha256[65];
	bool is_used;
};

uint64_t s3_multipart_part_bytes(uint64_t size)
{
	uint64_t least = (size + PARTS_MAX - 1) / PARTS_MAX;
	return MAX(PART_BYTES, (least + MIB - 1) / MIB * MIB);
}

static bool fail_with(struct s3_transfer *transfer, GError **error)
{
	g_propagate_error(error, g_steal_pointer(&transfer->error));
	return false;
}

static bool is_conditional(const struct multipart *m)
{
	return m->plan->sends_condition &&
	       s3_site_knows_conditions(s3_client_site(m->client));
}

/* ---- create ---- */

static bool create(struct multipart *m, GError **error)
{
	struct s3_headers headers = { 0 };
	s3_headers_object(&headers, m->plan, m->object, true,
		s3_site_now_s(s3_client_site(m->client)));
	struct s3_transfer transfer = {
		.action = S3_CREATE,
		.key = m->object->key,
		.headers = headers.pairs,
		.n_headers = headers.n,
		.payload_sha256 = S3_EMPTY_SHA256,
	};
	bool created = s3_client_run(m->client, &transfer);
	s3_headers_clear(&headers);
	if (!created)
		return fail_with(&transfer, error);
	s3_upload_note_encryption(m->client, m->plan, &transfer);
	m->upload_id = g_strdup(transfer.answer.upload_id);
	return true;
}

/* ---- parts ---- */

static void empty(struct slot *slot)
{
	s3_headers_clear(&slot->headers);
	g_clear_error(&slot->transfer.error);
	slot->is_used = false;
}

static bool fill(struct slot *slot, struct multipart *m, unsigned part, GError **error)
{
	const struct s3_plan *plan = m->plan;
	uint64_t offset = (uint64_t)(part - 1) * m->part_bytes;
	uint64_t size = MIN(m->part_bytes, m->object->size - offset);
	uint8_t sha256[32], md5[16];
	bool needs_sha256 = !plan->is_unsigned || plan->sends_sha256;
	if ((needs_sha256 || plan->sends_md5) &&
		!s3_upload_digest(m->object, offset, size, needs_sha256 ? sha256 : NULL,
			plan->sends_md5 ? md5 : NULL, error))
		return false;
	if (needs_sha256)
		sigv4_hex(sha256, slot->sha256);
	s3_headers_common(&slot->headers, plan);
	s3_headers_digests(&slot->headers, plan, sha256, plan->sends_md5 ? md5 : NULL);
	slot->transfer = (struct s3_transfer){
		.action = S3_PART,
		.key = m->object->key,
		.upload_id = m->upload_id,
		.part = part,
		.headers = slot->headers.pairs,
		.n_headers = slot->headers.n,
		.octets = m->object->octets,
		.fd = m->object->fd,
		.offset = offset,
		.size = size,
		.payload_sha256 =
			plan->is_unsigned ? SIGV4_UNSIGNED_PAYLOAD : slot->sha256,
		.checks_etag = plan->checks_etag,
		.checksum = s3_headers_checksum(&slot->headers),
	};
	slot->is_used = true;
	return true;
}

/* Takes one that has ended; its slot is free then. */
static bool take(struct multipart *m, struct s3_batch *batch, GError **error)
{
	struct s3_transfer *transfer = s3_batch_take(batch);
	struct slot *slot = (struct slot *)(void *)((char *)transfer -
						    offsetof(struct slot, transfer));
	bool good = !transfer->error && !transfer->is_cancelled;
	if (good)
		m->done[transfer->part - 1] = (struct done){
			g_strdup(transfer->answer.etag),
			g_strdup(transfer->checksum),
		};
	else if (transfer->error && error && !*error)
		fail_with(transfer, error);
	empty(slot);
	return good;
}

static struct slot *free_slot(struct slot *slots, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!slots[i].is_used)
			return &slots[i];
	return NULL;
}

/* While parts are on their way the next one's digest is made. */
static bool send_parts(struct multipart *m, GError **error)
{
	size_t n_slots = MIN(s3_client_connections(m->client), PARALLEL_MAX);
	struct slot *slots = g_new0(struct slot, n_slots);
	struct s3_batch *batch = s3_batch_new(m->client);
	unsigned next = 1;
	size_t under_way = 0;
	bool good = true;
	while ((good && next <= m->n_parts) || under_way) {
		struct slot *slot = free_slot(slots, n_slots);
		if (good && next <= m->n_parts && slot) {
			good = fill(slot, m, next++, error);
			if (!good)
				continue;
			s3_batch_submit(batch, &slot->transfer, 1);
			under_way++;
		} else {
			good = take(m, batch, error) && good;
			under_way--;
		}
	}
	s3_batch_free(&batch);
	g_free(slots);
	return good;
}

/* ---- complete and abort ---- */

static GString *list_parts(const struct multipart *m)
{
	GString *xml = g_string_new("<CompleteMultipartUpload "
				    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (unsigned i = 0; i < m->n_parts; i++) {
		g_autofree char *etag = g_markup_escape_text(m->done[i].etag, -1);
		g_string_append_printf(xml,
			"<Part><PartNumber>%u</PartNumber><ETag>&quot;%s&quot;</ETag>",
			i + 1, etag);
		if (m->done[i].checksum)
			g_string_append_printf(xml, "<ChecksumSHA256>%s</ChecksumSHA256>",
				m->done[i].checksum);
		g_string_append(xml, "</Part>");
	}
	return g_string_append(xml, "</CompleteMultipartUpload>");
}

/* Of a COMPLETE that failed: an earlier attempt's may have been done, its answer lost. */
static bool may_be_done(const struct s3_transfer *transfer)
{
	return transfer->answer.status == 412 || transfer->answer.status == 404;
}

static bool complete_anyway(struct multipart *m, struct s3_transfer *transfer)
{
	bool refused = s3_upload_condition_refused(transfer);
	if (!refused && transfer->answer.status != 412)
		return false;
	g_clear_error(&transfer->error);
	transfer->is_conditional = false;
	transfer->attempts = transfer->corrections = 0;
	bool good = s3_client_run(m->client, transfer);
	if (good && refused)
		s3_site_learn_no_conditions(s3_client_site(m->client));
	return good;
}

static bool settle(struct multipart *m, struct s3_transfer *transfer, GError **error)
{
	if (may_be_done(transfer)) {
		enum s3_found found =
			s3_upload_look(m->client, m->plan, m->object, error);
		if (found != S3_FOUND_NOTHING) {
			g_clear_error(&transfer->error);
			return found == S3_FOUND_SAME;
		}
	}
	return complete_anyway(m, transfer) || fail_with(transfer, error);
}

static bool complete(struct multipart *m, GError **error)
{
	g_autoptr(GString) xml = list_parts(m);
	g_autofree char *sha256 =
		g_compute_checksum_for_string(G_CHECKSUM_SHA256, xml->str, -1);
	struct s3_headers headers = { 0 };
	s3_headers_common(&headers, m->plan);
	struct s3_transfer transfer = {
		.action = S3_COMPLETE,
		.key = m->object->key,
		.upload_id = m->upload_id,
		.headers = headers.pairs,
		.n_headers = headers.n,
		.is_conditional = is_conditional(m),
		.octets = xml->str,
		.size = xml->len,
		.payload_sha256 = sha256,
	};
	bool good = s3_client_run(m->client, &transfer) || settle(m, &transfer, error);
	s3_headers_clear(&headers);
	return good;
}

/* What stays behind costs money until a lifecycle rule removes it. */
static void give_up(struct multipart *m)
{
	struct s3_headers headers = { 0 };
	s3_headers_common(&headers, m->plan);
	struct s3_transfer transfer = {
		.action = S3_ABORT,
		.key = m->object->key,
		.upload_id = m->upload_id,
		.headers = headers.pairs,
		.n_headers = headers.n,
		.payload_sha256 = S3_EMPTY_SHA256,
	};
	if (!s3_client_run(m->client, &transfer))
		g_warning("parts of the upload of %s stay in the bucket: %s; a lifecycle "
			  "rule (AbortIncompleteMultipartUpload) removes such",
			m->object->key, transfer.error->message);
	g_clear_error(&transfer.error);
	s3_headers_clear(&headers);
}

static bool run(struct multipart *m, GError **error)
{
	if (!create(m, error))
		return false;
	if (send_parts(m, error) && complete(m, error))
		return true;
	give_up(m);
	return false;
}

bool s3_multipart_put(struct s3_client *client, const struct s3_plan *plan,
	const struct s3_object *object, GError **error)
{
	struct multipart m = {
		.client = client,
		.plan = plan,
		.object = object,
		.part_bytes = s3_multipart_part_bytes(object->size),
	};
	/* A retry after a crash need not send it all to be told that it is there. Where
	 * that is not to be learnt now, COMPLETE's condition says it. */
	if (is_conditional(&m)) {
		enum s3_found found = s3_upload_look(client, plan, object, error);
		if (found == S3_FOUND_SAME || found == S3_FOUND_OTHER)
			return found == S3_FOUND_SAME;
		g_clear_error(error);
	}
	m.n_parts = (unsigned)((object->size + m.part_bytes - 1) / m.part_bytes);
	m.done = g_new0(struct done, m.n_parts);
	bool good = run(&m, error);
	for (unsigned i = 0; i < m.n_parts; i++) {
		g_free(m.done[i].etag);
		g_free(m.done[i].checksum);
	}
	g_free(m.done);
	g_free(m.upload_id);
	return good;
}
