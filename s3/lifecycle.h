/*
 * lifecycle - after how many days a bucket deletes what is stored, as its lifecycle rules
 * have it. Pure.
 *
 * Source: "Lifecycle configuration elements", Amazon S3 User Guide.
 */
#ifndef S3_LIFECYCLE_H
#define S3_LIFECYCLE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

struct s3_lifecycle;

/*
 * The rules in body, the answer to GetBucketLifecycleConfiguration, that delete objects with
 * tags (NULL-ended "name=value"; NULL: none) some days after they were stored. A rule for
 * some sizes only counts for all; one with a date does not count. NULL: body is no whole
 * such answer.
 */
struct s3_lifecycle *s3_lifecycle_parse(
	const char *body, size_t body_bytes, const char *const *tags);
/* NULL in it is taken. */
void s3_lifecycle_free(struct s3_lifecycle **lifecycle);

/* For how many days at least the object of key is kept; 0: no rule ends it. */
unsigned s3_lifecycle_days(const struct s3_lifecycle *lifecycle, const char *key);

#endif
