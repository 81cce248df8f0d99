/* Chooses key, host and end of links. Signing them is presign.c's and cloudfront.c's. */
#include "s3/links.h"
#include "s3/cloudfront.h"
#include "s3/error.h"
#include <string.h>

struct s3_links {
	struct s3_endpoint own; /* of base_url or the distribution; host NULL: none */
	bool signed_for_endpoint;
	struct s3_credentials_chain *credentials; /* borrowed, or own_credentials */
	struct s3_credentials_chain *own_credentials;
	struct s3_settings own_settings; /* of own_credentials */
	struct s3_cloudfront *cloudfront;
};

static bool has_own_credentials(const struct s3_link_settings *s)
{
	return s->access_key_id || s->access_key_id_file || s->secret_access_key ||
	       s->secret_access_key_file || s->profile || s->credentials_file;
}

/* Nothing of the uploads' identity may leak into it: an empty set, then
 * what is its own. */
static void take_credentials(struct s3_links *links, const struct s3_links_basis *basis)
{
	const struct s3_link_settings *s = &basis->settings->links;
	links->credentials = basis->uploads;
	if (basis->settings->directory || !has_own_credentials(s))
		return;
	links->own_settings = (struct s3_settings){
		.region = basis->region,
		.ca_file = basis->settings->ca_file,
		.dual_stack = basis->settings->dual_stack,
		.fips = basis->settings->fips,
		.access_key_id = s->access_key_id,
		.access_key_id_file = s->access_key_id_file,
		.secret_access_key = s->secret_access_key,
		.secret_access_key_file = s->secret_access_key_file,
		.session_token = s->session_token,
		.session_token_file = s->session_token_file,
		.credentials_file = s->credentials_file,
		.profile = s->profile,
	};
	links->own_credentials = s3_credentials_chain_new(&links->own_settings);
	links->credentials = links->own_credentials;
}

static bool take_base_url(
	struct s3_links *links, const struct s3_links_basis *basis, GError **error)
{
	const struct s3_link_settings *s = &basis->settings->links;
	if (!s->base_url)
		return true;
	if (!s3_endpoint_init_base(&links->own, s->base_url, error)) {
		g_prefix_error(error, "links.base_url: ");
		return false;
	}
	links->signed_for_endpoint = s->signed_for_endpoint;
	return true;
}

static bool take_cloudfront(
	struct s3_links *links, const struct s3_link_settings *s, GError **error)
{
	if (!s->cloudfront_key_pair_id || !s->cloudfront_private_key_file)
		return s3_fail(error, S3_ERROR_CONFIG,
			"links.cloudfront: needs key_pair_id and private_key_file beside "
			"url");
	if (!s3_endpoint_init_base(&links->own, s->cloudfront_url, error)) {
		g_prefix_error(error, "links.cloudfront.url: ");
		return false;
	}
	links->cloudfront = s3_cloudfront_new(
		s->cloudfront_key_pair_id, s->cloudfront_private_key_file, error);
	if (!links->cloudfront)
		g_prefix_error(error, "links.cloudfront: ");
	return links->cloudfront != NULL;
}

struct s3_links *s3_links_new(const struct s3_links_basis *basis, GError **error)
{
	struct s3_links *links = g_new0(struct s3_links, 1);
	bool good;
	if (basis->settings->links.cloudfront_url) {
		good = take_cloudfront(links, &basis->settings->links, error);
	} else {
		take_credentials(links, basis);
		good = take_base_url(links, basis, error);
	}
	if (!good)
		s3_links_free(&links);
	return links;
}

void s3_links_free(struct s3_links **links)
{
	struct s3_links *gone = g_steal_pointer(links);
	if (!gone)
		return;
	s3_credentials_chain_free(&gone->own_credentials);
	s3_cloudfront_free(&gone->cloudfront);
	s3_endpoint_deinit(&gone->own);
	g_free(gone);
}

struct s3_credentials_chain *s3_links_credentials(const struct s3_links *links)
{
	return links->credentials;
}

static char *presign(struct s3_links *links, const struct s3_endpoint *endpoint,
	struct sigv4_signer *signer, const struct s3_link *link, int64_t *expires_at_s,
	GError **error)
{
	const struct s3_endpoint *shown = links->own.host ? &links->own : endpoint;
	const struct s3_endpoint *asked = links->signed_for_endpoint ? endpoint : shown;
	struct s3_credentials *credentials =
		s3_credentials_chain_get(links->credentials, link->now_s, error);
	if (!credentials)
		return NULL;
	struct s3_link bounded = *link;
	bounded.life_s = s3_presign_life_s(credentials, link->now_s, link->life_s);
	char *url = NULL;
	if (bounded.life_s > 0)
		url = s3_presign_url(shown, asked, signer, credentials, &bounded);
	else
		s3_fail_about(error, S3_SUBJECT_CREDENTIALS,
			"cannot sign a link: credentials from %s have expired",
			credentials->source);
	*expires_at_s = link->now_s + bounded.life_s;
	s3_credentials_unref(credentials);
	return url;
}

char *s3_links_url(struct s3_links *links, const struct s3_endpoint *endpoint,
	struct sigv4_signer *signer, const struct s3_link *link, int64_t *expires_at_s,
	GError **error)
{
	if (!links->cloudfront)
		return presign(links, endpoint, signer, link, expires_at_s, error);
	*expires_at_s = link->now_s + link->life_s;
	return s3_cloudfront_url(links->cloudfront, &links->own, link, error);
}

static char *duration(int64_t seconds)
{
	if (seconds % 86400 == 0)
		return g_strdup_printf("%" G_GINT64_FORMAT " d", seconds / 86400);
	return seconds >= 3600
		       ? g_strdup_printf("%" G_GINT64_FORMAT " h", seconds / 3600)
		       : g_strdup_printf("%" G_GINT64_FORMAT " min", seconds / 60);
}

char *s3_links_warning(struct s3_links *links, int64_t now_s, unsigned expiry_s)
{
	if (links->cloudfront)
		return NULL;
	struct s3_credentials *credentials =
		s3_credentials_chain_get(links->credentials, now_s, NULL);
	if (!credentials)
		return NULL;
	int64_t life_s = s3_presign_life_s(credentials, now_s, expiry_s);
	char *text = NULL;
	if (life_s < (int64_t)expiry_s) {
		g_autofree char *asked = duration(expiry_s);
		g_autofree char *possible = duration(MAX(life_s, 0));
		text = g_strdup_printf(
			"links.expiry is %s, but links signed now live for %s at most: "
			"the credentials from %s %s. The mail says the true end. For "
			"longer ones give links an IAM user's key "
			"(links.access_key_id)",
			asked, possible, credentials->source,
			credentials->keys.session_token || credentials->expires_at_s
				? "are temporary"
				: "sign for 7 d at most");
	}
	s3_credentials_unref(credentials);
	return text;
}
