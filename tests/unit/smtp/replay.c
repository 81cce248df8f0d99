/* Sessions by table, at every read size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replay.h"
#include <string.h>

/* What the session may want at once, at its least. */
#define ROOM_LEAST 6

const struct conf_listener mx =
	LISTENER(.tls = CONF_TLS_STARTTLS, .profile = CONF_PROFILE_STRICT);
const struct conf_listener plain = LISTENER(.profile = CONF_PROFILE_STANDARD);
const struct conf_listener submit = LISTENER(.tls = CONF_TLS_REQUIRED,
	.auth = CONF_AUTH_REQUIRED, .profile = CONF_PROFILE_STANDARD);
const struct conf_listener submits = LISTENER(.tls = CONF_TLS_WRAPPER,
	.auth = CONF_AUTH_REQUIRED, .profile = CONF_PROFILE_STANDARD);
const struct conf_listener mixed = LISTENER(.tls = CONF_TLS_STARTTLS,
	.auth = CONF_AUTH_OPTIONAL, .profile = CONF_PROFILE_STANDARD);
const struct conf_listener open_auth = LISTENER(.auth = CONF_AUTH_OPTIONAL,
	.auth_without_tls = true, .profile = CONF_PROFILE_STANDARD);
const struct conf_listener lan =
	LISTENER(.auth = CONF_AUTH_OPTIONAL, .auth_without_tls = true,
		.tls = CONF_TLS_STARTTLS, .profile = CONF_PROFILE_LEGACY);

static void expect(
	const struct session_case *c, size_t piece, const char *got, const char *want)
{
	if (want && strcmp(got, want) != 0)
		fail_msg("%s, in pieces of %zu: \"%s\", not \"%s\"", c->name, piece, got,
			want);
}

static void check(const struct session_case *c, size_t piece, size_t room,
	const struct dialog *settings)
{
	struct dialog d = { 0 };
	if (settings)
		d = *settings;
	d.room = room;
	dialog_run(&d, c->listener, c->in, strlen(c->in), piece);
	expect(c, piece, d.codes->str, c->codes);
	expect(c, piece, d.events->str, c->events);
	assert_false(d.stuck);
	dialog_clear(&d);
}

void replay(
	const struct session_case *cases, size_t n_cases, const struct dialog *settings)
{
	for (size_t i = 0; i < n_cases; i++) {
		size_t length = strlen(cases[i].in);
		for (size_t piece = length; piece > 0; piece--)
			check(&cases[i], piece, 65536, settings);
		check(&cases[i], length, ROOM_LEAST, settings);
		check(&cases[i], 1, ROOM_LEAST, settings);
	}
}
