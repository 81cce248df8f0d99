/*
 * links_command - stowage links list|show|extend|revoke, from the queue's record, beside
 * a running gateway or without one.
 */
#ifndef GATEWAY_QUEUE_LINKS_COMMAND_H
#define GATEWAY_QUEUE_LINKS_COMMAND_H

#include "conf/conf.h"

/* argv[0] is the verb. Prints to standard output (for people, or JSON lines with --json),
 * mistakes to standard error; a sysexits code. conf may be NULL for "help". Only extend
 * prints URLs: each is a key to its file. */
int links_command(const struct conf *conf, int argc, char **argv);

#endif
