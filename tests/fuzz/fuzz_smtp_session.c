/* Whole dialogues. The first byte picks the listener, the second the read
 * size; the outcome must be the one of the whole text in one read, and
 * replies must have their form. */
#include "dialog.h"

#include <stdint.h>
#include <string.h>

#define LISTENER(...)                                                                    \
	{                                                                                \
		.name = "test", .max_message_size = 300, .max_recipients = 3,            \
		__VA_ARGS__                                                              \
	}
static const struct conf_listener listeners[] = {
	LISTENER(.tls = CONF_TLS_STARTTLS, .profile = CONF_PROFILE_STRICT),
	LISTENER(.profile = CONF_PROFILE_STANDARD, .auth = CONF_AUTH_OPTIONAL,
		.auth_without_tls = true),
	LISTENER(.tls = CONF_TLS_REQUIRED, .auth = CONF_AUTH_REQUIRED,
		.profile = CONF_PROFILE_STANDARD),
	LISTENER(.tls = CONF_TLS_STARTTLS, .auth = CONF_AUTH_OPTIONAL,
		.auth_without_tls = true, .profile = CONF_PROFILE_LEGACY),
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3)
		return 0;
	const struct conf_listener *listener =
		&listeners[data[0] % G_N_ELEMENTS(listeners)];
	size_t piece = 1 + data[1] % 64;
	const char *text = (const char *)data + 2;
	struct dialog whole = { 0 }, cut = { .room = 4 + data[1] };
	dialog_run(&whole, listener, text, size - 2, size - 2);
	dialog_run(&cut, listener, text, size - 2, piece);
	g_assert(!whole.stuck && !cut.stuck);
	g_assert(!strcmp(whole.replies->str, cut.replies->str));
	g_assert(g_string_equal(whole.events, cut.events));
	dialog_clear(&whole);
	dialog_clear(&cut);
	return 0;
}
