/*
 * error - the one GError domain of conf/: its text says what is wrong
 * and what would be right.
 */
#ifndef CONF_ERROR_H
#define CONF_ERROR_H

#include <glib.h>

/* VALUE: a text that is not what it should be. FILE: one that cannot be used. */
enum conf_error { CONF_ERROR_VALUE, CONF_ERROR_FILE };
#define CONF_ERROR (conf_error_quark())
GQuark conf_error_quark(void);

#endif
