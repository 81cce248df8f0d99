/* One PUT: set up, fed, judged. When it runs and whether again is
 * the client's business. */
#include "s3/transfer.h"
#include "s3/answer.h"
#include "s3/name.h"
#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DISTRIBUTION_BUNDLE "/etc/ssl/certs/ca-certificates.crt"
/* An idle connection older than this may have been closed at the other end. */
#define KEEP_ALIVE_S 15L
/* Above, "Expect: 100-continue" lets the server refuse before the body is sent. */
#define EXPECT_ABOVE_BYTES ((uint64_t)1 << 20)
/* libcurl's buffer for the body: one write for the usual attachment. */
#define UPLOAD_BUFFER_BYTES (128L << 10)
/* Slower than this on the whole is a peer that only pretends to read. */
#define SLOWEST_BYTES_PER_S 4096
#define N_HEADERS           6

struct s3_channel {
	const struct s3_client_settings *settings;
	CURL *easy;
	char *curl_error; /* CURL_ERROR_SIZE */

	/* of the attempt under way */
	struct s3_transfer *transfer;
	struct curl_slist *headers;
	uint64_t offset; /* read of the body */
	int read_errno;  /* the body could not be read */
	bool head_ended; /* the answer's headers were whole */
	bool body_cut;   /* the answer's body was longer than we take */
	GString *body;
};

/* ---- the handle ---- */

static ssize_t read_object(
	const struct s3_object *object, char *buffer, size_t bytes, uint64_t offset)
{
	if (object->octets) {
		memcpy(buffer, object->octets + offset, bytes);
		return (ssize_t)bytes;
	}
	ssize_t got;
	do
		got = pread(object->fd, buffer, bytes, (off_t)offset);
	while (got < 0 && errno == EINTR);
	return got;
}

static size_t on_read(char *buffer, size_t size, size_t n, void *data)
{
	struct s3_channel *channel = data;
	const struct s3_object *object = channel->transfer->object;
	size_t want = (size_t)MIN((uint64_t)size * n, object->size - channel->offset);
	if (want == 0)
		return 0;
	ssize_t got = read_object(object, buffer, want, channel->offset);
	if (got <= 0) {
		channel->read_errno = got < 0 ? errno : ENODATA;
		return CURL_READFUNC_ABORT;
	}
	channel->offset += (uint64_t)got;
	return (size_t)got;
}

static int on_seek(void *data, curl_off_t offset, int origin)
{
	struct s3_channel *channel = data;
	if (origin != SEEK_SET || offset < 0 ||
		(uint64_t)offset > channel->transfer->object->size)
		return CURL_SEEKFUNC_FAIL;
	channel->offset = (uint64_t)offset;
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

#define SET(option, value)                                                               \
	do {                                                                             \
		CURLcode set = curl_easy_setopt(easy, option, value);                    \
		if (set != CURLE_OK)                                                     \
			g_error("libcurl refuses " #option ": %s",                       \
				curl_easy_strerror(set));                                \
	} while (0)

static void set_transport(CURL *easy, const struct s3_client_settings *settings)
{
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, g_str_has_prefix(settings->endpoint->origin, "https:")
					   ? "https"
					   : "http");
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L); /* the signature holds for one host */
	SET(CURLOPT_CAINFO, settings->ca_file ? settings->ca_file : DISTRIBUTION_BUNDLE);
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
	SET(CURLOPT_UPLOAD, 1L);
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
	const struct s3_credentials *credentials, int64_t now_s)
{
	char time[SIGV4_TIME_BYTES];
	sigv4_format_time(now_s, time);
	add_header(channel, "x-amz-date", time);
	if (credentials->keys.session_token)
		add_header(
			channel, "x-amz-security-token", credentials->keys.session_token);
	g_autofree char *authorization = sigv4_authorization(
		channel->settings->signer, &credentials->keys, request, now_s);
	add_header(channel, "Authorization", authorization);
}

static void add_headers(struct s3_channel *channel, const struct s3_object *object,
	const struct s3_credentials *credentials, int64_t now_s)
{
	char sha256[65];
	sigv4_hex(object->sha256, sha256);
	g_autofree char *type = s3_name_media_type(object->media_type);
	g_autofree char *disposition = s3_name_disposition(object->file_name);
	g_autofree char *name = s3_name_metadata(object->file_name);
	g_autofree char *id =
		s3_name_metadata(object->message_id ? object->message_id : "-");
	g_autofree char *path =
		s3_endpoint_path(channel->settings->endpoint, object->key);
	const struct sigv4_pair headers[N_HEADERS] = {
		{ "Content-Type", type },
		{ "Content-Disposition", disposition },
		{ "x-amz-content-sha256", sha256 },
		{ "x-amz-meta-filename", name },
		{ "x-amz-meta-message-id", id },
		{ "x-amz-meta-sha256", sha256 },
	};
	const struct sigv4_request request = {
		.method = "PUT",
		.host = channel->settings->endpoint->host,
		.path = path,
		.headers = headers,
		.n_headers = N_HEADERS,
		.payload_sha256 = sha256,
	};
	for (size_t i = 0; i < N_HEADERS; i++)
		add_header(channel, headers[i].name, headers[i].value);
	add_signature(channel, &request, credentials, now_s);
	add_line(channel, "Accept:");
	if (object->size <= EXPECT_ABOVE_BYTES)
		add_line(channel, "Expect:");
}

static void set_attempt(struct s3_channel *channel)
{
	CURL *easy = channel->easy;
	const struct s3_client_settings *settings = channel->settings;
	const struct s3_object *object = channel->transfer->object;
	g_autofree char *url = s3_endpoint_url(settings->endpoint, object->key);
	uint64_t limit_ms = settings->connect_timeout_ms +
			    2 * (uint64_t)settings->stall_timeout_ms +
			    object->size / SLOWEST_BYTES_PER_S * 1000;
	SET(CURLOPT_URL, url);
	SET(CURLOPT_HTTPHEADER, channel->headers);
	SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)object->size);
	SET(CURLOPT_TIMEOUT_MS, (long)MIN(limit_ms, (uint64_t)INT32_MAX));
	SET(CURLOPT_FRESH_CONNECT, channel->transfer->fresh ? 1L : 0L);
}

bool s3_channel_begin(
	struct s3_channel *channel, struct s3_transfer *transfer, GError **error)
{
	int64_t now_s = (int64_t)time(NULL);
	struct s3_credentials *credentials =
		s3_credentials_chain_get(channel->settings->credentials, now_s, error);
	if (!credentials)
		return false;
	channel->transfer = transfer;
	channel->offset = 0;
	channel->read_errno = 0;
	channel->body_cut = false;
	channel->head_ended = false;
	channel->curl_error[0] = '\0';
	g_string_truncate(channel->body, 0);
	add_headers(channel, transfer->object, credentials, now_s);
	s3_credentials_unref(credentials);
	set_attempt(channel);
	return true;
}

/* ---- the result ---- */

static void read_header(CURL *easy, const char *name, char *field, size_t field_bytes)
{
	struct curl_header *header;
	if (curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK)
		s3_answer_set(field, field_bytes, header->value, strlen(header->value));
}

static void read_answer(struct s3_channel *channel, struct s3_answer *answer)
{
	char date[64] = "";
	*answer = (struct s3_answer){ 0 };
	curl_easy_getinfo(channel->easy, CURLINFO_RESPONSE_CODE, &answer->status);
	s3_answer_read_body(answer, channel->body->str, channel->body->len);
	read_header(channel->easy, "x-amz-bucket-region", answer->region,
		sizeof(answer->region));
	if (!*answer->request_id)
		read_header(channel->easy, "x-amz-request-id", answer->request_id,
			sizeof(answer->request_id));
	read_header(channel->easy, "date", date, sizeof(date));
	time_t server_s = *date ? curl_getdate(date, NULL) : -1;
	if (server_s != -1)
		answer->clock_off_s = (int64_t)time(NULL) - (int64_t)server_s;
}

/* A portal or any web server may say 200 to a PUT, with a page. A store has nothing to say,
 * and if so it names what it has stored. */
static bool is_stored(const struct s3_channel *channel, const struct s3_answer *answer)
{
	struct curl_header *etag;
	return answer->status >= 200 && answer->status < 300 && !channel->body_cut &&
	       (channel->body->len == 0 || curl_easy_header(channel->easy, "ETag", 0,
						   CURLH_HEADER, -1, &etag) == CURLHE_OK);
}

static enum s3_verdict judge_answer(struct s3_channel *channel, GError **error)
{
	struct s3_answer answer;
	if (!channel->head_ended) {
		g_set_error(error, S3_ERROR, S3_ERROR_RETRY,
			"S3 at %s: its answer broke off",
			channel->settings->endpoint->host);
		return S3_AGAIN_LATER;
	}
	read_answer(channel, &answer);
	if (is_stored(channel, &answer))
		return S3_STORED;
	g_propagate_error(error, s3_answer_error(&answer, channel->settings->bucket,
					 channel->settings->region));
	return s3_answer_is_transient(&answer) ? S3_AGAIN_LATER : S3_FAILED;
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
	g_set_error(error, S3_ERROR, certificate ? S3_ERROR_MEND : S3_ERROR_RETRY,
		"S3 at %s: %s%s", channel->settings->endpoint->host, what,
		advice_for(result));
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
	transfer->fresh = verdict != S3_STORED;
	if (verdict == S3_AGAIN_NOW)
		transfer->stale_retried = true;
	else
		transfer->attempts++;
	channel->transfer = NULL;
	curl_easy_setopt(channel->easy, CURLOPT_HTTPHEADER, NULL);
	free_headers(channel);
	return verdict;
}
