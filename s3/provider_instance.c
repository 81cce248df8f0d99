/* The role of the EC2 instance, by its metadata service: version 2 only, since version 1
 * answers anybody who can make this process send a GET. */
#include "s3/credential_set.h"
#include "s3/error.h"
#include "s3/fetch.h"
#include "s3/provider_kinds.h"
#include <string.h>

#define SERVICE_IPV4      "http://169.254.169.254"
#define SERVICE_IPV6      "http://[fd00:ec2::254]"
#define TOKEN_PATH        "/latest/api/token"
#define ROLE_PATH         "/latest/meta-data/iam/security-credentials/"
#define TOKEN_LIFE_HEADER "X-aws-ec2-metadata-token-ttl-seconds: 21600"
#define TOKEN_HEADER      "X-aws-ec2-metadata-token: "
#define WORD_MAX_BYTES    1024
#define TIMEOUT_S         1
#define TIMEOUT_MAX_S     60
#define ATTEMPTS          1
#define ATTEMPTS_MAX      10

static const char source[] = "the EC2 instance's metadata service";

/* ---- asking ---- */

static bool ask(const struct s3_provider *provider, const struct s3_fetch *wanted,
	struct s3_fetched *answer, GError **error)
{
	GError *cause = NULL;
	for (unsigned attempt = 0; attempt < provider->attempts; attempt++) {
		g_clear_error(&cause);
		if (s3_fetch(wanted, answer, &cause))
			return true;
	}
	/* The answer to a container may not be let through (HttpPutResponseHopLimit). */
	s3_fail(error, (enum s3_error)cause->code,
		"credentials from %s: %s (for a container, the instance's hop limit must "
		"be 2)",
		source, cause->message);
	g_error_free(cause);
	return false;
}

static bool request(const struct s3_provider *provider, const char *method,
	const char *path, const char *header, int stop_fd, struct s3_fetched *answer,
	GError **error)
{
	const char *const headers[] = { header, NULL };
	g_autofree char *url = g_strconcat(provider->url, path, NULL);
	const struct s3_fetch wanted = {
		.method = method,
		.url = url,
		.headers = headers,
		.timeout_ms = provider->timeout_ms,
		.stop_fd = stop_fd,
	};
	return ask(provider, &wanted, answer, error);
}

/* One word of plain ASCII, as tokens and role names are; what else may come is no answer
 * of this service, and must not get into a header. */
static char *take_word(struct s3_fetched *answer)
{
	char *text = answer->body;
	text[strcspn(text, "\r\n")] = '\0';
	bool sound = *text && strlen(text) <= WORD_MAX_BYTES;
	for (const char *p = text; *p && sound; p++)
		sound = g_ascii_isgraph(*p);
	char *word = sound ? g_strdup(text) : NULL;
	s3_fetched_clear(answer);
	return word;
}

static const char *advice_for(long status, bool is_token)
{
	if (is_token && (status == 403 || status == 404 || status == 405))
		return ": it must offer version 2 (IMDSv2), and not be switched off";
	if (status == 404)
		return ": no role is attached to the instance";
	if (status == 401)
		return ": it does not take its own token";
	return "";
}

/* The first word of what it answers, or NULL. */
static char *request_word(const struct s3_provider *provider, const char *path,
	const char *header, int stop_fd, GError **error)
{
	bool is_token = strcmp(path, TOKEN_PATH) == 0;
	struct s3_fetched answer;
	if (!request(provider, is_token ? "PUT" : "GET", path, header, stop_fd, &answer,
		    error))
		return NULL;
	long status = answer.status;
	char *word = take_word(&answer);
	if (status == 200 && word)
		return word;
	sigv4_wipe(word);
	s3_fail(error, status >= 500 || status == 429 ? S3_ERROR_RETRY : S3_ERROR_MEND,
		"credentials from %s: it answered %ld to %s%s", source, status, path,
		advice_for(status, is_token));
	return NULL;
}

static struct s3_credentials *request_keys(const struct s3_provider *provider,
	const char *role, const char *header, int stop_fd, GError **error)
{
	g_autoptr(GString) path = g_string_new(ROLE_PATH);
	sigv4_append_encoded(path, role, false);
	struct s3_fetched answer;
	if (!request(provider, "GET", path->str, header, stop_fd, &answer, error))
		return NULL;
	struct s3_credentials *credentials = NULL;
	if (answer.status == 200)
		credentials = s3_credential_set_parse(
			answer.body, answer.body_bytes, false, source, error);
	else
		s3_fail(error, S3_ERROR_RETRY,
			"credentials from %s: it answered %ld for role %s", source,
			answer.status, role);
	s3_fetched_clear(&answer);
	return credentials;
}

static struct s3_credentials *load(
	const struct s3_provider *provider, int stop_fd, GError **error)
{
	g_autoptr(secret_text) token =
		request_word(provider, TOKEN_PATH, TOKEN_LIFE_HEADER, stop_fd, error);
	if (!token)
		return NULL;
	g_autoptr(secret_text) header = g_strconcat(TOKEN_HEADER, token, NULL);
	g_autofree char *role = request_word(provider, ROLE_PATH, header, stop_fd, error);
	return role ? request_keys(provider, role, header, stop_fd, error) : NULL;
}

static const struct s3_provider_kind kind = { load };

/* ---- whether and where ---- */

static bool file_begins(const char *path, const char *text)
{
	g_autofree char *content = NULL;
	return g_file_get_contents(path, &content, NULL, NULL) &&
	       g_ascii_strncasecmp(content, text, strlen(text)) == 0;
}

/* Elsewhere nobody answers at that address, or somebody who is not Amazon. */
static bool is_ec2(void)
{
	return file_begins("/sys/class/dmi/id/sys_vendor", "Amazon EC2") ||
	       file_begins("/sys/class/dmi/id/board_vendor", "Amazon EC2") ||
	       file_begins("/sys/hypervisor/uuid", "ec2");
}

bool s3_provider_instance_given(void)
{
	if (s3_provider_variable_is_true("AWS_EC2_METADATA_DISABLED"))
		return false;
	return s3_provider_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT") || is_ec2();
}

static unsigned number(const char *variable, unsigned otherwise, unsigned max)
{
	const char *text = s3_provider_variable(variable);
	guint64 value = otherwise;
	if (text)
		g_ascii_string_to_unsigned(text, 10, 1, max, &value, NULL);
	return (unsigned)value;
}

static char *service_url(void)
{
	const char *url = s3_provider_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
	const char *mode = s3_provider_variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
	bool ipv6 = mode && g_ascii_strcasecmp(mode, "IPv6") == 0;
	if (!url)
		return g_strdup(ipv6 ? SERVICE_IPV6 : SERVICE_IPV4);
	char *text = g_strdup(url);
	for (size_t n = strlen(text); n && text[n - 1] == '/'; n--)
		text[n - 1] = '\0';
	return text;
}

static bool is_url(const char *url)
{
	g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
	return uri && g_uri_get_host(uri) && *g_uri_get_host(uri) &&
	       (strcmp(g_uri_get_scheme(uri), "http") == 0 ||
		       strcmp(g_uri_get_scheme(uri), "https") == 0);
}

struct s3_provider *s3_provider_instance(GError **error)
{
	if (s3_provider_variable_is_true("AWS_EC2_METADATA_DISABLED"))
		return s3_provider_refuse(
			source, error, "AWS_EC2_METADATA_DISABLED is true");
	g_autofree char *url = service_url();
	if (!is_url(url))
		return s3_provider_refuse(source, error,
			"AWS_EC2_METADATA_SERVICE_ENDPOINT is not like http://host");
	struct s3_provider *provider = s3_provider_new(&kind, source);
	provider->url = g_steal_pointer(&url);
	provider->timeout_ms =
		1000 * number("AWS_METADATA_SERVICE_TIMEOUT", TIMEOUT_S, TIMEOUT_MAX_S);
	provider->attempts =
		number("AWS_METADATA_SERVICE_NUM_ATTEMPTS", ATTEMPTS, ATTEMPTS_MAX);
	return provider;
}
