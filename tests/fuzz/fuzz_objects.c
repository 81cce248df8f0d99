/* What a client may send to the object listener: no request grants what was not signed,
 * and a range never leaves the file. */
#include "gateway/admin/http.h"
#include "gateway/admin/presigned.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static const char *header_of(void *host, const char *name)
{
	return strcmp(name, "host") ? NULL : host;
}

static void check_link(const char *target, char *host)
{
	const struct presigned_keys keys = { "AKIAEXAMPLE12345678",
		"unknown to the fuzzer", "eu-west-1" };
	const struct presigned_request request = { "GET", target, 1763683200, header_of,
		host };
	struct presigned result;
	CHECK(!presigned_check(&result, &request, &keys));
	CHECK(result.fault.status >= 400 && result.fault.code && result.fault.message);
	for (size_t i = 0; i < PRESIGNED_OVERRIDES; i++)
		CHECK(!result.overrides[i]);
	if (result.key && presigned_key_is_plain(result.key)) {
		g_autofree char *path = g_strconcat("/", result.key, "/", NULL);
		CHECK(!strstr(path, "/../") && !strstr(path, "/./") &&
			!strstr(path, "//"));
	}
	presigned_deinit(&result);
}

static void check_part(const char *const fields[5])
{
	const struct http_conditions conditions = { .range = fields[0],
		.if_match = fields[1],
		.if_none_match = fields[2],
		.if_modified_since = fields[3],
		.if_range = fields[4] };
	const struct http_entity entity = { 1000, "\"e\"",
		"Fri, 21 Nov 2025 00:00:00 GMT", 1763683200 };
	uint64_t offset, length;
	unsigned status = http_evaluate(&conditions, &entity, &offset, &length);
	CHECK(status == 200 || status == 206 || status == 304 || status == 412 ||
		status == 416);
	if (status == 200 || status == 206) {
		CHECK(length > 0 && offset < 1000 && length <= 1000 - offset);
		CHECK(status == 206 || length == 1000);
	}
}

/* Lines: the target, the host, and five header fields ("-" for one that is missing). */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = g_strndup((const char *)data, size);
	char **lines = g_strsplit(text, "\n", 8);
	const char *fields[5] = { NULL };
	size_t n = g_strv_length(lines);
	for (size_t i = 2; i < n && i < 7; i++)
		fields[i - 2] = strcmp(lines[i], "-") ? lines[i] : NULL;
	check_link(n > 0 ? lines[0] : "", n > 1 ? lines[1] : NULL);
	check_part(fields);
	g_strfreev(lines);
	g_free(text);
	return 0;
}
