/* Puts quotes around what is otherwise left alone. */
#include "gateway/quoting.h"

#include <glib.h>
#include <string.h>

size_t quoting_span(const char *text)
{
	return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			    "0123456789.!#$%&'*+-/=?^_`{|}~");
}

bool quoting_is_needed(const char *local_part, size_t bytes)
{
	bool after_dot = true;
	for (size_t i = 0; i < bytes; i++) {
		bool is_dot = local_part[i] == '.';
		if (is_dot && after_dot)
			return true;
		after_dot = is_dot;
	}
	return bytes && after_dot;
}

char *quoting_address(const char *address)
{
	size_t bytes = quoting_span(address);
	if (address[bytes] != '@' || !quoting_is_needed(address, bytes))
		return g_strdup(address);
	return g_strdup_printf("\"%.*s\"%s", (int)bytes, address, address + bytes);
}
