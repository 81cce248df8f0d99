/*
 * inherited - listening sockets that the service manager has bound for us (systemd's
 * socket activation, sd_listen_fds(3)): ports below 1024 without a capability, and no
 * client refused while the gateway restarts.
 *
 * Thread: the loop's.
 */
#ifndef GATEWAY_SMTP_INHERITED_H
#define GATEWAY_SMTP_INHERITED_H

#include "conf/conf.h"
#include <stddef.h>

struct inherited;

/* Takes all that the environment names, and its variables with them. Never NULL. */
struct inherited *inherited_new(void);

/* The socket for conf->listeners[index], the caller's from now on: the one bound to
 * its address, else one with its name (FileDescriptorName=) that is no other
 * listener's by its address, nor open to others than this machine where the
 * listener is not. -1: none. */
int inherited_claim(struct inherited *inherited, const struct conf *conf, size_t index);

/* Closes those that nobody claimed, and says so in the log. Clears the pointer; takes
 * NULL in it. */
void inherited_free(struct inherited **inherited);

#endif
