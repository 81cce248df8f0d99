/* Lifecycle rules of any content: what they say of a key is bounded. */
#include "s3/lifecycle.h"
#include "tests/fuzz/fuzz.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const tags[] = { "origin=mail", NULL };
	const int64_t stored_s = 1795262400;
	struct s3_lifecycle *lifecycle =
		s3_lifecycle_parse((const char *)data, size, tags);
	if (!lifecycle)
		return 0;
	struct s3_lifecycle_end end = s3_lifecycle_end(lifecycle, "mail/a", stored_s);
	int64_t kept_s = s3_lifecycle_kept_s(&end, stored_s);
	bool ends = end.days || end.date_s;
	if (end.days > INT32_MAX || (kept_s > 0) != ends)
		abort();
	s3_lifecycle_free(&lifecycle);
	return 0;
}
