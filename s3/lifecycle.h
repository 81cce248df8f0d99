/*
 * lifecycle - when a bucket deletes what is stored, as its lifecycle rules have it. Pure.
 *
 * Source: "Lifecycle configuration elements", Amazon S3 User Guide.
 */
#ifndef S3_LIFECYCLE_H
#define S3_LIFECYCLE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct s3_lifecycle;

/* When a rule deletes an object: some days after it was stored or, where days is 0, from
 * a date on (Unix time), those stored later too. Both 0: never. */
struct s3_lifecycle_end {
	unsigned days;
	int64_t date_s;
};

/*
 * The rules in body, the answer to GetBucketLifecycleConfiguration, that delete
 * objects with tags (NULL-ended "name=value"; NULL: none). A rule for some sizes only
 * counts for all. NULL: body is no whole such answer.
 */
struct s3_lifecycle *s3_lifecycle_parse(
	const char *body, size_t body_bytes, const char *const *tags);
/* NULL in it is taken. */
void s3_lifecycle_free(struct s3_lifecycle **lifecycle);

/* The end that comes first for the object of key, stored at stored_s (Unix time). */
struct s3_lifecycle_end s3_lifecycle_end(
	const struct s3_lifecycle *lifecycle, const char *key, int64_t stored_s);

/* For how long at least such an object is kept after stored_s, in seconds; 0: no end. */
int64_t s3_lifecycle_kept_s(const struct s3_lifecycle_end *end, int64_t stored_s);

#endif
