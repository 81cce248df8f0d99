/* PROXY headers: a header is found the same however it is cut, and what is found is
 * within the bytes. */
#include "gateway/smtp/proxy.h"
#include "tests/fuzz/fuzz.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static enum proxy_status parse(const uint8_t *data, size_t size,
	struct sockaddr_storage *client, size_t *header_bytes)
{
	g_autofree char *copy = g_memdup2(data, size);
	return proxy_parse(copy, size, client, header_bytes);
}

static bool is_whole(enum proxy_status status)
{
	return status == PROXY_CLIENT || status == PROXY_LOCAL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_storage client, again;
	size_t whole_bytes = 0, n_bytes = 0;
	enum proxy_status status = parse(data, size, &client, &whole_bytes);
	if (status == PROXY_MORE)
		g_assert(size < PROXY_HEADER_BYTES_MAX);
	if (!is_whole(status))
		return 0;
	g_assert(whole_bytes && whole_bytes <= MIN(size, PROXY_HEADER_BYTES_MAX));
	for (size_t cut = 0; cut < whole_bytes; cut += 1 + cut / 8)
		g_assert(parse(data, cut, &again, &n_bytes) == PROXY_MORE);
	g_assert(parse(data, whole_bytes, &again, &n_bytes) == status);
	g_assert(n_bytes == whole_bytes);
	if (status == PROXY_CLIENT)
		g_assert(!memcmp(&client, &again, sizeof(client)));
	return 0;
}
