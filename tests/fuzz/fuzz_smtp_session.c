/* Whole dialogues, BDAT among them. The first byte picks the listener and whether a
 * certificate is shown and extensions are hidden, the second the read size; the outcome
 * must be the one of the whole text in one read, and replies must have their form. */
#include "dialog.h"
#include "tests/fuzz/fuzz.h"

#include <stdint.h>
#include <string.h>

#define LISTENER(...)                                                                    \
	{                                                                                \
		.name = "test", .max_message_size = 300, .max_recipients = 3,            \
		.max_errors = 20, .max_idle_commands = 100, __VA_ARGS__                  \
	}
static const char *const hidden[] = { "CHUNKING", "ENHANCEDSTATUSCODES", "SIZE", NULL };
static const struct conf_listener listeners[] = {
	LISTENER(.tls = CONF_TLS_STARTTLS, .profile = CONF_PROFILE_STRICT),
	LISTENER(.profile = CONF_PROFILE_STANDARD, .auth = CONF_AUTH_OPTIONAL,
		.auth_without_tls = true),
	LISTENER(.tls = CONF_TLS_REQUIRED, .auth = CONF_AUTH_REQUIRED,
		.profile = CONF_PROFILE_STANDARD),
	LISTENER(.tls = CONF_TLS_STARTTLS, .auth = CONF_AUTH_OPTIONAL,
		.auth_without_tls = true, .profile = CONF_PROFILE_LEGACY),
	LISTENER(.profile = CONF_PROFILE_STRICT, .smtputf8 = true),
	LISTENER(.tls = CONF_TLS_WRAPPER, .auth = CONF_AUTH_REQUIRED,
		.profile = CONF_PROFILE_STANDARD, .hide_extensions = hidden),
	LISTENER(.profile = CONF_PROFILE_LEGACY, .smtputf8 = true,
		.hide_extensions = hidden),
};
static const struct smtp_terms terms = {
	.profile = CONF_PROFILE_LEGACY, .max_message_size = 1000, .max_recipients = 1
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 3)
		return 0;
	const struct conf_listener *listener =
		&listeners[data[0] % 16 % G_N_ELEMENTS(listeners)];
	size_t piece = 1 + data[1] % 64;
	const char *text = (const char *)data + 2;
	struct dialog whole = { .certified = data[0] & 16,
		.hides = data[0] & 32,
		.terms = data[0] & 64 ? &terms : NULL };
	struct dialog cut = whole;
	cut.room = 6 + data[1];
	dialog_run(&whole, listener, text, size - 2, size - 2);
	dialog_run(&cut, listener, text, size - 2, piece);
	g_assert(!whole.stuck && !cut.stuck);
	g_assert(!strcmp(whole.replies->str, cut.replies->str));
	g_assert(g_string_equal(whole.events, cut.events));
	dialog_clear(&whole);
	dialog_clear(&cut);
	return 0;
}
