/*
 * queue_command - stowage queue list|show|retry, beside a running gateway or without one.
 */
#ifndef GATEWAY_QUEUE_QUEUE_COMMAND_H
#define GATEWAY_QUEUE_QUEUE_COMMAND_H

#include "conf/conf.h"

/* argv[0] is "list", "show" or "retry". Prints to standard output (a table for people,
 * JSON lines with --json), mistakes to standard error; a sysexits code. */
int queue_command(const struct conf *conf, int argc, char **argv);

#endif
