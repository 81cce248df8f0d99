/*
 * log - one event, one line on standard error: a JSON object, or prose on a terminal.
 *
 * Names of events are dotted and stable ("message.accepted"); keys are snake_case; a
 * message's own ID is always "id", a reason for people "reason". What a peer sent is
 * escaped here. Never give it a secret, a signature, a signed URL or message content.
 * Threads: any; a line is written whole. Format and level are the process's, as
 * openlog(3)'s are.
 */
#ifndef GATEWAY_LOG_H
#define GATEWAY_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

struct log_field {
	const char *key;
	const char *text; /* NULL and is_number false: the field is left out */
	int64_t number;
	bool is_number;
};
#define LOG_TEXT(key, value)                                                             \
	{                                                                                \
		(key), (value), 0, false                                                 \
	}
#define LOG_NUMBER(key, value)                                                           \
	{                                                                                \
		(key), NULL, (int64_t)(value), true                                      \
	}

/* human: prose with colours instead of JSON. Also sends GLib's own messages this way. May
 * be called again to change either. */
void log_init(bool human, enum log_level least);

void log_write(enum log_level level, const char *event, const struct log_field *fields);

#define log_event(level, event, ...)                                                     \
	log_write((level), (event), (const struct log_field[]){ __VA_ARGS__, { 0 } })
#define log_debug(event, ...)   log_event(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)    log_event(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_warning(event, ...) log_event(LOG_LEVEL_WARNING, event, __VA_ARGS__)
#define log_error(event, ...)   log_event(LOG_LEVEL_ERROR, event, __VA_ARGS__)

#endif
