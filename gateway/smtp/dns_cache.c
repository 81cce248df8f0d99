/* A table of entries that are also in a list, the one asked for last in front. */
#include "gateway/smtp/dns_cache.h"

struct dns_cache {
	GHashTable *entries; /* of struct entry, by question */
	GQueue by_use;
	guint max_answers;
};

struct entry {
	GList link; /* data is the entry */
	char *question;
	struct dns_answer *answer;
	uint64_t until_ms;
};

static void entry_free(void *data)
{
	struct entry *entry = data;
	dns_answer_unref(entry->answer);
	g_free(entry->question);
	g_free(entry);
}

struct dns_cache *dns_cache_new(guint max_answers)
{
	struct dns_cache *cache = g_new0(struct dns_cache, 1);
	cache->entries = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, entry_free);
	cache->max_answers = max_answers;
	return cache;
}

void dns_cache_free(struct dns_cache **cache)
{
	struct dns_cache *old = g_steal_pointer(cache);
	if (!old)
		return;
	g_hash_table_destroy(old->entries);
	g_free(old);
}

static void drop(struct dns_cache *cache, struct entry *entry)
{
	g_queue_unlink(&cache->by_use, &entry->link);
	g_hash_table_remove(cache->entries, entry->question);
}

void dns_cache_put(struct dns_cache *cache, const char *question,
	struct dns_answer *answer, uint64_t now_ms)
{
	struct entry *old = g_hash_table_lookup(cache->entries, question);
	if (!old && cache->by_use.length >= cache->max_answers)
		old = cache->by_use.tail->data;
	if (old)
		drop(cache, old);
	struct entry *entry = g_new0(struct entry, 1);
	entry->link.data = entry;
	entry->question = g_strdup(question);
	entry->answer = dns_answer_ref(answer);
	entry->until_ms = now_ms + (uint64_t)answer->ttl_s * 1000;
	g_hash_table_insert(cache->entries, entry->question, entry);
	g_queue_push_head_link(&cache->by_use, &entry->link);
}

struct dns_answer *dns_cache_get(
	struct dns_cache *cache, const char *question, uint64_t now_ms)
{
	struct entry *entry = g_hash_table_lookup(cache->entries, question);
	if (!entry)
		return NULL;
	if (now_ms >= entry->until_ms) {
		drop(cache, entry);
		return NULL;
	}
	g_queue_unlink(&cache->by_use, &entry->link);
	g_queue_push_head_link(&cache->by_use, &entry->link);
	return entry->answer;
}
