/*
 * queue_command - stowage queue list|show|retry|redrive|hold|release|delete|export,
 * beside a running gateway or without one.
 */
#ifndef GATEWAY_QUEUE_QUEUE_COMMAND_H
#define GATEWAY_QUEUE_QUEUE_COMMAND_H

#include "conf/conf.h"

/* argv[0] is the verb. Prints to standard output (for people, or JSON lines with --json),
 * mistakes to standard error; a sysexits code. conf may be NULL for "help". */
int queue_command(const struct conf *conf, int argc, char **argv);

#endif
