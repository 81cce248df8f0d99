/*
 * exception - settings of attachments for one listener or user.
 */
#ifndef CONF_EXCEPTION_H
#define CONF_EXCEPTION_H

#include "conf/conf.h"
#include "conf/source.h"

/* Gives each exception what it does not say itself, and tells of those that fit nothing.
 * After all else in attachments is complete. */
void conf_exceptions_complete(struct conf *conf, struct conf_source *source);

#endif
