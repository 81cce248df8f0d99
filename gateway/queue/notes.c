/* Short texts of other parts that outlive a restart. Leaves writing
 * them to the writer. */
#include "gateway/queue/queue.h"

#include "gateway/log.h"
#include "gateway/queue/writer.h"
#include <string.h>

#define NOTES_MAX 256

void queue_remember(struct queue *queue, const char *name, const char *text)
{
	g_mutex_lock(&queue->lock);
	const char *old = g_hash_table_lookup(queue->notes, name);
	bool room = old || g_hash_table_size(queue->notes) < NOTES_MAX;
	if (room && g_strcmp0(old, text) != 0) {
		struct operation *operation = g_new0(struct operation, 1);
		operation->kind = OPERATION_NOTE;
		operation->name = g_strdup(name);
		operation->text = g_strdup(text);
		g_hash_table_insert(queue->notes, g_strdup(name), g_strdup(text));
		writer_add(queue, operation, URGENCY_WITH_NEXT);
	}
	g_mutex_unlock(&queue->lock);
	if (!room)
		log_warning("queue.note_refused", LOG_TEXT("name", name),
			LOG_TEXT("reason", "there are too many"));
}

char *queue_recall(struct queue *queue, const char *name)
{
	g_mutex_lock(&queue->lock);
	char *text = g_strdup(g_hash_table_lookup(queue->notes, name));
	g_mutex_unlock(&queue->lock);
	return text;
}
