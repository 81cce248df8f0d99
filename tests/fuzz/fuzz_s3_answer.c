/* Error answers of any content: what comes out is bounded UTF-8
 * without control characters. */
#include "s3/answer.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

static void check(const char *text)
{
	if (!g_utf8_validate(text, -1, NULL))
		abort();
	for (const char *p = text; *p; p = g_utf8_next_char(p))
		if (g_unichar_iscntrl(g_utf8_get_char(p)))
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct s3_answer answer = { .status = size ? 200 + data[0] * 2 : 0 };
	s3_answer_read_body(&answer, (const char *)data, size);
	check(answer.code);
	check(answer.message);
	check(answer.request_id);
	check(answer.region);
	check(answer.root);
	check(answer.upload_id);
	GError *error = s3_answer_error(&answer, "bucket", "region");
	if (strlen(error->message) > 2048)
		abort();
	g_error_free(error);
	return 0;
}
