/* client - the least HTTP client that the tests of listeners here need. Blocks. */
#ifndef TESTS_UNIT_ADMIN_CLIENT_H
#define TESTS_UNIT_ADMIN_CLIENT_H

#include <glib.h>

/* A connection to 127.0.0.1, close() it; gives up on reads after ten seconds. */
int client_connect(unsigned port);

/* Sends text as it is and reads until the server closes; g_string_free(). */
GString *client_exchange(unsigned port, const char *text);

/* One request; headers are whole lines. The answer with its header. */
GString *client_fetch(
	unsigned port, const char *method, const char *target, const char *headers);

/* The status of an answer, 0: there is none. */
unsigned client_status(const GString *answer);

/* What follows the header, borrowed. */
const char *client_body(const GString *answer);

/* A header field's value ("" when missing); g_free(). */
char *client_header(const GString *answer, const char *name);

#endif
