/* What is SES's own: the SMTP password of an IAM key, and its host names. For the rest it
 * is a relay like any other. */
#include "gateway/relay/relay.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#define DIGEST_BYTES 32

static void hmac(unsigned char digest[DIGEST_BYTES], const void *key, size_t key_bytes,
	const char *text)
{
	unsigned char out[DIGEST_BYTES]; /* key may be digest itself */
	unsigned bytes = 0;
	const unsigned char *done = HMAC(EVP_sha256(), key, (int)key_bytes,
		(const unsigned char *)text, strlen(text), out, &bytes);
	g_assert(done && bytes == DIGEST_BYTES);
	memcpy(digest, out, DIGEST_BYTES);
	OPENSSL_cleanse(out, sizeof(out));
}

/* SES Developer Guide, "Obtaining Amazon SES SMTP credentials": a SigV4 key of a fixed
 * date that signs a fixed word, behind a version octet. */
char *ses_smtp_password(const char *secret_access_key, const char *region)
{
	const char *const scope[] = { region, "ses", "aws4_request", "SendRawEmail" };
	unsigned char password[1 + DIGEST_BYTES] = { 0x04 };
	unsigned char *digest = password + 1;
	char *key = g_strconcat("AWS4", secret_access_key, NULL);
	hmac(digest, key, strlen(key), "11111111");
	for (size_t i = 0; i < G_N_ELEMENTS(scope); i++)
		hmac(digest, digest, DIGEST_BYTES, scope[i]);
	char *text = g_base64_encode(password, sizeof(password));
	OPENSSL_cleanse(key, strlen(key));
	OPENSSL_cleanse(password, sizeof(password));
	g_free(key);
	return text;
}

bool ses_is_region(const char *text)
{
	return strchr(text, '-') &&
	       !text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-")];
}

static bool is_aws_domain(char *const *labels, bool vpc_endpoint)
{
	static const char *const domains[] = { "amazonaws.com", "amazonaws.com.cn",
		"api.aws" };
	g_autofree char *domain = g_strjoinv(".", (char **)labels);
	const char *rest = domain;
	if (vpc_endpoint) {
		if (strncmp(rest, "vpce.", 5) != 0)
			return false;
		rest += 5;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(domains); i++) {
		if (!strcmp(rest, domains[i]))
			return true;
	}
	return false;
}

char *ses_region_of_host(const char *host)
{
	if (!host)
		return NULL;
	g_autofree char *name = g_ascii_strdown(host, -1);
	size_t bytes = strlen(name);
	if (bytes > 0 && name[bytes - 1] == '.')
		name[bytes - 1] = '\0';
	g_auto(GStrv) labels = g_strsplit(name, ".", 12);
	char **at = labels;
	bool vpc_endpoint = *at && g_str_has_prefix(*at, "vpce-");
	if (vpc_endpoint)
		at++;
	if (!*at ||
		(strcmp(*at, "email-smtp") != 0 && strcmp(*at, "email-smtp-fips") != 0))
		return NULL;
	at++;
	if (!*at || !ses_is_region(*at) || !is_aws_domain(at + 1, vpc_endpoint))
		return NULL;
	return g_strdup(*at);
}
