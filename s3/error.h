/*
 * error - how s3/ fails, and for a person: what it is about.
 */
#ifndef S3_ERROR_H
#define S3_ERROR_H

#include "s3/s3.h"

/* Of an S3_ERROR_MEND. */
enum s3_subject {
	S3_SUBJECT_SETTINGS, /* where nothing else is said */
	S3_SUBJECT_ACCESS,
	S3_SUBJECT_ACCOUNT,
	S3_SUBJECT_BUCKET,
	S3_SUBJECT_CERTIFICATE,
	S3_SUBJECT_CLOCK,
	S3_SUBJECT_CREDENTIALS,
	S3_SUBJECT_ENCRYPTION,
	S3_SUBJECT_ENDPOINT,
	S3_SUBJECT_OBJECT,
	S3_SUBJECT_QUOTA,
	S3_SUBJECT_REGION,
};

/* Fills error; false, to be returned at once. */
bool s3_fail(GError **error, enum s3_error kind, const char *format, ...)
	G_GNUC_PRINTF(3, 4);

/* The same, S3_ERROR_MEND about subject. */
bool s3_fail_about(GError **error, enum s3_subject subject, const char *format, ...)
	G_GNUC_PRINTF(3, 4);

/* error is about subject. */
void s3_error_set_subject(GError *error, enum s3_subject subject);

/* error says that the store asks for less. */
void s3_error_set_throttle(GError *error, bool is_throttle);

#endif
