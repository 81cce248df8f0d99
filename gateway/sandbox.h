/*
 * sandbox - a folder in which the gateway runs without any account: an
 * ordinary settings file with a directory store, a Maildir relay, a
 * certificate of its own, all on loopback.
 */
#ifndef GATEWAY_SANDBOX_H
#define GATEWAY_SANDBOX_H

#include <glib.h>

struct sandbox_addresses {
	const char *smtp;  /* HOST:PORT, loopback; NULL: 127.0.0.1:2525 */
	const char *http;  /* where objects are fetched; NULL: 127.0.0.1:8025 */
	const char *admin; /* NULL: 127.0.0.1:9025 */
};

/*
 * Makes in directory what is missing of stowage.yaml, tls/cert.pem and key.pem, users
 * (one: "sandbox", password "sandbox"), queue/, store/ and Maildir/. The path of the
 * settings file, g_free(); NULL with error. addresses are used only when the settings
 * file is made anew.
 */
char *sandbox_prepare(
	const char *directory, const struct sandbox_addresses *addresses, GError **error);

#endif
