/* Paths and parameters. What is accepted must be accepted again as it was normalised,
 * within its limits and without control characters. */
#include "gateway/smtp/address.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_address(const char *address, unsigned flags)
{
	for (const char *c = address; *c; c++)
		g_assert(*c >= 32 && *c < 127);
	g_assert(strlen(address) <= 2 * 64 + 2 + 1 + 255);
	if (!*address || !strchr(address, '@'))
		return;
	g_autofree char *path = g_strdup_printf("<%s>", address), *again = NULL;
	struct slice rest;
	/* quotes and backslashes may be needed where none were given:
	 * longer, but no other */
	enum smtp_path_status status =
		smtp_path_parse(slice_of(path), flags, &again, &rest);
	g_assert(status == PATH_OK || status == PATH_TOO_LONG);
	g_assert(status != PATH_OK || (!strcmp(again, address) && !rest.bytes));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	unsigned flags = data[0] & (PATH_REVERSE | PATH_LENIENT);
	struct slice text = { (const char *)data + 1, size - 1 };
	g_autofree char *address = NULL;
	struct slice rest;
	if (smtp_path_parse(text, flags, &address, &rest) == PATH_OK) {
		g_assert(rest.start + rest.bytes == text.start + text.bytes);
		check_address(address, flags);
	}
	struct smtp_parameter parameters[SMTP_PARAMETERS_MAX];
	size_t n;
	smtp_parameters_parse(text, parameters, &n);
	g_assert(n <= SMTP_PARAMETERS_MAX);
	smtp_is_domain(text);
	return 0;
}
