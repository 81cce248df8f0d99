/*
 * certificate - a self-signed certificate for "mx.example", made for a test.
 */
#ifndef TESTS_UNIT_SMTP_CERTIFICATE_H
#define TESTS_UNIT_SMTP_CERTIFICATE_H

#include <stdint.h>

/* Writes PEM files; lifetime_s may be negative. */
void certificate_make(const char *certificate, const char *key, int64_t lifetime_s);

#endif
