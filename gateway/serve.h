/*
 * serve - runs the gateway: wires everything to one loop, until it is told to stop.
 */
#ifndef GATEWAY_SERVE_H
#define GATEWAY_SERVE_H

/*
 * Serves by the settings file at path. SIGHUP reads it again, SIGTERM and SIGINT stop:
 * sessions and deliveries under way are finished within shutdown_timeout. Returns a
 * sysexits code: EX_OK after a stop, EX_CONFIG for the settings, EX_UNAVAILABLE where an
 * address, certificate or queue cannot be had, EX_OSERR where the machine has no
 * descriptors left.
 */
int serve(const char *path);

#endif
