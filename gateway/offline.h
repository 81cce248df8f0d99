/*
 * offline - stowage rewrite: the gateway's rewriting on messages, without gateway.
 */
#ifndef GATEWAY_OFFLINE_H
#define GATEWAY_OFFLINE_H

#include "conf/conf.h"
#include "s3/s3.h"

struct offline {
	const char *objects;  /* directory for the attachments: file name = object key */
	const char *manifest; /* file for the decisions as JSON; NULL: none */
	/* By which listener, and from which user, the mail is taken to have come; NULL:
	 * by none, from nobody known. */
	const char *listener, *user;
};

/*
 * Reads a message from standard input, writes the rewritten one to standard output, each
 * attachment to objects. A sysexits code: EX_OK also for a message that stays as it is;
 * EX_NOINPUT, EX_CANTCREAT, EX_IOERR, EX_CONFIG with one line on standard error.
 */
int offline_rewrite(const struct conf *conf, const struct offline *offline);

/* One message of many. */
struct offline_message {
	const char *name; /* for what is said on standard error */
	int in;           /* a regular file's descriptor, of in_bytes */
	uint64_t in_bytes;
	int out;
};

/* The same with descriptors; store (shared by threads) makes the links and stores
 * nothing. Thread: any. */
int offline_rewrite_one(const struct conf *conf, struct s3_store *store,
	const struct offline *offline, const struct offline_message *message);

/*
 * offline_batch - every regular file of directory in (those whose names begin with a dot
 * left out) is rewritten into a file of its name in directory out, with NAME.json for the
 * decisions (offline->manifest is not looked at); attachments go to offline->objects
 * (NULL: out/objects). As many at a time as there
 * are processors. A message that fails leaves nothing in out, one line on standard error,
 * and the others go on. The first failure's code, else EX_OK.
 */
int offline_batch(const struct conf *conf, const struct offline *offline, const char *in,
	const char *out);

#endif
