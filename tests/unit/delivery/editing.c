/* Applies what preflight edits to a message in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/delivery/editing.h"
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

char *edited_octets(const struct preflight *preflight, const char *in, size_t in_bytes,
	GError **error)
{
	int fd = memfd_create("message", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, in, in_bytes), in_bytes);
	struct splice *splice = splice_new(in_bytes);
	char *out = NULL;
	if (preflight_edit(preflight, in, in_bytes, splice, error)) {
		size_t bytes = splice_bytes(splice);
		out = g_malloc0(bytes + 1);
		struct splice_reader reader;
		splice_reader_init(&reader, splice, fd);
		assert_int_equal(splice_read(&reader, out, bytes, NULL), bytes);
	}
	splice_free(&splice);
	close(fd);
	return out;
}

char *edited(const struct preflight *preflight, const char *in, GError **error)
{
	return edited_octets(preflight, in, strlen(in), error);
}
