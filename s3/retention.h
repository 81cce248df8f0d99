/*
 * retention - asks the bucket for its lifecycle rules: no link outlives its object.
 *
 * Asked with the credentials of links, then with those of uploads; it takes
 * s3:GetLifecycleConfiguration, which neither needs otherwise. Where it may not be asked,
 * or cannot, nothing is known and nothing is said. Threads: any.
 */
#ifndef S3_RETENTION_H
#define S3_RETENTION_H

#include "s3/credentials.h"
#include "s3/site.h"

struct s3_retention;

/* All borrowed, for the retention's life. */
struct s3_retention_basis {
	struct s3_site *site;
	struct s3_credentials_chain *links, *uploads; /* links may be NULL, or uploads */
	const char *ca_file;
	const char *prefix;      /* of keys; may be NULL */
	const char *const *tags; /* of uploads; NULL: none */
};

struct s3_retention *s3_retention_new(const struct s3_retention_basis *basis);
/* Ends the thread, within seconds. NULL in it is taken. */
void s3_retention_free(struct s3_retention **retention);

/* Asks now. Blocks, some seconds at most. */
void s3_retention_ask(struct s3_retention *retention);

/* Asks in a thread of its own, now and every few hours. Links that live for expiry_s but
 * whose objects do not are a warning in the log, said once. */
void s3_retention_watch(struct s3_retention *retention, unsigned expiry_s);

/* For how long at least the object of key is kept after it was stored at stored_s (Unix
 * time), in seconds; 0: not known to end. Waits for the watch's first answer, ten seconds
 * from its start at most. Asks again, as s3_retention_ask(), where an upload
 * has found the bucket in another region or the clock wrong since. */
int64_t s3_retention_kept_s(
	struct s3_retention *retention, const char *key, int64_t stored_s);

#endif
