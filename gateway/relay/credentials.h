/*
 * credentials - the user and password for AUTH at the relay, from the
 * settings or their files.
 *
 * Read anew for each connection and wiped after it has logged in: a key that was rotated
 * is used with the next connection, and none stays in memory.
 */
#ifndef GATEWAY_RELAY_CREDENTIALS_H
#define GATEWAY_RELAY_CREDENTIALS_H

#include "conf/conf.h"

struct credentials {
	char *user, *password; /* both NULL: the settings give none, so no AUTH */
};

/* With an IAM key the user is its ID and the password the one that SES derives from it.
 * GATEWAY_ERROR_MEND: a file cannot be read, a half is missing, no region is known. */
bool credentials_load(struct credentials *credentials, const struct conf_relay *settings,
	GError **error);

void credentials_wipe(struct credentials *credentials);

/* Wipes and frees a string, sets it to NULL. */
void credentials_wipe_string(char **secret);

#endif
