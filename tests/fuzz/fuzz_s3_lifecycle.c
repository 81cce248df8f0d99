/* Lifecycle rules of any content: what they say of a key is bounded. */
#include "s3/lifecycle.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const tags[] = { "origin=mail", NULL };
	struct s3_lifecycle *lifecycle =
		s3_lifecycle_parse((const char *)data, size, tags);
	if (lifecycle && s3_lifecycle_days(lifecycle, "mail/a") > INT32_MAX)
		abort();
	s3_lifecycle_free(&lifecycle);
	return 0;
}
