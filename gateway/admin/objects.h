/*
 * objects - answers the presigned URLs of a directory store
 * (s3_settings.directory): checks the SigV4 query signature and expiry as S3 does,
 * serves the file with the signed overrides.
 *
 * GET and HEAD as signed; Range (one range; 206, 416), If-None-Match; S3's XML errors
 * (AccessDenied "Request has expired", SignatureDoesNotMatch, NoSuchKey, ...). No path is
 * ever built from what a client sent before its signature was found good and its
 * characters plain. Its checker shares no code with the signer. Own threads
 * (libmicrohttpd's): disk reads never stall the front loop.
 */
#ifndef GATEWAY_ADMIN_OBJECTS_H
#define GATEWAY_ADMIN_OBJECTS_H

#include <glib.h>

struct objects;

struct objects_settings {
	const char *address; /* HOST:PORT to listen on */
	/* of the store: DIR/objects/KEY, DIR/metadata..., as s3/ lays out */
	const char *directory;
	const char *bucket, *region;
	const char *access_key_id, *secret_access_key;
};

struct objects *objects_new(const struct objects_settings *settings, GError **error);
/* The port in use, where address asked for port 0. */
unsigned objects_port(const struct objects *objects);

/* Ends what is being sent, too. */
void objects_free(struct objects **objects);

#endif
