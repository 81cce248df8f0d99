/* One request: set up, fed, judged. When it runs and whether again is
 * the client's business. */
#include "s3/transfer.h"
#include "s3/curl.h"
#include "s3/error.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* An idle connection older than this may have been closed at the other end. */
#define KEEP_ALIVE_S 15L
/* Above, "Expect: 100-continue" lets the server refuse before the body is sent. */
#define EXPECT_ABOVE_BYTES ((uint64_t)1 << 20)
/* libcurl's buffer for the body: one write for the usual attachment. */
#define UPLOAD_BUFFER_BYTES (128L << 10)
/* Slower than this on the whole is a peer that only pretends to read. */
#define SLOWEST_BYTES_PER_S 4096
/* Putting parts together may take minutes, while the answer's octets drip. */
#define COMPLETE_MS ((uint64_t)600000)
/* Region, clock, and what is learnt on the way. */
#define CORRECTIONS_MAX   4
#define HEADERS_MAX       40
#define RETRY_AFTER_MAX_S 60
#define PART_NUMBER_BYTES 12

static const struct action {
	const char *method;
	bool has_upload;        /* its query names the upload */
	const char *permission; /* NULL: s3:PutObject */
} actions[] = {
	[S3_PUT] = { "PUT", false, NULL },
	[S3_HEAD] = { "HEAD", false, "s3:GetObject" },
	[S3_DELETE] = { "DELETE", false, "s3:DeleteObject" },
	[S3_CREATE] = { "POST", false, NULL },
	[S3_PART] = { "PUT", true, NULL },
	[S3_COMPLETE] = { "POST", true, NULL },
	[S3_ABORT] = { "DELETE", true, "s3:AbortMultipartUpload" },
};

struct s3_channel {
	const struct s3_client_settings *settings;
	CURL *easy;
	char *curl_error; /* CURL_ERROR_SIZE */

	/* of the attempt under way */
	struct s3_transfer *transfer;
	const struct s3_place *place;
	struct s3_credentials *credentials; /* that signed it */
	struct curl_slist *headers;
	EVP_MD_CTX *md5; /* of what was read */
	uint64_t offset; /* read of the body */
	int read_errno;  /* the body could not be read */
	bool head_ended; /* the answer's headers were whole */
	bool body_cut;   /* the answer's body was longer than we take */
	GString *body;
};

/* ---- the handle ---- */

static ssize_t read_content(
	const struct s3_transfer *transfer, char *buffer, size_t bytes, uint64_t offset)
{
	offset += transfer->offset;
	if (transfer->octets) {
		memcpy(buffer, transfer->octets + offset, bytes);
		return (ssize_t)bytes;
	}
	ssize_t got;
	do
		got = pread(transfer->fd, buffer, bytes, (off_t)offset);
	while (got < 0 && errno == EINTR);
	return got;
}

static size_t on_read(char *buffer, size_t size, size_t n, void *data)
{
	struct s3_channel *channel = data;
	const struct s3_transfer *transfer = channel->transfer;
	size_t want = (size_t)MIN((uint64_t)size * n, transfer->size - channel->offset);
	if (want == 0)
		return 0;
	ssize_t got = read_content(transfer, buffer, want, channel->offset);
	if (got <= 0) {
		channel->read_errno = got < 0 ? errno : ENODATA;
		return CURL_READFUNC_ABORT;
	}
	if (transfer->checks_etag)
		EVP_DigestUpdate(channel->md5, buffer, (size_t)got);
	channel->offset += (uint64_t)got;
	return (size_t)got;
}

/* libcurl goes back to the start, nowhere else. */
static int on_seek(void *data, curl_off_t offset, int origin)
{
	struct s3_channel *channel = data;
	if (origin != SEEK_SET || offset != 0)
		return CURL_SEEKFUNC_FAIL;
	channel->offset = 0;
	if (channel->transfer->checks_etag)
		EVP_DigestInit_ex(channel->md5, EVP_md5(), NULL);
	return CURL_SEEKFUNC_OK;
}

/* libcurl takes an answer that ends in the middle of its headers for a good one. */
static size_t on_header(char *line, size_t size, size_t n, void *user)
{
	struct s3_channel *channel = user;
	size_t length = size * n;
	if (length >= 5 && memcmp(line, "HTTP/", 5) == 0)
		channel->head_ended = false; /* 100 Continue has a head of its own */
	else if (line[0] == '\r' || line[0] == '\n')
		channel->head_ended = true;
	return length;
}

static size_t on_write(char *data, size_t size, size_t n, void *user)
{
	struct s3_channel *channel = user;
	size_t room = S3_ANSWER_BODY_MAX_BYTES - channel->body->len;
	g_string_append_len(channel->body, data, (gssize)MIN(size * n, room));
	if (size * n <= room)
		return size * n;
	channel->body_cut = true;
	return 0;
}

#define SET(option, value) S3_CURL_SET(easy, option, value)

static void set_transport(CURL *easy, const struct s3_client_settings *settings)
{
	SET(CURLOPT_NOSIGNAL, 1L);
	const struct s3_place *place = s3_site_place(settings->site);
	SET(CURLOPT_PROTOCOLS_STR,
		g_str_has_prefix(place->endpoint.origin, "https:") ? "https" : "http");
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L); /* the signature holds for one host */
	SET(CURLOPT_CAINFO,
		settings->ca_file ? settings->ca_file : S3_CURL_DISTRIBUTION_BUNDLE);
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_TCP_NODELAY, 1L);
	SET(CURLOPT_MAXAGE_CONN, KEEP_ALIVE_S);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long)settings->connect_timeout_ms);
	SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
	SET(CURLOPT_LOW_SPEED_TIME, (long)((settings->stall_timeout_ms + 999) / 1000));
	SET(CURLOPT_USERAGENT, "stowage");
}

static void set_callbacks(CURL *easy, struct s3_channel *channel)
{
	SET(CURLOPT_PRIVATE, channel);
	SET(CURLOPT_ERRORBUFFER, channel->curl_error);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_BYTES);
	SET(CURLOPT_READFUNCTION, on_read);
	SET(CURLOPT_READDATA, channel);
	SET(CURLOPT_SEEKFUNCTION, on_seek);
	SET(CURLOPT_SEEKDATA, channel);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, channel);
	SET(CURLOPT_WRITEFUNCTION, on_write);
	SET(CURLOPT_WRITEDATA, channel);
}

struct s3_channel *s3_channel_new(const struct s3_client_settings *settings)
{
	struct s3_channel *channel = g_new0(struct s3_channel, 1);
	channel->settings = settings;
	channel->body = g_string_new(NULL);
	channel->md5 = EVP_MD_CTX_new();
	channel->curl_error = g_malloc0(CURL_ERROR_SIZE);
	channel->easy = curl_easy_init();
	if (!channel->easy)
		g_error("libcurl gives no handle: out of memory");
	set_transport(channel->easy, settings);
	set_callbacks(channel->easy, channel);
	return channel;
}

/* The lines hold the session token. */
static void free_headers(struct s3_channel *channel)
{
	for (struct curl_slist *line = channel->headers; line; line = line->next)
		OPENSSL_cleanse(line->data, strlen(line->data));
	curl_slist_free_all(channel->headers);
	channel->headers = NULL;
}

void s3_channel_free(struct s3_channel **channel)
{
	if (!*channel)
		return;
	curl_easy_cleanup((*channel)->easy);
	free_headers(*channel);
	s3_credentials_unref((*channel)->credentials);
	EVP_MD_CTX_free((*channel)->md5);
	g_string_free((*channel)->body, TRUE);
	g_free((*channel)->curl_error);
	g_free(*channel);
	*channel = NULL;
}

CURL *s3_channel_easy(struct s3_channel *channel)
{
	return channel->easy;
}

struct s3_transfer *s3_channel_transfer(struct s3_channel *channel)
{
	return channel->transfer;
}

/* ---- the request ---- */

static void add_line(struct s3_channel *channel, const char *line)
{
	struct curl_slist *lines = curl_slist_append(channel->headers, line);
	if (!lines)
		g_error("out of memory");
	channel->headers = lines;
}

static void add_header(struct s3_channel *channel, const char *name, const char *value)
{
	g_autofree char *line = g_strconcat(name, ": ", value, NULL);
	add_line(channel, line);
	OPENSSL_cleanse(line, strlen(line));
}

static void add_signature(struct s3_channel *channel, const struct sigv4_request *request,
	const struct s3_credentials *credentials)
{
	char time[SIGV4_TIME_BYTES];
	int64_t now_s = s3_site_now_s(channel->settings->site);
	sigv4_format_time(now_s, time);
	add_header(channel, "x-amz-date", time);
	if (credentials->keys.session_token)
		add_header(
			channel, "x-amz-security-token", credentials->keys.session_token);
	g_autofree char *authorization = sigv4_authorization(
		channel->place->signer, &credentials->keys, request, now_s);
	add_header(channel, "Authorization", authorization);
}

/* The upload or part that is meant; the number of pairs. */
static size_t name_upload(const struct s3_transfer *transfer, struct sigv4_pair query[2],
	char number[PART_NUMBER_BYTES])
{
	size_t n = 0;
	if (transfer->action == S3_CREATE)
		query[n++] = (struct sigv4_pair){ "uploads", "" };
	if (transfer->action == S3_PART) {
		g_snprintf(number, PART_NUMBER_BYTES, "%u", transfer->part);
		query[n++] = (struct sigv4_pair){ "partNumber", number };
	}
	if (actions[transfer->action].has_upload)
		query[n++] = (struct sigv4_pair){ "uploadId", transfer->upload_id };
	return n;
}

static char *url_of(
	const struct s3_channel *channel, const struct sigv4_pair *query, size_t n_query)
{
	g_autofree char *plain =
		s3_endpoint_url(&channel->place->endpoint, channel->transfer->key);
	GString *url = g_string_new(plain);
	for (size_t i = 0; i < n_query; i++) {
		g_string_append_printf(url, "%c%s=", i ? '&' : '?', query[i].name);
		sigv4_append_encoded(url, query[i].value, false);
	}
	return g_string_free(url, FALSE);
}

static void add_headers(struct s3_channel *channel, const struct sigv4_pair *query,
	size_t n_query, const struct s3_credentials *credentials)
{
	const struct s3_transfer *transfer = channel->transfer;
	struct sigv4_pair headers[HEADERS_MAX];
	size_t n = 0;
	headers[n++] =
		(struct sigv4_pair){ "x-amz-content-sha256", transfer->payload_sha256 };
	if (transfer->is_conditional)
		headers[n++] = (struct sigv4_pair){ "If-None-Match", "*" };
	g_assert(transfer->n_headers <= HEADERS_MAX - n);
	for (size_t i = 0; i < transfer->n_headers; i++)
		headers[n++] = transfer->headers[i];
	g_autofree char *path =
		s3_endpoint_path(&channel->place->endpoint, transfer->key);
	const struct sigv4_request request = {
		.method = actions[transfer->action].method,
		.host = channel->place->endpoint.host,
		.path = path,
		.query = query,
		.n_query = n_query,
		.headers = headers,
		.n_headers = n,
		.payload_sha256 = transfer->payload_sha256,
	};
	for (size_t i = 0; i < n; i++)
		add_header(channel, headers[i].name, headers[i].value);
	add_signature(channel, &request, credentials);
	add_line(channel, "Accept:");
	if (transfer->action != S3_PUT || transfer->size <= EXPECT_ABOVE_BYTES ||
		!s3_site_knows_expectations(channel->settings->site))
		add_line(channel, "Expect:");
}

/* libcurl sends a Content-Length with whatever it calls an upload, even of nothing. */
static void set_method(struct s3_channel *channel)
{
	CURL *easy = channel->easy;
	const struct s3_transfer *transfer = channel->transfer;
	bool is_head = transfer->action == S3_HEAD;
	bool is_put = transfer->action == S3_PUT || transfer->action == S3_PART;
	SET(CURLOPT_UPLOAD, is_head ? 0L : 1L);
	SET(CURLOPT_NOBODY, is_head ? 1L : 0L);
	SET(CURLOPT_CUSTOMREQUEST,
		is_head || is_put ? NULL : actions[transfer->action].method);
	SET(CURLOPT_INFILESIZE_LARGE,
		is_head ? (curl_off_t)-1 : (curl_off_t)transfer->size);
}

static void set_attempt(
	struct s3_channel *channel, const struct sigv4_pair *query, size_t n_query)
{
	CURL *easy = channel->easy;
	const struct s3_client_settings *settings = channel->settings;
	const struct s3_transfer *transfer = channel->transfer;
	g_autofree char *url = url_of(channel, query, n_query);
	uint64_t limit_ms = settings->connect_timeout_ms +
			    2 * (uint64_t)settings->stall_timeout_ms +
			    transfer->size / SLOWEST_BYTES_PER_S * 1000;
	if (transfer->action == S3_COMPLETE)
		limit_ms += COMPLETE_MS;
	set_method(channel);
	SET(CURLOPT_URL, url);
	SET(CURLOPT_HTTPHEADER, channel->headers);
	SET(CURLOPT_TIMEOUT_MS, (long)MIN(limit_ms, (uint64_t)INT32_MAX));
	SET(CURLOPT_FRESH_CONNECT, transfer->fresh ? 1L : 0L);
}

static void reset(struct s3_channel *channel, struct s3_transfer *transfer)
{
	channel->transfer = transfer;
	channel->place = s3_site_place(channel->settings->site);
	channel->offset = 0;
	channel->read_errno = 0;
	channel->body_cut = false;
	channel->head_ended = false;
	channel->curl_error[0] = '\0';
	g_string_truncate(channel->body, 0);
	if (transfer->checks_etag && !EVP_DigestInit_ex(channel->md5, EVP_md5(), NULL))
		transfer->checks_etag = false; /* OpenSSL was told to do without MD5 */
	transfer->answer.status = 0;
}

static struct s3_credentials_chain *chain_of(
	const struct s3_channel *channel, const struct s3_transfer *transfer)
{
	return transfer->credentials ? transfer->credentials
				     : channel->settings->credentials;
}

bool s3_channel_begin(
	struct s3_channel *channel, struct s3_transfer *transfer, GError **error)
{
	struct sigv4_pair query[2];
	char number[PART_NUMBER_BYTES];
	struct s3_credentials *credentials =
		s3_credentials_chain_get(chain_of(channel, transfer),
			s3_site_now_s(channel->settings->site), error);
	if (!credentials)
		return false;
	reset(channel, transfer);
	size_t n_query = name_upload(transfer, query, number);
	channel->credentials = credentials;
	add_headers(channel, query, n_query, credentials);
	set_attempt(channel, query, n_query);
	return true;
}

/* ---- the result ---- */

static void read_header(CURL *easy, const char *name, char *field, size_t field_bytes)
{
	struct curl_header *header;
	if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK)
		s3_answer_set(field, field_bytes, header->value, strlen(header->value));
}

/* What stands between may have made it a weak one. */
static void read_etag(CURL *easy, struct s3_answer *answer)
{
	char field[sizeof(answer->etag)] = "";
	read_header(easy, "etag", field, sizeof(field));
	const char *quoted = g_str_has_prefix(field, "W/") ? field + 2 : field;
	size_t length = strlen(quoted);
	bool is_quoted = length >= 2 && quoted[0] == '"' && quoted[length - 1] == '"';
	if (is_quoted)
		s3_answer_set(answer->etag, sizeof(answer->etag), quoted + 1, length - 2);
	else
		memcpy(answer->etag, quoted, length + 1);
}

static void read_clock(CURL *easy, struct s3_answer *answer)
{
	char date[64] = "";
	read_header(easy, "date", date, sizeof(date));
	time_t server_s = *date ? curl_getdate(date, NULL) : -1;
	if (server_s != -1)
		answer->clock_off_s = (int64_t)time(NULL) - (int64_t)server_s;
}

/* In seconds; a date, as RFC 9110 allows too, is not sent by stores. */
static void read_retry_after(CURL *easy, struct s3_answer *answer)
{
	char text[16] = "";
	guint64 seconds = 0;
	read_header(easy, "retry-after", text, sizeof(text));
	if (g_ascii_string_to_unsigned(text, 10, 0, UINT32_MAX, &seconds, NULL))
		answer->retry_after_s = (unsigned)MIN(seconds, RETRY_AFTER_MAX_S);
}

static void read_answer(struct s3_channel *channel)
{
	CURL *easy = channel->easy;
	struct s3_answer *answer = &channel->transfer->answer;
	*answer = (struct s3_answer){
		.permission = actions[channel->transfer->action].permission,
		.size = -1,
	};
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer->status);
	if (channel->body->len)
		s3_answer_read_body(answer, channel->body->str, channel->body->len);
	read_etag(easy, answer);
	read_header(easy, "x-amz-server-side-encryption", answer->encryption,
		sizeof(answer->encryption));
	read_header(easy, "x-amz-checksum-sha256", answer->checksum,
		sizeof(answer->checksum));
	read_clock(easy, answer);
	if (answer->status >= 200 && answer->status < 300 &&
		channel->transfer->action != S3_HEAD)
		return;
	read_retry_after(easy, answer);
	read_header(easy, "x-amz-bucket-region", answer->region, sizeof(answer->region));
	read_header(easy, "x-amz-meta-sha256", answer->stored_sha256,
		sizeof(answer->stored_sha256));
	read_header(easy, "x-amz-object-lock-mode", answer->lock, sizeof(answer->lock));
	if (!*answer->request_id)
		read_header(easy, "x-amz-request-id", answer->request_id,
			sizeof(answer->request_id));
	curl_off_t size = -1;
	curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
	answer->size = size;
}

static void body_md5(struct s3_channel *channel, char hex[33])
{
	uint8_t digest[16];
	EVP_DigestFinal_ex(channel->md5, digest, NULL);
	for (size_t i = 0; i < sizeof(digest); i++)
		g_snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

/* What the server says it has stored is what it was sent. */
static bool is_same(struct s3_channel *channel, GError **error)
{
	const struct s3_transfer *transfer = channel->transfer;
	const struct s3_answer *answer = &transfer->answer;
	char md5[33];
	if (transfer->checksum && *answer->checksum &&
		strcmp(transfer->checksum, answer->checksum) != 0)
		return s3_fail(error, S3_ERROR_RETRY,
			"S3 stored something else than was sent: its SHA-256 is %s, not "
			"%s",
			answer->checksum, transfer->checksum);
	if (!transfer->checks_etag || channel->offset != transfer->size ||
		!s3_answer_etag_is_md5(answer))
		return true;
	body_md5(channel, md5);
	if (g_ascii_strcasecmp(md5, answer->etag) == 0)
		return true;
	return s3_fail(error, S3_ERROR_RETRY,
		"S3 stored something else than was sent: its ETag is %s, the content's "
		"MD5 %s; where ETags are no MD5, set s3.checksum to none",
		answer->etag, md5);
}

/* S3 says 200. Accepted (202) or answered in part is not stored. */
static bool is_stored(long status)
{
	return status == 200 || status == 201 || status == 204;
}

/* A portal or any web server may say 200 to a PUT, with a page. A store has
 * nothing to say, and if so it names what it has stored. A 200 to COMPLETE
 * comes before its outcome. */
static bool is_good(const struct s3_channel *channel)
{
	const struct s3_answer *answer = &channel->transfer->answer;
	bool fine = answer->status >= 200 && answer->status < 300 && !channel->body_cut;
	switch (channel->transfer->action) {
	case S3_PUT:
		return fine && is_stored(answer->status) &&
		       (channel->body->len == 0 || *answer->etag) &&
		       strcmp(answer->root, "Error") != 0;
	case S3_PART:
		return fine && is_stored(answer->status) && *answer->etag &&
		       strcmp(answer->root, "Error") != 0;
	case S3_CREATE:
		return fine && *answer->upload_id &&
		       strcmp(answer->root, "InitiateMultipartUploadResult") == 0;
	case S3_COMPLETE:
		return fine && strcmp(answer->root, "CompleteMultipartUploadResult") == 0;
	case S3_DELETE:
		return fine ||
		       (answer->status == 404 && strcmp(answer->code, "NoSuchKey") == 0);
	case S3_ABORT:
		return fine || answer->status == 404;
	case S3_HEAD:
		break;
	}
	return fine;
}

/* What says so before it has it all is no store. */
static bool was_all_sent(struct s3_channel *channel, GError **error)
{
	const struct s3_transfer *transfer = channel->transfer;
	curl_off_t sent = 0;
	curl_easy_getinfo(channel->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	return transfer->action == S3_HEAD || (uint64_t)sent >= transfer->size ||
	       s3_fail(error, S3_ERROR_RETRY,
		       "S3 at %s: it answered %ld before it had all that was to be sent",
		       channel->place->endpoint.host, transfer->answer.status);
}

/* Whether the refusal is one that the next attempt avoids. */
static bool is_corrected(struct s3_channel *channel)
{
	struct s3_transfer *transfer = channel->transfer;
	const struct s3_answer *answer = &transfer->answer;
	struct s3_site *site = channel->settings->site;
	bool corrected = false;
	if (transfer->corrections == CORRECTIONS_MAX)
		return false;
	if (s3_answer_is_about_region(answer))
		corrected = s3_site_learn_region(site, channel->place, answer->region);
	else if (s3_answer_is_about_clock(answer))
		corrected = s3_site_learn_clock(site, answer->clock_off_s);
	else if (s3_answer_is_about_token(answer))
		corrected = s3_credentials_chain_refused(
			chain_of(channel, transfer), channel->credentials);
	if (answer->status == 417) {
		s3_site_learn_no_expectations(site);
		corrected = true;
	}
	transfer->corrections += corrected;
	return corrected;
}

static enum s3_verdict judge_answer(struct s3_channel *channel, GError **error)
{
	struct s3_transfer *transfer = channel->transfer;
	if (!channel->head_ended) {
		g_set_error(error, S3_ERROR, S3_ERROR_RETRY,
			"S3 at %s: its answer broke off", channel->place->endpoint.host);
		return S3_AGAIN_LATER;
	}
	read_answer(channel);
	if (is_good(channel)) {
		if (!was_all_sent(channel, error))
			return S3_AGAIN_LATER;
		if (is_same(channel, error))
			return S3_DONE;
		transfer->is_conditional = false; /* what is there must go */
		return S3_AGAIN_LATER;
	}
	if (is_corrected(channel))
		return S3_AGAIN_NOW;
	g_propagate_error(error,
		s3_answer_error(&transfer->answer,
			s3_site_bucket(channel->settings->site), channel->place->region));
	return s3_answer_is_transient(&transfer->answer) ? S3_AGAIN_LATER : S3_FAILED;
}

/* A connection kept too long: the server had closed it when we
 * wrote (RFC 9112, 9.3.1). */
static bool was_stale(struct s3_channel *channel, CURLcode result)
{
	long connects = 0;
	curl_easy_getinfo(channel->easy, CURLINFO_NUM_CONNECTS, &connects);
	return connects == 0 && !channel->transfer->stale_retried &&
	       (result == CURLE_SEND_ERROR || result == CURLE_RECV_ERROR ||
		       result == CURLE_GOT_NOTHING);
}

static const char *advice_for(CURLcode result)
{
	switch (result) {
	case CURLE_PEER_FAILED_VERIFICATION:
		return "; check the endpoint's host name and s3.ca_file";
	case CURLE_SSL_CACERT_BADFILE:
		return "; check s3.ca_file: it must be a readable PEM file";
	case CURLE_SSL_CONNECT_ERROR:
		return "; check whether the endpoint speaks TLS";
	case CURLE_COULDNT_RESOLVE_HOST:
		return "; check region, endpoint and the resolver";
	default:
		return "";
	}
}

static enum s3_verdict judge_failure(
	struct s3_channel *channel, CURLcode result, GError **error)
{
	bool certificate = result == CURLE_PEER_FAILED_VERIFICATION ||
			   result == CURLE_SSL_CACERT_BADFILE;
	const char *what =
		*channel->curl_error ? channel->curl_error : curl_easy_strerror(result);
	GError *failure = g_error_new(S3_ERROR,
		certificate ? S3_ERROR_MEND : S3_ERROR_RETRY, "S3 at %s: %s%s",
		channel->place->endpoint.host, what, advice_for(result));
	if (certificate)
		s3_error_set_subject(failure, S3_SUBJECT_CERTIFICATE);
	g_propagate_error(error, failure);
	return certificate ? S3_FAILED : S3_AGAIN_LATER;
}

static enum s3_verdict judge(struct s3_channel *channel, CURLcode result, GError **error)
{
	if (channel->read_errno) {
		g_set_error(error, S3_ERROR, S3_ERROR_RETRY,
			"cannot read the object's file: %s",
			channel->read_errno == ENODATA ? "it is shorter than said"
						       : g_strerror(channel->read_errno));
		return S3_FAILED;
	}
	if (result == CURLE_OK || channel->body_cut)
		return judge_answer(channel, error);
	if (was_stale(channel, result))
		return S3_AGAIN_NOW;
	return judge_failure(channel, result, error);
}

enum s3_verdict s3_channel_end(
	struct s3_channel *channel, CURLcode result, GError **error)
{
	enum s3_verdict verdict = judge(channel, result, error);
	struct s3_transfer *transfer = channel->transfer;
	transfer->fresh = verdict != S3_DONE;
	if (verdict == S3_AGAIN_NOW)
		transfer->stale_retried |= transfer->answer.status == 0;
	else
		transfer->attempts++;
	channel->transfer = NULL;
	g_clear_pointer(&channel->credentials, s3_credentials_unref);
	curl_easy_setopt(channel->easy, CURLOPT_HTTPHEADER, NULL);
	free_headers(channel);
	return verdict;
}
