/* The names of quirks. */
#include "gateway/smtp/quirk.h"

static const char *const names[QUIRKS] = {
	[QUIRK_TLS_1_0] = "tls_1_0",
	[QUIRK_TLS_1_1] = "tls_1_1",
	[QUIRK_OLD_CIPHER] = "old_cipher",
	[QUIRK_HELO_EMPTY] = "helo_empty",
	[QUIRK_HELO_SYNTAX] = "helo_syntax",
	[QUIRK_AUTH_AFTER_HELO] = "auth_after_helo",
	[QUIRK_AUTH_IN_CLEAR] = "auth_in_clear",
	[QUIRK_NO_BRACKETS] = "no_brackets",
	[QUIRK_SPACE_IN_COMMAND] = "space_in_command",
	[QUIRK_COMMAND_LF] = "command_lf",
	[QUIRK_DATA_BARE_LF] = "data_bare_lf",
	[QUIRK_DATA_BARE_CR] = "data_bare_cr",
	[QUIRK_NO_QUIT] = "no_quit",
};

const char *quirk_name(enum quirk quirk)
{
	return names[quirk];
}
