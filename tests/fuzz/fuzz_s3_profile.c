/* Shared credentials and config files of any content, read as each of the
 * kinds of section. */
#include "s3/profile.h"
#include "tests/fuzz/fuzz.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum s3_profile_section sections[] = { S3_PROFILE_CREDENTIALS,
		S3_PROFILE_CONFIG, S3_PROFILE_SERVICES };
	for (size_t i = 0; i < G_N_ELEMENTS(sections); i++) {
		GHashTable *settings =
			s3_profile_parse((const char *)data, size, "work", sections[i]);
		if (settings)
			g_hash_table_unref(settings);
	}
	return 0;
}
