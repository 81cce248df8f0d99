/*
 * loading - settings texts under test: each case brings what it is about, the rest is
 * added.
 */
#ifndef TESTS_UNIT_CONF_LOADING_H
#define TESTS_UNIT_CONF_LOADING_H

#include "conf/conf.h"
#include <stdbool.h>
#include <stddef.h>

#define LISTENER(rest)                                                                   \
	"listeners: [ { name: in, address: \"0.0.0.0:25\", tls: none, " rest " } ]\n"
#define TLS "tls: { certificate: /c.pem, key: /k.pem }\n"

/* The text, and behind it what it lacks; g_free(). */
char *completed(const char *text);

/* Looks at no file. Problems and warnings are lines; g_free(). */
struct conf *load(const char *text, char **problems, char **warnings);

/* Completes the part; fails unless it is sound. */
struct conf *load_sound(const char *part);

/* Whether each line of want begins a line of got, in order, and got has no others. Says
 * what differs. */
bool matches(const char *text, const char *got, const char *want);

struct mistake {
	const char *text, *want; /* lines, each the beginning of a problem or warning */
};

/* Fails unless each text, completed, has just these problems. */
void check_mistakes(const struct mistake *mistakes, size_t n);

/* Fails unless each text, completed, is sound and has just these warnings. */
void check_warnings(const struct mistake *cases, size_t n);

#endif
