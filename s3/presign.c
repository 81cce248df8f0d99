/* Presigned links and how long they can live. Signing them is sigv4.c's. */
#include "s3/presign.h"
#include "s3/name.h"

int64_t s3_presign_life_s(
	const struct s3_credentials *credentials, int64_t now_s, int64_t expiry_s)
{
	int64_t life_s = MIN(expiry_s, SIGV4_EXPIRY_MAX_S);
	if (credentials->expires_at_s)
		return MIN(life_s, credentials->expires_at_s - now_s);
	if (credentials->keys.session_token)
		return MIN(life_s, S3_PRESIGN_SESSION_MAX_S);
	return life_s;
}

char *s3_presign_url(const struct s3_endpoint *shown, const struct s3_endpoint *asked,
	struct sigv4_signer *signer, const struct s3_credentials *credentials,
	const struct s3_link *link)
{
	g_autofree char *path = s3_endpoint_path(asked, link->key);
	g_autofree char *url = s3_endpoint_url(shown, link->key);
	g_autofree char *disposition = s3_name_disposition(link->file_name);
	g_autofree char *type = s3_name_media_type(link->media_type);
	const struct sigv4_pair parameters[] = {
		{ "response-content-disposition", disposition },
		{ "response-content-type", type },
	};
	const struct sigv4_request request = {
		.method = "GET",
		.host = asked->host,
		.path = path,
		.query = parameters,
		.n_query = G_N_ELEMENTS(parameters),
		.payload_sha256 = SIGV4_UNSIGNED_PAYLOAD,
	};
	g_autofree char *query = sigv4_presigned_query(signer, &credentials->keys,
		&request, link->now_s, (unsigned)link->life_s);
	return g_strconcat(url, "?", query, NULL);
}
