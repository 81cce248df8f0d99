/*
 * identity - certificates with their keys, and revocation lists, made for a test: good
 * ones and such as no authority should sign.
 */
#ifndef TESTS_UNIT_SMTP_IDENTITY_H
#define TESTS_UNIT_SMTP_IDENTITY_H

#include <glib.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>

/* A subjectAltName of type GEN_DNS, GEN_EMAIL or GEN_URI. */
struct identity_name {
	int type;
	const char *text; /* NULL: the end of a list */
	size_t bytes;     /* 0: up to NUL */
};

struct identity_request {
	const char *common_name;                  /* UTF-8; NULL: the subject is empty */
	size_t common_name_bytes;                 /* 0: up to NUL */
	const char *second_common_name;           /* NULL: none */
	const struct identity_name *alternatives; /* NULL: none */
	int key_type; /* EVP_PKEY_EC (0, too) on P-256, EVP_PKEY_RSA of 2,048 bits */
	int64_t begins_s, ends_s; /* from now; 0: a day ago, an hour on */
	bool is_authority;
	const struct identity *issuer; /* NULL: itself */
	long serial;
};

struct identity {
	X509 *certificate;
	EVP_PKEY *key;
};

struct identity *identity_new(const struct identity_request *request);
void identity_free(struct identity *identity);

/* Append PEM. */
void identity_print(const struct identity *identity, GString *pem);
void identity_print_key(const struct identity *identity, GString *pem);
/* issuer's list of one revoked serial number; 0: of none. */
void identity_print_revocation(
	const struct identity *issuer, long serial, int64_t ends_s, GString *pem);

/* Writes both files, whole ones in place of what was there. */
void identity_write(
	const struct identity *identity, const char *certificate, const char *key);

#endif
