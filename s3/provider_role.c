/* Roles, assumed through STS: with keys (AssumeRole), or with a token that an identity
 * provider wrote into a file (AssumeRoleWithWebIdentity: IRSA, any OIDC). */
#include "s3/credential_file.h"
#include "s3/credential_set.h"
#include "s3/endpoint.h"
#include "s3/error.h"
#include "s3/fetch.h"
#include "s3/provider_kinds.h"
#include "s3/sts.h"
#include <openssl/crypto.h>
#include <string.h>
#include <time.h>

#define SESSION_NAME_DEFAULT "stowage"
#define DURATION_MIN_S       900
#define DURATION_MAX_S       43200
#define TOKEN_MAX_BYTES      20000 /* STS's own limit */
#define TIMEOUT_MS           10000
#define CLOCK_OFF_MAX_S      240 /* STS takes five minutes */
#define FORM_TYPE            "application/x-www-form-urlencoded; charset=utf-8"

/* ---- asking ---- */

/* Host header of the URL: with the port unless it is the scheme's own. */
static char *host_of(const char *url)
{
	g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
	const char *host = g_uri_get_host(uri);
	GString *text = g_string_new(NULL);
	g_string_append_printf(text, strchr(host, ':') ? "[%s]" : "%s", host);
	int own = g_str_has_prefix(url, "https:") ? 443 : 80;
	if (g_uri_get_port(uri) != -1 && g_uri_get_port(uri) != own)
		g_string_append_printf(text, ":%d", g_uri_get_port(uri));
	return g_string_free(text, FALSE);
}

/* *server_time_s: STS's clock, 0 where it does not say. */
static struct s3_credentials *post(const struct s3_provider *provider, const char *form,
	const char *const *headers, int stop_fd, int64_t *server_time_s, GError **error)
{
	const struct s3_fetch request = {
		.method = "POST",
		.url = provider->url,
		.headers = headers,
		.body = form,
		.timeout_ms = TIMEOUT_MS,
		.proxy = true,
		.ca_file = provider->ca_file,
		.stop_fd = stop_fd,
	};
	struct s3_fetched answer;
	if (!s3_fetch(&request, &answer, error)) {
		g_prefix_error(error, "credentials from %s: STS at ", provider->source);
		return NULL;
	}
	*server_time_s = answer.server_time_s;
	struct s3_credentials *credentials = s3_sts_read(
		answer.status, answer.body, answer.body_bytes, provider->source, error);
	s3_fetched_clear(&answer);
	return credentials;
}

/* Signed at *time_s, which becomes STS's own, or 0. */
static struct s3_credentials *post_signed(const struct s3_provider *provider,
	const char *form, const struct s3_credentials *by, int stop_fd, int64_t *time_s,
	GError **error)
{
	g_autofree char *host = host_of(provider->url);
	g_autofree char *sha256 =
		g_compute_checksum_for_string(G_CHECKSUM_SHA256, form, -1);
	const struct sigv4_pair type = { "Content-Type", FORM_TYPE };
	const struct sigv4_request request = {
		.method = "POST",
		.host = host,
		.path = "/",
		.headers = &type,
		.n_headers = 1,
		.payload_sha256 = sha256,
	};
	char stamp[SIGV4_TIME_BYTES];
	sigv4_format_time(*time_s, stamp);
	struct sigv4_signer *signer = sigv4_signer_new(provider->region, "sts");
	g_autofree char *signature =
		sigv4_authorization(signer, &by->keys, &request, *time_s);
	sigv4_signer_free(&signer);
	g_autofree char *authorization = g_strconcat("Authorization: ", signature, NULL);
	g_autofree char *date = g_strconcat("x-amz-date: ", stamp, NULL);
	g_autoptr(secret_text) token =
		by->keys.session_token
			? g_strconcat(
				  "x-amz-security-token: ", by->keys.session_token, NULL)
			: NULL;
	const char *const headers[] = { "Content-Type: " FORM_TYPE, date, authorization,
		token, NULL };
	*time_s = 0;
	return post(provider, form, headers, stop_fd, time_s, error);
}

/* Once more with STS's time, if that is why it may have refused. */
static struct s3_credentials *post_in_time(const struct s3_provider *provider,
	const char *form, const struct s3_credentials *by, int stop_fd, GError **error)
{
	GError *refused = NULL;
	int64_t now_s = (int64_t)time(NULL);
	int64_t time_s = now_s;
	struct s3_credentials *credentials =
		post_signed(provider, form, by, stop_fd, &time_s, &refused);
	if (credentials)
		return credentials;
	if (!g_error_matches(refused, S3_ERROR, S3_ERROR_MEND) || !time_s ||
		ABS(now_s - time_s) <= CLOCK_OFF_MAX_S) {
		g_propagate_error(error, refused);
		return NULL;
	}
	g_error_free(refused);
	g_log("s3", G_LOG_LEVEL_WARNING,
		"this machine's clock is %" G_GINT64_FORMAT
		" s %s that of STS, whose time is signed with: set the clock (NTP)",
		ABS(now_s - time_s), now_s < time_s ? "behind" : "ahead of");
	return post_signed(provider, form, by, stop_fd, &time_s, error);
}

static char *make_form(const struct s3_provider *provider, const char *token)
{
	const struct s3_sts_role role = {
		.role_arn = provider->role_arn,
		.session_name = provider->role_session_name,
		.external_id = provider->external_id,
		.web_identity_token = token,
		.duration_s = provider->duration_s,
	};
	return s3_sts_form(&role);
}

static struct s3_credentials *load_role(
	const struct s3_provider *provider, int stop_fd, GError **error)
{
	struct s3_credentials *by = s3_provider_load(provider->base, stop_fd, error);
	if (!by)
		return NULL;
	g_autofree char *form = make_form(provider, NULL);
	struct s3_credentials *credentials =
		post_in_time(provider, form, by, stop_fd, error);
	s3_credentials_unref(by);
	return credentials;
}

/* The file is written anew before its token ends: it is read each time. */
static struct s3_credentials *load_web_identity(
	const struct s3_provider *provider, int stop_fd, GError **error)
{
	static const char *const headers[] = { "Content-Type: " FORM_TYPE, NULL };
	g_autoptr(secret_text) token = NULL;
	if (!s3_credential_value(
		    NULL, NULL, provider->token_file, provider->source, &token, error))
		return NULL;
	if (strlen(token) < 4 || strlen(token) > TOKEN_MAX_BYTES) {
		s3_fail(error, S3_ERROR_MEND, "credentials from %s: %s holds no token",
			provider->source, provider->token_file);
		return NULL;
	}
	g_autoptr(secret_text) form = make_form(provider, token);
	int64_t server_time_s;
	return post(provider, form, headers, stop_fd, &server_time_s, error);
}

static const struct s3_provider_kind role_kind = { load_role };
static const struct s3_provider_kind web_identity_kind = { load_web_identity };

/* ---- what is to be asked ---- */

/* Credentials and tokens travel there. */
static bool is_sound_url(const char *url)
{
	g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
	const char *path = uri ? g_uri_get_path(uri) : "";
	return s3_endpoint_url_is_private(url) && (!*path || strcmp(path, "/") == 0);
}

static const char *given(const char *text)
{
	return text && *text ? text : NULL;
}

static bool says(const char *variable, const char *otherwise, const char *word)
{
	const char *text = s3_provider_variable(variable);
	text = text ? text : otherwise;
	return text && g_ascii_strcasecmp(text, word) == 0;
}

/* The URL that someone configured, and who; NULL: nobody. */
static const char *configured_url(const struct s3_sts_ways *sts, const char **by)
{
	static const char *const variables[] = { "AWS_ENDPOINT_URL_STS",
		"AWS_ENDPOINT_URL" };
	if (says("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", sts->ignores_urls, "true"))
		return NULL;
	for (size_t i = 0; i < G_N_ELEMENTS(variables); i++) {
		*by = variables[i];
		if (s3_provider_variable(*by))
			return s3_provider_variable(*by);
	}
	*by = "the profile's endpoint_url";
	return given(sts->url);
}

static bool set_endpoint(struct s3_provider *provider,
	const struct s3_provider_role_words *words, GError **error)
{
	const struct s3_sts_ways *sts = &words->sts;
	const struct s3_sts_endpoint endpoint = {
		.region = words->region,
		.legacy = says(
			"AWS_STS_REGIONAL_ENDPOINTS", sts->regional_endpoints, "legacy"),
		.dual_stack = sts->dual_stack ||
			      says("AWS_USE_DUALSTACK_ENDPOINT", NULL, "true"),
		.fips = sts->fips || says("AWS_USE_FIPS_ENDPOINT", NULL, "true"),
	};
	const char *by = NULL;
	const char *url = configured_url(sts, &by);
	provider->url = s3_sts_url(&endpoint, &provider->region);
	provider->ca_file = g_strdup(given(sts->ca_file));
	if (!url)
		return true;
	if (!is_sound_url(url)) {
		s3_provider_refuse(provider->source, error,
			"%s (asked for STS) must be https://HOST[:PORT], http is "
			"for loopback only",
			by);
		return false;
	}
	g_free(provider->url);
	provider->url = g_strconcat(url, g_str_has_suffix(url, "/") ? "" : "/", NULL);
	return true;
}

static bool check_words(const struct s3_provider_role_words *words, unsigned *duration_s,
	const char *source, GError **error)
{
	guint64 number = 0;
	if (!s3_sts_is_role_arn(words->role_arn))
		s3_provider_refuse(source, error,
			"role_arn \"%.200s\" is not like "
			"arn:aws:iam::123456789012:role/NAME",
			words->role_arn);
	else if (words->session_name && !s3_sts_is_session_name(words->session_name))
		s3_provider_refuse(source, error,
			"role_session_name must be 2 to 64 letters, digits and +=,.@-_");
	else if (words->duration_seconds &&
		 !g_ascii_string_to_unsigned(words->duration_seconds, 10, DURATION_MIN_S,
			 DURATION_MAX_S, &number, NULL))
		s3_provider_refuse(source, error, "duration_seconds must be %d to %d",
			DURATION_MIN_S, DURATION_MAX_S);
	else {
		*duration_s = (unsigned)number;
		return true;
	}
	return false;
}

struct s3_provider *s3_provider_role(struct s3_provider *base,
	const struct s3_provider_role_words *words, const char *source, GError **error)
{
	struct s3_provider_role_words given_words = *words;
	unsigned duration_s;
	given_words.session_name = given(words->session_name);
	if ((!base && !words->token_file) ||
		!check_words(&given_words, &duration_s, source, error)) {
		s3_provider_unref(base);
		return NULL;
	}
	struct s3_provider *provider =
		s3_provider_new(base ? &role_kind : &web_identity_kind, source);
	provider->base = base;
	provider->token_file = g_strdup(words->token_file);
	provider->role_arn = g_strdup(words->role_arn);
	provider->role_session_name =
		g_strdup(given_words.session_name ? given_words.session_name
						  : SESSION_NAME_DEFAULT);
	provider->external_id = g_strdup(given(words->external_id));
	provider->duration_s = duration_s;
	if (!set_endpoint(provider, words, error))
		g_clear_pointer(&provider, s3_provider_unref);
	return provider;
}

/* ---- the environment's web identity ---- */

bool s3_provider_web_identity_given(void)
{
	return s3_provider_variable("AWS_WEB_IDENTITY_TOKEN_FILE") != NULL;
}

struct s3_provider *s3_provider_web_identity(
	const char *region, const struct s3_sts_ways *sts, GError **error)
{
	const char *role_arn = s3_provider_variable("AWS_ROLE_ARN");
	if (!role_arn)
		return s3_provider_refuse("AWS_WEB_IDENTITY_TOKEN_FILE", error,
			"AWS_ROLE_ARN is not set: it says which role the token is for");
	const struct s3_provider_role_words words = {
		.role_arn = role_arn,
		.session_name = s3_provider_variable("AWS_ROLE_SESSION_NAME"),
		.token_file = s3_provider_variable("AWS_WEB_IDENTITY_TOKEN_FILE"),
		.region = region,
		.sts = *sts,
	};
	g_autofree char *source = g_strdup_printf(
		"role %s by the web identity in %s", role_arn, words.token_file);
	return s3_provider_role(NULL, &words, source, error);
}
