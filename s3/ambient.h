/*
 * ambient - what AWS's environment variables and profile say of the store, where the
 * settings say nothing. Credentials are none of it: credentials.h.
 *
 * Source: "Settings reference", AWS SDKs and Tools Reference Guide. Settings come first,
 * then the environment, then the profile:
 *
 *   region          AWS_REGION, AWS_DEFAULT_REGION     region
 *   endpoint        AWS_ENDPOINT_URL_S3,               services: s3 = endpoint_url =,
 *                   AWS_ENDPOINT_URL                   endpoint_url
 *                   (neither with AWS_IGNORE_CONFIGURED_ENDPOINT_URLS)
 *   ca_file         AWS_CA_BUNDLE                      ca_bundle
 *   dual_stack      AWS_USE_DUALSTACK_ENDPOINT         use_dualstack_endpoint
 *   fips            AWS_USE_FIPS_ENDPOINT              use_fips_endpoint
 *   path_style      -                                  s3 = addressing_style =
 *   checksum        AWS_REQUEST_CHECKSUM_CALCULATION   request_checksum_calculation
 */
#ifndef S3_AMBIENT_H
#define S3_AMBIENT_H

#include "s3/s3.h"

/* What was found, and for people where; owns the strings. */
struct s3_ambient;

/* A profile that cannot be read says nothing here: that is its credentials' error. NULL
 * with S3_ERROR_CONFIG where a value makes no sense. */
struct s3_ambient *s3_ambient_new(const struct s3_settings *settings, GError **error);
void s3_ambient_free(struct s3_ambient **ambient);

/* Fills in what settings leave open; strings live as long as ambient. */
void s3_ambient_apply(const struct s3_ambient *ambient, struct s3_settings *settings);

/* "region eu-west-1 (AWS_REGION)", one for each that was filled in;
 * NULL-ended; borrowed. */
const char *const *s3_ambient_words(const struct s3_ambient *ambient);

#endif
