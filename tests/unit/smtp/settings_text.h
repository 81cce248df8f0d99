/*
 * settings_text - settings for a test, from their listeners on.
 */
#ifndef TESTS_UNIT_SMTP_SETTINGS_TEXT_H
#define TESTS_UNIT_SMTP_SETTINGS_TEXT_H

#include "conf/conf.h"

/* Text holds listeners and what else is of interest; the rest is added. Fails the test if
 * it is not sound; looks at no file. */
struct conf *settings_text_load(const char *text);

#endif
