/*
 * value - what one word of the settings means: numbers, sizes,
 * durations and their bounds.
 *
 * Each function gives false with a CONF_ERROR that names what would be right; none wraps
 * or rounds. Pure.
 */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* What a number counts. */
enum conf_unit {
	CONF_UNIT_NONE,
	CONF_UNIT_OCTETS,
	CONF_UNIT_SECONDS,
	CONF_UNIT_MILLISECONDS
};

/* "true", "yes", "on" and their opposites, in any case. */
bool conf_value_bool(const char *text, bool *value, GError **error);

/* "587"; "150MiB"; "36h", "1h30m"; min and max are in units of octets, seconds, ms. */
bool conf_value_number(const char *text, enum conf_unit unit, uint64_t min, uint64_t max,
	uint64_t *value, GError **error);

/* "14", "0.5": no sign, no exponent. */
bool conf_value_rate(const char *text, double max, double *value, GError **error);

/* The same; or "auto", which sets *is_auto, and what stands behind it ("auto 14"), else
 * 0. */
bool conf_value_pace(
	const char *text, double max, double *value, bool *is_auto, GError **error);

/* As a person would write it: "150MiB", "1h30m"; g_free(). */
char *conf_value_print(uint64_t value, enum conf_unit unit);

/* The text in quotes, fit for a message: shortened, control
 * characters escaped; g_free(). */
char *conf_value_quote(const char *text);

/* Sets error to the quoted text and what is wrong with it ("is not ..."); gives false. */
bool conf_value_refuse(const char *text, GError **error, const char *format, ...)
	G_GNUC_PRINTF(3, 4);

#endif
