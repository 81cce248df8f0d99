/* Who signs links, for which host, and whether they can live as long as they shall. Asks
 * nobody. */
#include "conf/check.h"
#include "conf/files.h"
#include "conf/text.h"
#include "s3/cloudfront.h"
#include <string.h>

enum {
	DAY_S = 86400,
	S3_LONGEST_S = 7 * DAY_S,
	SESSION_LONGEST_S = 36 * 3600,
	ROLE_LONGEST_S = 12 * 3600,
};

/* https://host[:port][/path], in clear to loopback only; no slash at the end. */
static void check_base(const struct conf_check *check, const char *key, const char *url)
{
	if (url == NULL || conf_check_any_bad(check, key, NULL))
		return;
	g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
	const char *scheme = uri != NULL ? g_uri_get_scheme(uri) : "";
	const char *host = uri != NULL ? g_uri_get_host(uri) : NULL;
	bool sound = host != NULL && *host != '\0' &&
		     (strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0) &&
		     g_uri_get_userinfo(uri) == NULL && g_uri_get_query(uri) == NULL &&
		     g_uri_get_fragment(uri) == NULL;
	for (const char *c = sound ? g_uri_get_path(uri) : ""; *c != '\0'; c++)
		sound = sound && (g_ascii_isalnum(*c) || strchr("._-/", *c) != NULL);
	if (strchr(url, '@') != NULL) /* not shown: a password may stand before it */
		conf_source_problem(check->source, key,
			"holds an @: write https://HOST, with or without port and path");
	else if (!sound)
		conf_source_problem(check->source, key,
			"\"%.80s\" is not like https://files.example.com, with a path of "
			"letters, digits, dots, underscores and hyphens where keys "
			"follow one",
			url);
	else if (strcmp(scheme, "https") != 0 && !conf_text_host_is_loopback(host))
		conf_source_problem(check->source, key,
			"%s is not encrypted: write https, http is for loopback only",
			url);
}

static void check_beside(const struct conf_check *check, const char *key, bool given,
	const char *other, bool other_given)
{
	if (given && !other_given && !conf_check_any_bad(check, key, other, NULL))
		conf_source_problem(check->source, key, "needs %s (or %s_file) beside it",
			strrchr(other, '.') + 1, strrchr(other, '.') + 1);
}

static void check_credentials(const struct conf_check *check)
{
	const struct s3_link_settings *links = &check->conf->s3.links;
	bool id = links->access_key_id != NULL || links->access_key_id_file != NULL;
	bool secret =
		links->secret_access_key != NULL || links->secret_access_key_file != NULL;
	bool token = links->session_token != NULL || links->session_token_file != NULL;
	conf_check_secret(check, "links.access_key_id", links->access_key_id,
		links->access_key_id_file);
	conf_check_secret(check, "links.secret_access_key", links->secret_access_key,
		links->secret_access_key_file);
	conf_check_secret(check, "links.session_token", links->session_token,
		links->session_token_file);
	check_beside(check,
		links->access_key_id != NULL ? "links.access_key_id"
					     : "links.access_key_id_file",
		id, "links.secret_access_key", secret);
	check_beside(check,
		links->secret_access_key != NULL ? "links.secret_access_key"
						 : "links.secret_access_key_file",
		secret, "links.access_key_id", id);
	check_beside(check,
		links->session_token != NULL ? "links.session_token"
					     : "links.session_token_file",
		token, "links.access_key_id", id);
	if (id && (links->profile != NULL || links->credentials_file != NULL))
		conf_source_warning(check->source,
			links->profile != NULL ? "links.profile"
					       : "links.credentials_file",
			"has no effect beside access_key_id");
	conf_check_file(check, "links.credentials_file", links->credentials_file,
		conf_file_check);
}

static bool is_signing_key(const char *path, GError **error)
{
	if (!conf_file_check(path, error))
		return false;
	struct s3_cloudfront *signer = s3_cloudfront_new("", path, error);
	bool is_taken = signer != NULL;
	s3_cloudfront_free(&signer);
	return is_taken;
}

static void check_cloudfront(const struct conf_check *check)
{
	const struct s3_link_settings *links = &check->conf->s3.links;
	static const char *const unused[] = { "access_key_id", "access_key_id_file",
		"secret_access_key", "secret_access_key_file", "session_token",
		"session_token_file", "credentials_file", "profile", "base_url",
		"signed_for_endpoint" };
	check_base(check, "links.cloudfront.url", links->cloudfront_url);
	conf_check_file(check, "links.cloudfront.private_key_file",
		links->cloudfront_private_key_file, is_signing_key);
	if (conf_check_any_bad(check, "links.cloudfront", "links.cloudfront.url",
		    "links.cloudfront.key_pair_id", "links.cloudfront.private_key_file",
		    NULL))
		return;
	if (links->cloudfront_url == NULL || links->cloudfront_key_pair_id == NULL ||
		links->cloudfront_private_key_file == NULL)
		conf_source_problem(check->source, "links.cloudfront",
			"needs all of url, key_pair_id and private_key_file");
	for (size_t i = 0; i < G_N_ELEMENTS(unused); i++) {
		g_autofree char *key = g_strconcat("links.", unused[i], NULL);
		if (conf_source_is_given(check->source, key))
			conf_source_warning(check->source, key,
				"has no effect with links.cloudfront");
	}
}

/* How long what signs links can live, where that is known to be temporary. */
static unsigned longest_s(const struct s3_settings *s3)
{
	const struct s3_link_settings *links = &s3->links;
	if (links->access_key_id != NULL || links->access_key_id_file != NULL)
		return links->session_token != NULL || links->session_token_file != NULL
			       ? SESSION_LONGEST_S
			       : S3_LONGEST_S;
	if (links->profile != NULL || links->credentials_file != NULL)
		return S3_LONGEST_S; /* not known */
	if (s3->role_arn != NULL)
		return ROLE_LONGEST_S;
	return s3->session_token != NULL || s3->session_token_file != NULL
		       ? SESSION_LONGEST_S
		       : S3_LONGEST_S;
}

static void check_expiry(const struct conf_check *check, bool cloudfront)
{
	const struct conf *conf = check->conf;
	if (conf_check_any_bad(check, "links.expiry", "s3.retention", NULL))
		return;
	if (!cloudfront && conf->link_expiry_s > S3_LONGEST_S)
		conf_source_problem(check->source, "links.expiry",
			"is over 7d, the longest that S3 allows: only links.cloudfront "
			"goes beyond");
	else if (!cloudfront && conf->s3.directory == NULL &&
		 conf->link_expiry_s > longest_s(&conf->s3))
		conf_source_warning(check->source, "links.expiry",
			"cannot be kept: %s at most, often much earlier, and links with "
			"it; give links an IAM user's key (links.access_key_id)",
			longest_s(&conf->s3) == ROLE_LONGEST_S
				? "an assumed role ends after 12h"
				: "a session token ends after 36h");
	if (conf->s3_retention_s != 0 && conf->s3_retention_s < conf->link_expiry_s)
		conf_source_warning(check->source, "s3.retention",
			"is shorter than links.expiry: links end when their object is "
			"deleted");
}

void conf_check_links(const struct conf_check *check)
{
	const struct s3_link_settings *links = &check->conf->s3.links;
	bool cloudfront = links->cloudfront_url != NULL ||
			  links->cloudfront_key_pair_id != NULL ||
			  links->cloudfront_private_key_file != NULL;
	bool directory = check->conf->s3.directory != NULL;
	if (directory && cloudfront)
		conf_source_problem(check->source, "links.cloudfront",
			"is given beside s3.directory: a distribution is a bucket's");
	else if (cloudfront)
		check_cloudfront(check);
	else
		check_base(check, "links.base_url", links->base_url);
	check_credentials(check);
	if (directory && (links->access_key_id != NULL || links->profile != NULL ||
				 links->access_key_id_file != NULL ||
				 links->credentials_file != NULL))
		conf_source_warning(check->source, "links",
			"credentials have no effect with s3.directory, which has a key "
			"pair of its own");
	if (links->signed_for_endpoint && links->base_url == NULL)
		conf_source_warning(check->source, "links.signed_for_endpoint",
			"has no effect without links.base_url");
	check_expiry(check, cloudfront);
}
