/* One signed request, and the few fields of its answer that matter here. */
#include "gateway/relay/account.h"

#include "conf/text.h"
#include "gateway/error.h"
#include "gateway/relay/relay.h"
#include "s3/credential_file.h"
#include "s3/endpoint.h"
#include "s3/fetch.h"
#include "s3/provider.h"
#include "s3/sigv4.h"
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define PATH         "/v2/email/account"
#define TIMEOUT_MS   10000
#define RATE_MAX     1e6
#define QUOTA_MAX    1e12
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

struct account_source {
	char *origin; /* "https://host[:port]" */
	char *host;   /* as in the Host header */
	char *region;
	char *id, *id_file, *secret, *secret_file; /* all NULL: the usual chain */
};

static bool fail(GError **error, gint kind, const char *text)
{
	g_set_error(error, GATEWAY_ERROR, kind, "SES's API: %s", text);
	return false;
}

/* ---- the answer ---- */

static bool read_number(
	const json_t *object, const char *name, double min, double max, double *number)
{
	const json_t *value = json_object_get(object, name);
	if (!value)
		return true;
	*number = json_number_value(value);
	return json_is_number(value) && isfinite(*number) && *number >= min &&
	       *number <= max;
}

/* What is not said counts as fine. */
static bool is_false(const json_t *object, const char *name)
{
	return json_is_false(json_object_get(object, name));
}

static void copy_word(char *out, size_t out_bytes, const char *text)
{
	size_t i = 0;
	for (; text && text[i] && i + 1 < out_bytes; i++)
		out[i] = g_ascii_isalnum(text[i]) || text[i] == '_' ? text[i] : '?';
	out[i] = '\0';
}

static bool read_account(const json_t *root, struct account *account)
{
	const json_t *quota = json_object_get(root, "SendQuota");
	*account = (struct account){ 0 };
	if (!json_is_object(quota) ||
		!read_number(quota, "MaxSendRate", 0, RATE_MAX, &account->rate) ||
		!read_number(quota, "Max24HourSend", -1, QUOTA_MAX, &account->quota) ||
		!read_number(quota, "SentLast24Hours", 0, QUOTA_MAX, &account->sent_24h))
		return false;
	copy_word(account->enforcement, sizeof(account->enforcement),
		json_string_value(json_object_get(root, "EnforcementStatus")));
	account->production = !is_false(root, "ProductionAccessEnabled");
	account->sends = !is_false(root, "SendingEnabled") &&
			 strcmp(account->enforcement, "SHUTDOWN") != 0;
	return true;
}

bool account_parse(
	const char *json, size_t json_bytes, struct account *account, GError **error)
{
	json_t *root = json_loadb(json, json_bytes, 0, NULL);
	bool ok = read_account(root, account);
	json_decref(root);
	return ok || fail(error, GATEWAY_ERROR_RETRY, "its answer is not GetAccount's");
}

/* ---- where to ask ---- */

/* The Host header of the origin: with its port unless it is the scheme's own. */
static char *host_header(const char *origin, GError **error)
{
	g_autoptr(GUri) uri = g_uri_parse(origin, G_URI_FLAGS_NONE, NULL);
	const char *host = uri ? g_uri_get_host(uri) : NULL;
	if (!host || !*host) {
		fail(error, GATEWAY_ERROR_MEND, "relay.api_endpoint is no URL");
		return NULL;
	}
	bool https = strcmp(g_uri_get_scheme(uri), "https") == 0;
	if (!https && !conf_text_host_is_loopback(host)) {
		/* A session token travels there. */
		fail(error, GATEWAY_ERROR_MEND,
			"relay.api_endpoint must be https://HOST, http is for loopback "
			"only");
		return NULL;
	}
	int port = g_uri_get_port(uri), own = https ? 443 : 80;
	GString *text = g_string_new(NULL);
	g_string_append_printf(text, strchr(host, ':') ? "[%s]" : "%s", host);
	if (port != -1 && port != own)
		g_string_append_printf(text, ":%d", port);
	return g_string_free(text, FALSE);
}

static char *find_region(const struct conf_relay *settings)
{
	if (settings->region)
		return g_strdup(settings->region);
	char *region = settings->host ? ses_region_of_host(settings->host) : NULL;
	if (region)
		return region;
	/* Of an endpoint such as https://email.eu-west-1.amazonaws.com. */
	g_auto(GStrv) labels =
		g_strsplit(settings->api_endpoint ? settings->api_endpoint : "", ".", 3);
	bool named = g_strv_length(labels) == 3 &&
		     g_str_has_prefix(labels[2], "amazonaws.com") &&
		     ses_is_region(labels[1]);
	return named ? g_strdup(labels[1]) : NULL;
}

struct account_source *account_source_new(
	const struct conf_relay *settings, GError **error)
{
	g_autofree char *region = find_region(settings);
	if (!region && settings->api_endpoint)
		fail(error, GATEWAY_ERROR_MEND, "relay.region is not known");
	if (!region)
		return NULL;
	g_autofree char *origin = settings->api_endpoint
					  ? g_strdup(settings->api_endpoint)
					  : g_strdup_printf("https://email.%s.%s", region,
						    s3_endpoint_domain(region));
	size_t bytes = strlen(origin);
	if (bytes > 0 && origin[bytes - 1] == '/')
		origin[bytes - 1] = '\0';
	g_autofree char *host = host_header(origin, error);
	if (!host)
		return NULL;
	struct account_source *source = g_new0(struct account_source, 1);
	source->origin = g_steal_pointer(&origin);
	source->host = g_steal_pointer(&host);
	source->region = g_steal_pointer(&region);
	source->id = g_strdup(settings->iam_access_key_id);
	source->id_file = g_strdup(settings->iam_access_key_id_file);
	source->secret = g_strdup(settings->iam_secret_access_key);
	source->secret_file = g_strdup(settings->iam_secret_access_key_file);
	return source;
}

void account_source_free(struct account_source **source)
{
	struct account_source *s = g_steal_pointer(source);
	if (!s)
		return;
	g_free(s->origin);
	g_free(s->host);
	g_free(s->region);
	g_free(s->id);
	g_free(s->id_file);
	sigv4_wipe(s->secret);
	g_free(s->secret_file);
	g_free(s);
}

/* ---- asking ---- */

/* An IAM key of the relay is used as s3/ uses one of its settings. */
static struct s3_credentials *load_credentials(
	const struct account_source *source, int stop_fd, GError **error)
{
	const struct s3_settings settings = {
		.region = source->region,
		.access_key_id = source->id,
		.access_key_id_file = source->id_file,
		.secret_access_key = source->secret,
		.secret_access_key_file = source->secret_file,
	};
	g_autoptr(GArray) files = s3_credential_files_new();
	struct s3_provider *provider = s3_provider_resolve(&settings, files, error);
	if (!provider)
		return NULL;
	struct s3_credentials *credentials = s3_provider_load(provider, stop_fd, error);
	s3_provider_unref(provider);
	return credentials;
}

static bool fetch(const struct account_source *source, const struct s3_credentials *by,
	int stop_fd, struct s3_fetched *answer, GError **error)
{
	const struct sigv4_request signing = {
		.method = "GET",
		.host = source->host,
		.path = PATH,
		.payload_sha256 = EMPTY_SHA256,
	};
	char stamp[SIGV4_TIME_BYTES];
	int64_t now_s = (int64_t)time(NULL);
	sigv4_format_time(now_s, stamp);
	struct sigv4_signer *signer = sigv4_signer_new(source->region, "ses");
	g_autofree char *signature =
		sigv4_authorization(signer, &by->keys, &signing, now_s);
	sigv4_signer_free(&signer);
	g_autofree char *authorization = g_strconcat("Authorization: ", signature, NULL);
	g_autofree char *date = g_strconcat("x-amz-date: ", stamp, NULL);
	g_autofree char *url = g_strconcat(source->origin, PATH, NULL);
	char *token = by->keys.session_token ? g_strconcat("x-amz-security-token: ",
						       by->keys.session_token, NULL)
					     : NULL;
	const char *const headers[] = { date, authorization, token, NULL };
	const struct s3_fetch request = {
		.method = "GET",
		.url = url,
		.headers = headers,
		.timeout_ms = TIMEOUT_MS,
		.proxy = true,
		.stop_fd = stop_fd,
	};
	bool answered = s3_fetch(&request, answer, error);
	sigv4_wipe(token);
	return answered;
}

static bool read_answer(
	const struct s3_fetched *answer, struct account *account, GError **error)
{
	if (answer->status == 200)
		return account_parse(answer->body, answer->body_bytes, account, error);
	if (answer->status == 401 || answer->status == 403) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"SES's API answers %ld: asking for the account's rate and quota "
			"takes the IAM action ses:GetAccount",
			answer->status);
		return false;
	}
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY, "SES's API answers %ld",
		answer->status);
	return false;
}

/* s3/ has kinds of its own. */
static bool hand_on(GError *problem, GError **error)
{
	bool mend = g_error_matches(problem, S3_ERROR, S3_ERROR_MEND) ||
		    g_error_matches(problem, S3_ERROR, S3_ERROR_CONFIG);
	g_set_error(error, GATEWAY_ERROR, mend ? GATEWAY_ERROR_MEND : GATEWAY_ERROR_RETRY,
		"SES's API: %s", problem->message);
	g_error_free(problem);
	return false;
}

bool account_ask(const struct account_source *source, int stop_fd,
	struct account *account, GError **error)
{
	GError *problem = NULL;
	struct s3_credentials *by = load_credentials(source, stop_fd, &problem);
	if (!by) {
		g_prefix_error(&problem, "nothing to sign the question with: ");
		return hand_on(problem, error);
	}
	struct s3_fetched answer = { 0 };
	bool answered = fetch(source, by, stop_fd, &answer, &problem);
	s3_credentials_unref(by);
	if (!answered)
		return hand_on(problem, error);
	bool ok = read_answer(&answer, account, error);
	s3_fetched_clear(&answer);
	return ok;
}
