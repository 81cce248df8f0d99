/*
 * listen - a listening TCP socket for libmicrohttpd, bound here so that a failure can be
 * told apart and named.
 */
#ifndef GATEWAY_ADMIN_LISTEN_H
#define GATEWAY_ADMIN_LISTEN_H

#include <glib.h>

/* "HOST:PORT", numeric; port 0: any. Non-blocking; close() it. -1 with GATEWAY_ERROR_MEND
 * that names the address and says why. */
int listen_open(const char *address, GError **error);

/* The port that it is bound to. */
unsigned listen_port(int fd);

/* What libmicrohttpd has to say, as debug events (MHD_OPTION_EXTERNAL_LOGGER). */
void listen_log(void *unused, const char *format, va_list arguments)
	__attribute__((format(printf, 2, 0)));

#endif
