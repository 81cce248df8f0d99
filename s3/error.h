/*
 * error - how s3/ fails.
 */
#ifndef S3_ERROR_H
#define S3_ERROR_H

#include "s3/s3.h"

/* Fills error; false, to be returned at once. */
bool s3_fail(GError **error, enum s3_error kind, const char *format, ...)
	G_GNUC_PRINTF(3, 4);

#endif
