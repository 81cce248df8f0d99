/* Presigned links and their true end. Signing them is sigv4.c's. */
#include "s3/presign.h"
#include "s3/name.h"

static int64_t life_s(
	const struct s3_credentials *credentials, int64_t now_s, unsigned expiry_s)
{
	int64_t life = MIN(expiry_s, SIGV4_EXPIRY_MAX_S);
	if (credentials->expires_at_s)
		return MIN(life, credentials->expires_at_s - now_s);
	if (credentials->keys.session_token)
		return MIN(life, S3_PRESIGN_SESSION_MAX_S);
	return life;
}

char *s3_presign_url(const struct s3_endpoint *endpoint, struct sigv4_signer *signer,
	const struct s3_credentials *credentials, const char *key, const char *file_name,
	const char *media_type, int64_t now_s, unsigned expiry_s, int64_t *expires_at_s,
	GError **error)
{
	int64_t life = life_s(credentials, now_s, expiry_s);
	if (life <= 0) {
		g_set_error(error, S3_ERROR, S3_ERROR_MEND,
			"cannot sign a link: credentials from %s have expired",
			credentials->source);
		return NULL;
	}
	g_autofree char *path = s3_endpoint_path(endpoint, key);
	g_autofree char *url = s3_endpoint_url(endpoint, key);
	g_autofree char *disposition = s3_name_disposition(file_name);
	g_autofree char *type = s3_name_media_type(media_type);
	const struct sigv4_pair parameters[] = {
		{ "response-content-disposition", disposition },
		{ "response-content-type", type },
	};
	const struct sigv4_request request = {
		.method = "GET",
		.host = endpoint->host,
		.path = path,
		.query = parameters,
		.n_query = G_N_ELEMENTS(parameters),
		.payload_sha256 = SIGV4_UNSIGNED_PAYLOAD,
	};
	g_autofree char *query = sigv4_presigned_query(
		signer, &credentials->keys, &request, now_s, (unsigned)life);
	*expires_at_s = now_s + life;
	return g_strconcat(url, "?", query, NULL);
}
