/* One transfer on a libcurl handle of its own: credentials are asked for a few times an
 * hour, so no connection is kept. */
#include "s3/fetch.h"
#include "s3/curl.h"
#include "s3/error.h"
#include <openssl/crypto.h>
#include <string.h>

/* Longest sleep; the transfer's own time limit wakes libcurl earlier. */
#define POLL_MS 1000

struct state {
	char *body; /* S3_FETCH_BODY_MAX_BYTES + 1, so that it never moves */
	size_t body_bytes;
	bool body_cut;
	bool head_ended;
	char curl_error[CURL_ERROR_SIZE];
};

static size_t on_write(char *data, size_t size, size_t n, void *user)
{
	struct state *state = user;
	size_t bytes = size * n;
	if (bytes > S3_FETCH_BODY_MAX_BYTES - state->body_bytes) {
		state->body_cut = true;
		return 0;
	}
	memcpy(state->body + state->body_bytes, data, bytes);
	state->body_bytes += bytes;
	return bytes;
}

/* libcurl takes an answer that ends in the middle of its headers for a good one. */
static size_t on_header(char *line, size_t size, size_t n, void *user)
{
	struct state *state = user;
	if (size * n >= 5 && memcmp(line, "HTTP/", 5) == 0)
		state->head_ended = false;
	else if (size * n > 0 && (line[0] == '\r' || line[0] == '\n'))
		state->head_ended = true;
	return size * n;
}

#define SET(option, value) S3_CURL_SET(easy, option, value)

static void set_transport(CURL *easy, const struct s3_fetch *request)
{
	bool https = g_str_has_prefix(request->url, "https:");
	const char *bundle = g_getenv("AWS_CA_BUNDLE");
	if (!bundle || !*bundle)
		bundle = request->ca_file;
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, https ? "https" : "http");
	if (!https || !request->proxy)
		SET(CURLOPT_PROXY, "");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_CAINFO, bundle ? bundle : S3_CURL_DISTRIBUTION_BUNDLE);
	SET(CURLOPT_CAPATH, NULL);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
	SET(CURLOPT_USERAGENT, "stowage");
}

static void set_request(CURL *easy, const struct s3_fetch *request,
	struct curl_slist *headers, struct state *state)
{
	SET(CURLOPT_URL, request->url);
	SET(CURLOPT_HTTPHEADER, headers);
	if (request->body) {
		SET(CURLOPT_POSTFIELDSIZE, (long)strlen(request->body));
		SET(CURLOPT_POSTFIELDS, request->body);
	} else if (strcmp(request->method, "GET") != 0) {
		SET(CURLOPT_POSTFIELDSIZE, 0L);
		SET(CURLOPT_POSTFIELDS, "");
	}
	SET(CURLOPT_CUSTOMREQUEST, request->method);
	SET(CURLOPT_ERRORBUFFER, state->curl_error);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, state);
	SET(CURLOPT_WRITEFUNCTION, on_write);
	SET(CURLOPT_WRITEDATA, state);
}

static struct curl_slist *make_headers(const struct s3_fetch *request)
{
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");
	for (const char *const *h = request->headers; h && *h && list; h++) {
		struct curl_slist *longer = curl_slist_append(list, *h);
		if (!longer)
			g_error("out of memory");
		list = longer;
	}
	return list;
}

/* The lines hold tokens. */
static void free_headers(struct curl_slist *headers)
{
	for (struct curl_slist *line = headers; line; line = line->next)
		OPENSSL_cleanse(line->data, strlen(line->data));
	curl_slist_free_all(headers);
}

static CURLcode run_in(CURLM *multi, int stop_fd)
{
	for (;;) {
		int running = 0, left = 0;
		curl_multi_perform(multi, &running);
		CURLMsg *message = curl_multi_info_read(multi, &left);
		if (message && message->msg == CURLMSG_DONE)
			return message->data.result;
		if (!running)
			return CURLE_FAILED_INIT;
		struct curl_waitfd stop = { .fd = stop_fd, .events = CURL_WAIT_POLLIN };
		unsigned n = stop_fd >= 0 ? 1 : 0;
		if (curl_multi_poll(multi, &stop, n, POLL_MS, NULL) != CURLM_OK)
			return CURLE_FAILED_INIT;
		if (stop.revents)
			return CURLE_ABORTED_BY_CALLBACK;
	}
}

static CURLcode run(CURL *easy, int stop_fd)
{
	CURLM *multi = curl_multi_init();
	if (!multi || curl_multi_add_handle(multi, easy) != CURLM_OK)
		g_error("libcurl gives no handle: out of memory");
	CURLcode result = run_in(multi, stop_fd);
	curl_multi_remove_handle(multi, easy);
	curl_multi_cleanup(multi);
	return result;
}

static bool judge(
	const char *url, const struct state *state, CURLcode result, GError **error)
{
	if (result == CURLE_OK && state->head_ended)
		return true;
	g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
	const char *host = uri ? g_uri_get_host(uri) : "?";
	bool certificate = result == CURLE_PEER_FAILED_VERIFICATION ||
			   result == CURLE_SSL_CACERT_BADFILE;
	const char *what =
		*state->curl_error ? state->curl_error : curl_easy_strerror(result);
	if (state->body_cut)
		what = "its answer is longer than 64 KiB";
	else if (result == CURLE_OK)
		what = "its answer broke off";
	else if (result == CURLE_ABORTED_BY_CALLBACK)
		what = "given up, since the gateway ends";
	return s3_fail(error, certificate ? S3_ERROR_MEND : S3_ERROR_RETRY, "%s: %s",
		host, what);
}

static int64_t date_of(CURL *easy)
{
	struct curl_header *date;
	if (curl_easy_header(easy, "date", 0, CURLH_HEADER, -1, &date) != CURLHE_OK)
		return 0;
	time_t time_s = curl_getdate(date->value, NULL);
	return time_s == -1 ? 0 : (int64_t)time_s;
}

bool s3_fetch(const struct s3_fetch *request, struct s3_fetched *answer, GError **error)
{
	struct state state = { .body = g_malloc(S3_FETCH_BODY_MAX_BYTES + 1) };
	*answer = (struct s3_fetched){ 0 };
	s3_curl_start();
	CURL *easy = curl_easy_init();
	if (!easy)
		g_error("libcurl gives no handle: out of memory");
	struct curl_slist *headers = make_headers(request);
	set_transport(easy, request);
	set_request(easy, request, headers, &state);
	CURLcode result = run(easy, request->stop_fd);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer->status);
	answer->server_time_s = date_of(easy);
	curl_easy_cleanup(easy);
	free_headers(headers);
	state.body[state.body_bytes] = '\0';
	answer->body = state.body;
	answer->body_bytes = state.body_bytes;
	bool answered = judge(request->url, &state, result, error);
	if (!answered)
		s3_fetched_clear(answer);
	return answered;
}

void s3_fetched_clear(struct s3_fetched *answer)
{
	if (answer->body)
		OPENSSL_cleanse(answer->body, answer->body_bytes);
	g_clear_pointer(&answer->body, g_free);
	answer->body_bytes = 0;
}
