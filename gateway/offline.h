/*
 * offline - stowage rewrite: the gateway's rewriting on one message, without gateway.
 */
#ifndef GATEWAY_OFFLINE_H
#define GATEWAY_OFFLINE_H

#include "conf/conf.h"

struct offline {
	const char *objects;  /* directory for the attachments: file name = object key */
	const char *manifest; /* file for the decisions as JSON; NULL: none */
};

/*
 * Reads a message from standard input, writes the rewritten one to standard output, each
 * attachment to objects. A sysexits code: EX_OK also for a message that stays as it is;
 * EX_NOINPUT, EX_CANTCREAT, EX_IOERR, EX_CONFIG with one line on standard error.
 */
int offline_rewrite(const struct conf *conf, const struct offline *offline);

#endif
