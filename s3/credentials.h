/*
 * credentials - whose keys sign: a chain of sources, asked in order, and what the one
 * that answers gives, kept and renewed.
 *
 * The first source that is configured is the one: if it fails, that is an error and no
 * later source is asked, or mail would go out under another identity than the admin
 * chose. Order: keys in the settings; profile or credentials_file in the settings;
 * AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or *_FILE); AWS_WEB_IDENTITY_TOKEN_FILE
 * and AWS_ROLE_ARN; the shared credentials and config files; a container's
 * AWS_CONTAINER_CREDENTIALS_*_URI; the EC2 instance's role. A role in the settings is
 * assumed with whatever that gave.
 *
 * Credentials that end are renewed before they do, in a thread of the chain's own; where
 * that fails those at hand stay in use until their end, never beyond. Threads: any.
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
/* When no call is under way. Ends a request under way. */
void s3_credentials_chain_free(struct s3_credentials_chain **chain);

/*
 * Whether there is a source and it is configured soundly; asks no service and runs no
 * program, but has that begin behind the scenes. False with S3_ERROR_MEND.
 */
bool s3_credentials_chain_check(
	struct s3_credentials_chain *chain, int64_t now_s, GError **error);

/*
 * What to sign with at now_s; s3_credentials_unref() it. Kept between calls, resolved
 * anew when one of the files behind it changed. Waits up to S3_CREDENTIALS_WAIT_MS for a
 * service that is being asked for the first time. NULL with S3_ERROR_MEND: none found, or
 * the configured source is unusable or expired; S3_ERROR_RETRY: it does not answer now.
 */
#define S3_CREDENTIALS_WAIT_MS 5000
struct s3_credentials *s3_credentials_chain_get(
	struct s3_credentials_chain *chain, int64_t now_s, GError **error);

/*
 * The store has refused used, which the chain gave, as expired, unknown or not valid. Has
 * others asked for, if their source can give others, and at most every
 * S3_CREDENTIALS_REFUSED_MS. True: s3_credentials_chain_get() may give others now.
 */
#define S3_CREDENTIALS_REFUSED_MS 60000
bool s3_credentials_chain_refused(
	struct s3_credentials_chain *chain, const struct s3_credentials *used);

/* For people: which source these settings lead to here, "profile "work" (role ...)".
 * g_free() it. NULL with S3_ERROR_MEND. Asks no service. */
char *s3_credentials_describe(const struct s3_settings *settings, GError **error);

/*
 * Seconds until credentials that live for life_s more are to be renewed: 15
 * minutes before their end or, where that is short, at two thirds of their life;
 * jitter (0 to 1) of up to a tenth of that margin earlier, so that a fleet does
 * not ask in step. At least 1.
 */
int64_t s3_credentials_renew_in_s(int64_t life_s, double jitter);

#endif
