/*
 * sigv4_probe - signs the cases on standard input, one a line, and
 * prints one line for each.
 *
 * Fields, separated by tabs, each percent-encoded: "header" or "query", time, expiry,
 * region, service, access key id, secret, token (may be empty), method, host, path,
 * payload hash; then any number of q:NAME=VALUE and h:NAME=VALUE. Answer: the
 * Authorization value or the query.
 */
#include "s3/sigv4.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	MODE,
	TIME,
	EXPIRY,
	REGION,
	SERVICE,
	ID,
	SECRET,
	TOKEN,
	METHOD,
	HOST,
	PATH,
	PAYLOAD,
	FIXED
};

static char *decoded(const char *text)
{
	char *out = g_uri_unescape_string(text, NULL);
	if (!out) {
		fprintf(stderr, "not percent-encoded: %s\n", text);
		exit(EXIT_FAILURE);
	}
	return out;
}

/* "NAME=VALUE", both encoded */
static struct sigv4_pair decoded_pair(const char *text)
{
	g_auto(GStrv) halves = g_strsplit(text, "=", 2);
	g_assert(halves[0] && halves[1]);
	return (struct sigv4_pair){ decoded(halves[0]), decoded(halves[1]) };
}

static void free_pair(gpointer data)
{
	struct sigv4_pair *pair = data;
	g_free((char *)pair->name);
	g_free((char *)pair->value);
}

static GArray *pairs_of(char **fields, const char *prefix)
{
	GArray *pairs = g_array_new(FALSE, FALSE, sizeof(struct sigv4_pair));
	g_array_set_clear_func(pairs, free_pair);
	for (; *fields; fields++) {
		if (!g_str_has_prefix(*fields, prefix))
			continue;
		struct sigv4_pair pair = decoded_pair(*fields + strlen(prefix));
		g_array_append_val(pairs, pair);
	}
	return pairs;
}

static char *sign(
	char **f, const struct sigv4_keys *keys, const struct sigv4_request *request)
{
	int64_t time_s = g_ascii_strtoll(f[TIME], NULL, 10);
	struct sigv4_signer *signer = sigv4_signer_new(f[REGION], f[SERVICE]);
	char *out = strcmp(f[MODE], "header") == 0
			    ? sigv4_authorization(signer, keys, request, time_s)
			    : sigv4_presigned_query(signer, keys, request, time_s,
				      (unsigned)strtoul(f[EXPIRY], NULL, 10));
	sigv4_signer_free(&signer);
	return out;
}

static void answer(const char *line)
{
	g_auto(GStrv) encoded = g_strsplit(line, "\t", -1);
	if (g_strv_length(encoded) < FIXED) {
		fprintf(stderr, "too few fields: %s\n", line);
		exit(EXIT_FAILURE);
	}
	char *f[FIXED];
	for (size_t i = 0; i < FIXED; i++)
		f[i] = decoded(encoded[i]);
	g_autoptr(GArray) query = pairs_of(encoded + FIXED, "q:");
	g_autoptr(GArray) headers = pairs_of(encoded + FIXED, "h:");
	struct sigv4_keys keys = { f[ID], f[SECRET], *f[TOKEN] ? f[TOKEN] : NULL };
	struct sigv4_request request = {
		.method = f[METHOD],
		.host = f[HOST],
		.path = f[PATH],
		.query = (const struct sigv4_pair *)(const void *)query->data,
		.n_query = query->len,
		.headers = (const struct sigv4_pair *)(const void *)headers->data,
		.n_headers = headers->len,
		.payload_sha256 = f[PAYLOAD],
	};
	g_autofree char *out = sign(f, &keys, &request);
	puts(out);
	for (size_t i = 0; i < FIXED; i++)
		g_free(f[i]);
}

int main(void)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t length;
	while ((length = getline(&line, &size, stdin)) > 0) {
		if (line[length - 1] == '\n')
			line[length - 1] = '\0';
		answer(line);
	}
	free(line);
	return EXIT_SUCCESS;
}
