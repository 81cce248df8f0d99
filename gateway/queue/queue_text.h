/*
 * queue_text - messages of the queue as people and programs read them. Pure.
 *
 * Internal to gateway/queue/. What peers sent is made harmless for a terminal. New
 * strings are the caller's, to g_free().
 */
#ifndef GATEWAY_QUEUE_QUEUE_TEXT_H
#define GATEWAY_QUEUE_QUEUE_TEXT_H

#include "gateway/queue/queue.h"
#include <jansson.h>

/* text with what would move a cursor, end a line or is no UTF-8 made visible. */
char *queue_text_visible(const char *text);

/* What is known of message but its history; a new reference. */
json_t *queue_text_json(const struct queue_message *message);
/* message->events as an array; a new reference. */
json_t *queue_text_history_json(const struct queue_message *message);

/* Everything, in lines for people. */
char *queue_text_show(const struct queue_message *message, int64_t now_ms);

/* The envelope as fields of a header, CR LF behind each. */
char *queue_text_envelope(const struct queue_message *message);

/* One link of message, likewise, and in two lines for people. */
json_t *queue_text_link_json(const struct queue_message *message,
	const struct queue_attachment *attachment, int64_t now_s);
char *queue_text_link(const struct queue_message *message,
	const struct queue_attachment *attachment, int64_t now_s);

enum { QUEUE_TEXT_COLUMNS = 9 };

/* One line of the list, as a NULL-ended array of QUEUE_TEXT_COLUMNS strings;
 * g_strfreev(). */
char **queue_text_row(const struct queue_message *message, int64_t now_ms);

/* Rows (of char **) in columns as wide as their widest cell, headings first if wanted. */
char *queue_text_table(const GPtrArray *rows, bool headings);

#endif
