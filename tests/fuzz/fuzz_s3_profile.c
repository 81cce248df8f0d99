/* Shared credentials files of any content, read as either of the two kinds. */
#include "s3/profile.h"
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int config_file = 0; config_file < 2; config_file++) {
		GHashTable *settings =
			s3_profile_parse((const char *)data, size, "work", config_file);
		if (settings)
			g_hash_table_unref(settings);
	}
	return 0;
}
