/* No more is ever kept than one read brought: reading stops while something waits. */
#include "gateway/smtp/input.h"

#include <openssl/crypto.h>

static void free_copy(struct input *input)
{
	if (input->copy)
		OPENSSL_cleanse(input->copy, input->copy_bytes);
	g_clear_pointer(&input->copy, g_free);
}

void input_clear(struct input *input)
{
	free_copy(input);
	input->rest = (struct slice){ NULL, 0 };
}

void input_set(struct input *input, const char *bytes, size_t n_bytes)
{
	free_copy(input);
	input->rest = (struct slice){ bytes, n_bytes };
}

static void set_copy(struct input *input, char *copy, size_t n_bytes)
{
	free_copy(input);
	input->copy = copy;
	input->copy_bytes = n_bytes;
	input->rest = (struct slice){ copy, n_bytes };
}

void input_keep(struct input *input)
{
	if (!input->rest.bytes)
		free_copy(input);
	else if (!input->copy)
		set_copy(input, g_memdup2(input->rest.start, input->rest.bytes),
			input->rest.bytes);
}

void input_add(struct input *input, const char *bytes, size_t n_bytes)
{
	if (!input->rest.bytes) {
		input_set(input, bytes, n_bytes);
		return;
	}
	char *joined = g_malloc(input->rest.bytes + n_bytes);
	memcpy(joined, input->rest.start, input->rest.bytes);
	memcpy(joined + input->rest.bytes, bytes, n_bytes);
	set_copy(input, joined, input->rest.bytes + n_bytes);
}
