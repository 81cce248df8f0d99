/* What a container is given by its host: ECS tasks (relative URI) and EKS Pod Identity,
 * Greengrass and the like (full URI, with a token). */
#include "s3/credential_file.h"
#include "s3/credential_set.h"
#include "s3/error.h"
#include "s3/fetch.h"
#include "s3/provider_kinds.h"
#include <string.h>

#define RELATIVE   "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL       "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN      "AWS_CONTAINER_AUTHORIZATION_TOKEN"
#define TOKEN_FILE "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
#define ECS_HOST   "http://169.254.170.2"
#define TIMEOUT_MS 2000
#define ATTEMPTS   2

static const char source[] = "the container's credential service";

/* ---- asking ---- */

static bool read_token(const struct s3_provider *provider, char **header, GError **error)
{
	g_autoptr(secret_text) token = NULL;
	*header = NULL;
	if (!s3_credential_value(
		    NULL, provider->token, provider->token_file, source, &token, error))
		return false;
	if (!token)
		return true;
	if (strpbrk(token, "\r\n"))
		return s3_fail(error, S3_ERROR_MEND,
			"credentials from %s: the authorization token is not one line",
			source);
	*header = g_strconcat("Authorization: ", token, NULL);
	return true;
}

static bool ask(const struct s3_provider *provider, const char *authorization,
	int stop_fd, struct s3_fetched *answer, GError **error)
{
	const char *const headers[] = { "Accept: application/json", authorization, NULL };
	const struct s3_fetch request = {
		.method = "GET",
		.url = provider->url,
		.headers = headers,
		.timeout_ms = TIMEOUT_MS,
		.stop_fd = stop_fd,
	};
	GError *cause = NULL;
	for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
		g_clear_error(&cause);
		if (s3_fetch(&request, answer, &cause))
			return true;
	}
	g_propagate_prefixed_error(error, cause, "credentials from %s: ", source);
	return false;
}

static struct s3_credentials *load(
	const struct s3_provider *provider, int stop_fd, GError **error)
{
	g_autoptr(secret_text) authorization = NULL;
	struct s3_fetched answer;
	if (!read_token(provider, &authorization, error) ||
		!ask(provider, authorization, stop_fd, &answer, error))
		return NULL;
	struct s3_credentials *credentials = NULL;
	if (answer.status == 200)
		credentials = s3_credential_set_parse(
			answer.body, answer.body_bytes, false, source, error);
	else
		s3_fail(error, answer.status >= 500 ? S3_ERROR_RETRY : S3_ERROR_MEND,
			"credentials from %s: it answered %ld%s", source, answer.status,
			answer.status == 401 || answer.status == 403
				? ": check the authorization token and the role"
				: "");
	s3_fetched_clear(&answer);
	return credentials;
}

static const struct s3_provider_kind kind = { load };

/* ---- what is to be asked ---- */

bool s3_provider_container_given(void)
{
	return s3_provider_variable(RELATIVE) || s3_provider_variable(FULL);
}

/* Whoever can set the variable must not be able to have the token sent anywhere. */
static bool is_allowed(const char *url)
{
	static const char *const hosts[] = { "localhost", "::1", "169.254.170.2",
		"169.254.170.23", "fd00:ec2::23", NULL };
	g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_ENCODED, NULL);
	const char *host = uri ? g_uri_get_host(uri) : NULL;
	if (!host || !*host || g_uri_get_userinfo(uri))
		return false;
	if (strcmp(g_uri_get_scheme(uri), "https") == 0)
		return true;
	g_autofree char *lower = g_ascii_strdown(host, -1);
	return strcmp(g_uri_get_scheme(uri), "http") == 0 &&
	       (g_strv_contains(hosts, lower) ||
		       (g_str_has_prefix(lower, "127.") &&
			       g_hostname_is_ip_address(lower)));
}

struct s3_provider *s3_provider_container(GError **error)
{
	const char *relative = s3_provider_variable(RELATIVE);
	g_autofree char *url = relative ? g_strconcat(ECS_HOST, relative, NULL)
					: g_strdup(s3_provider_variable(FULL));
	if (!url)
		return s3_provider_refuse(
			source, error, "neither " RELATIVE " nor " FULL " is set");
	if ((relative && *relative != '/') || !is_allowed(url))
		return s3_provider_refuse(source, error,
			relative ? RELATIVE " must begin with \"/\""
				 : FULL " must be https, or http at 169.254.170.2, "
					"169.254.170.23, [fd00:ec2::23] or loopback");
	struct s3_provider *provider = s3_provider_new(&kind, source);
	provider->url = g_steal_pointer(&url);
	provider->token_file = g_strdup(s3_provider_variable(TOKEN_FILE));
	if (!provider->token_file)
		provider->token = g_strdup(s3_provider_variable(TOKEN));
	return provider;
}
