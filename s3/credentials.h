/*
 * credentials - whose keys sign: a chain of sources, asked in order.
 *
 * The first source that is configured is the one: if it fails, that is an error and no
 * later source is asked, or mail would go out under another identity than the admin
 * chose. Order: keys in the settings; profile or credentials_file in the settings;
 * AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or *_FILE); the shared credentials and
 * config files. Threads: any.
 */
#ifndef S3_CREDENTIALS_H
#define S3_CREDENTIALS_H

#include "s3/s3.h"
#include "s3/sigv4.h"

/* Immutable, reference-counted, wiped when the last reference goes. */
struct s3_credentials {
	struct sigv4_keys keys;
	/* Unix time; 0: never, or not known (see keys.session_token) */
	int64_t expires_at_s;
	const char *source; /* for people: "the environment" */
	gatomicrefcount references;
};

void s3_credentials_unref(struct s3_credentials *credentials);

struct s3_credentials_chain;

/* Borrows the settings for its whole life. */
struct s3_credentials_chain *s3_credentials_chain_new(const struct s3_settings *settings);
void s3_credentials_chain_free(struct s3_credentials_chain **chain);

/*
 * What to sign with at now_s; s3_credentials_unref() it. Kept between calls, read again
 * when one of the files behind it changed. NULL with S3_ERROR_MEND: none found, or the
 * configured source is unusable or expired.
 */
struct s3_credentials *s3_credentials_chain_get(
	struct s3_credentials_chain *chain, int64_t now_s, GError **error);

#endif
