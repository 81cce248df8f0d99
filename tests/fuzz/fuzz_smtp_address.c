/* Paths, parameters and their values. What is accepted must be accepted again as it was
 * normalised, within its limits and without control characters. */
#include "gateway/smtp/address.h"
#include "gateway/smtp/dsn_parameters.h"
#include "tests/fuzz/fuzz.h"

#include <stdint.h>

static void check_text(const char *text, bool utf8)
{
	g_assert(utf8 ? g_utf8_validate(text, -1, NULL) : g_str_is_ascii(text));
	for (const char *c = text; *c; c++)
		g_assert((unsigned char)*c >= 32 && *c != 127);
}

static void check_address(const char *address, unsigned flags)
{
	check_text(address, flags & PATH_UTF8);
	g_assert(strlen(address) <= 2 * 64 + 2 + 1 + 255);
	if (!*address || !strchr(address, '@'))
		return;
	g_autofree char *text = g_strdup_printf("<%s>", address);
	struct smtp_path again;
	/* quotes and backslashes may be needed where none were given:
	 * longer, but no other */
	enum smtp_path_status status = smtp_path_parse(slice_of(text), flags, &again);
	g_assert(status == PATH_OK || status == PATH_TOO_LONG);
	g_assert(status != PATH_OK ||
		 (!strcmp(again.address, address) && !again.rest.bytes));
	g_free(again.address);
}

/* As a bounce would print it: no line may begin in it. */
static void check_xtext(struct slice text, bool utf8)
{
	for (size_t i = 0; i < text.bytes; i++) {
		unsigned char c = (unsigned char)text.start[i];
		g_assert(c > 32 && c != 127 && (c < 127 || utf8));
		if (c != '+')
			continue;
		g_assert(i + 2 < text.bytes);
		int high = g_ascii_xdigit_value(text.start[i + 1]);
		int low = g_ascii_xdigit_value(text.start[i + 2]);
		g_assert(high >= 2 && high < 8 && low >= 0 && high * 16 + low < 127);
	}
}

static void check_parameter(const struct smtp_parameter *parameter, bool utf8)
{
	struct slice value = parameter->value;
	unsigned notify;
	enum queue_ret ret;
	smtp_dsn_ret(value, &ret);
	if (smtp_dsn_notify(value, &notify))
		g_assert(notify == QUEUE_NOTIFY_NEVER ||
			 (notify && !(notify & QUEUE_NOTIFY_NEVER)));
	if (smtp_dsn_envid(value))
		check_xtext(value, false);
	if (smtp_dsn_orcpt(value, utf8))
		check_xtext(value, utf8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	unsigned flags = data[0] & (PATH_REVERSE | PATH_LENIENT | PATH_SPACE | PATH_UTF8);
	struct slice text = { (const char *)data + 1, size - 1 }, rest = text;
	struct smtp_path path;
	if (smtp_path_parse(text, flags, &path) == PATH_OK) {
		rest = path.rest;
		g_assert(rest.start + rest.bytes == text.start + text.bytes);
		check_address(path.address, flags);
		g_free(path.address);
	} else {
		g_assert(!path.address);
	}
	struct smtp_parameter parameters[SMTP_PARAMETERS_MAX];
	size_t n;
	smtp_parameters_parse(rest, parameters, &n);
	g_assert(n <= SMTP_PARAMETERS_MAX);
	for (size_t i = 0; i < n; i++)
		check_parameter(&parameters[i], flags & PATH_UTF8);
	smtp_is_domain(text);
	return 0;
}
