/*
 * multipart - one large object, in parts sent side by side.
 *
 * Nothing of it is held in memory but a list of what the parts are called. Source:
 * "Uploading and copying objects using multipart upload", Amazon S3 User Guide.
 */
#ifndef S3_MULTIPART_H
#define S3_MULTIPART_H

#include "s3/upload.h"

/* The octets of each part but the last: as few as sensible, so that 10,000 suffice. */
uint64_t s3_multipart_part_bytes(uint64_t size);

/* False with error: whatever was begun is aborted, as far as the server lets us. */
bool s3_multipart_put(struct s3_client *client, const struct s3_plan *plan,
	const struct s3_object *object, GError **error);

#endif
