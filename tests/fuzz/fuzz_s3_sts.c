/* Answers of STS, metadata services and programs of any content: what signs afterwards is
 * plain ASCII, what a person reads is bounded. The first octet picks the kind. */
#include "s3/credential_set.h"
#include "s3/sts.h"
#include "tests/fuzz/fuzz.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void check_word(const char *text)
{
	for (const char *p = text; p && *p; p++)
		if (!g_ascii_isgraph(*p))
			abort();
}

static void check(struct s3_credentials *credentials, GError *error)
{
	if (credentials) {
		check_word(credentials->keys.access_key_id);
		check_word(credentials->keys.secret_access_key);
		check_word(credentials->keys.session_token);
		s3_credentials_unref(credentials);
	} else if (strlen(error->message) > 2048 ||
		   !g_utf8_validate(error->message, -1, NULL)) {
		abort();
	}
	g_clear_error(&error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	const char *body = (const char *)data + 1;
	GError *error = NULL;
	struct s3_credentials *got;
	if (data[0] < 'B')
		got = s3_credential_set_parse(
			body, size - 1, data[0] == 'A', "fuzz", &error);
	else
		got = s3_sts_read(data[0] == 'X' ? 200 : 300 + data[0], body, size - 1,
			"fuzz", &error);
	check(got, error);
	return 0;
}
