/*
 * presign - links to objects: a GET signed by query, with the name
 * and type of the download. Pure.
 */
#ifndef S3_PRESIGN_H
#define S3_PRESIGN_H

#include "s3/credentials.h"
#include "s3/endpoint.h"

/* What STS gives is good for 36 hours at most; said nowhere, that is the best truth. */
#define S3_PRESIGN_SESSION_MAX_S 129600

/* What is linked, and from when on for how long. */
struct s3_link {
	const char *key, *file_name, *media_type;
	int64_t now_s; /* Unix time */
	int64_t life_s;
};

/*
 * The seconds from now_s on for which a link asked for expiry_s can live when these
 * credentials sign it: seven days, the credentials' own end, 36 hours for a session whose
 * end is not known. 0 or less: they have expired.
 */
int64_t s3_presign_life_s(
	const struct s3_credentials *credentials, int64_t now_s, int64_t expiry_s);

/*
 * The link, its life_s within what s3_presign_life_s() allows. It shows the reader the
 * endpoint shown, and is signed for the endpoint asked: what the server sees where
 * something in between sends another Host. g_free() it.
 */
char *s3_presign_url(const struct s3_endpoint *shown, const struct s3_endpoint *asked,
	struct sigv4_signer *signer, const struct s3_credentials *credentials,
	const struct s3_link *link);

#endif
