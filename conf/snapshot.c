/* Memory and references of settings. What stands in them is the reader's matter. */
#include "conf/snapshot.h"

#include "mime/template.h"
#include <openssl/crypto.h>
#include <string.h>

static void wipe_and_free(void *text)
{
	OPENSSL_cleanse(text, strlen(text));
	g_free(text);
}

static void map_free(void *pointer)
{
	struct conf_recipient_map *map = pointer;
	conf_recipient_map_free(&map);
}

static void template_free(void *pointer)
{
	struct mime_template *template = pointer;
	mime_template_free(&template);
}

struct conf_snapshot *conf_snapshot_new(void)
{
	struct conf_snapshot *snapshot = g_new0(struct conf_snapshot, 1);
	snapshot->references = 1;
	snapshot->strings = g_ptr_array_new_with_free_func(wipe_and_free);
	snapshot->blocks = g_ptr_array_new_with_free_func(g_free);
	snapshot->maps = g_ptr_array_new_with_free_func(map_free);
	snapshot->templates = g_ptr_array_new_with_free_func(template_free);
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

struct conf_recipient_map *conf_snapshot_map(struct conf_snapshot *snapshot)
{
	struct conf_recipient_map *map = conf_recipient_map_new();
	g_ptr_array_add(snapshot->maps, map);
	return map;
}

void conf_snapshot_template(
	struct conf_snapshot *snapshot, struct mime_template *template)
{
	g_ptr_array_add(snapshot->templates, template);
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
	g_ptr_array_unref(snapshot->maps);
	g_ptr_array_unref(snapshot->templates);
	g_ptr_array_unref(snapshot->blocks);
	g_ptr_array_unref(snapshot->strings);
	g_free(snapshot);
}
