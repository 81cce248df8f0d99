/* Memory and references of settings. What stands in them is the reader's matter. */
#include "conf/snapshot.h"

#include <openssl/crypto.h>
#include <string.h>

static void wipe_and_free(void *text)
{
	OPENSSL_cleanse(text, strlen(text));
	g_free(text);
}

static void listener_clear(void *pointer)
{
	struct conf_listener *listener = pointer;
	conf_recipient_map_free(&listener->recipients);
}

struct conf_snapshot *conf_snapshot_new(void)
{
	struct conf_snapshot *snapshot = g_new0(struct conf_snapshot, 1);
	snapshot->references = 1;
	snapshot->strings = g_ptr_array_new_with_free_func(wipe_and_free);
	snapshot->blocks = g_ptr_array_new_with_free_func(g_free);
	snapshot->listeners = g_array_new(FALSE, TRUE, sizeof(struct conf_listener));
	g_array_set_clear_func(snapshot->listeners, listener_clear);
	return snapshot;
}

const char *conf_snapshot_text(struct conf_snapshot *snapshot, const char *text)
{
	char *copy = g_strdup(text);
	g_ptr_array_add(snapshot->strings, copy);
	return copy;
}

void *conf_snapshot_block(struct conf_snapshot *snapshot, void *block)
{
	if (block != NULL)
		g_ptr_array_add(snapshot->blocks, block);
	return block;
}

struct conf *conf_ref(struct conf *conf)
{
	g_atomic_int_inc(&((struct conf_snapshot *)conf)->references);
	return conf;
}

void conf_unref(struct conf *conf)
{
	struct conf_snapshot *snapshot = (struct conf_snapshot *)conf;
	if (snapshot == NULL || !g_atomic_int_dec_and_test(&snapshot->references))
		return;
	g_array_unref(snapshot->listeners);
	g_ptr_array_unref(snapshot->blocks);
	g_ptr_array_unref(snapshot->strings);
	g_free(snapshot);
}
