/*
 * objects - answers the presigned URLs of a directory store
 * (s3_settings.directory): checks the SigV4 query signature and expiry as S3 does,
 * serves the file with the signed overrides. By HTTP, or by HTTPS with the gateway's
 * certificates, which are loaded anew when their files change.
 *
 * GET and HEAD as signed; Range (one range; 206, 416; several are as none, as with S3),
 * If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since (304, 412);
 * S3's XML errors (AccessDenied "Request has expired", SignatureDoesNotMatch, NoSuchKey,
 * ...). No path is ever built from what a client sent before its signature was found good
 * and its characters plain. Its checker shares no code with the signer.
 *
 * Bounds: connections, in all and of one address; requests of one address a minute (429);
 * slow clients (visitors.h). One event for each request, object.served or object.refused.
 * Own threads (libmicrohttpd's): disk reads never stall the front loop.
 */
#ifndef GATEWAY_ADMIN_OBJECTS_H
#define GATEWAY_ADMIN_OBJECTS_H

#include "conf/conf.h"
#include <glib.h>

struct objects;

struct objects_settings {
	const char *address; /* HOST:PORT to listen on */
	/* of the store: DIR/objects/KEY, DIR/metadata..., as s3/ lays out */
	const char *directory;
	const char *bucket, *region;
	const char *access_key_id, *secret_access_key;
	/* TLS, ceilings and proxies; a reference is taken. NULL: none of them. */
	struct conf *conf;
};

struct objects *objects_new(const struct objects_settings *settings, GError **error);
/* Ceilings, proxies and certificates as in conf from now on; false with error: as before.
 * What is open stays as it is. */
bool objects_reload(struct objects *objects, struct conf *conf, GError **error);
/* The port in use, where address asked for port 0. */
unsigned objects_port(const struct objects *objects);

/* Ends what is being sent, too. */
void objects_free(struct objects **objects);

#endif
