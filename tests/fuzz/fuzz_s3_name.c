/* File names and types of any content: what goes into headers and
 * links is plain ASCII. */
#include "s3/name.h"
#include "s3/s3.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

static void check(char *text, size_t max_bytes)
{
	if (strlen(text) > max_bytes)
		abort();
	for (const char *p = text; *p; p++)
		if (*p < 0x20 || *p > 0x7e)
			abort();
	g_free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t seed[16];
	char *name = g_strndup((const char *)data, size);
	check(s3_name_disposition(name), 1500);
	check(s3_name_metadata(name), 1024);
	check(s3_name_media_type(name), 127);
	char *key = s3_object_key(NULL, "id", seed, 0, 1, name);
	if (!s3_name_is_key(key))
		abort();
	check(key, 128);
	g_free(name);
	return 0;
}
