/* Who asks what, and what is known. How it is asked is dns_channel.c's. */
#include "gateway/smtp/dns.h"

#include "gateway/log.h"
#include "gateway/smtp/dns_cache.h"
#include "gateway/smtp/dns_channel.h"
#include <string.h>

struct dns {
	uv_loop_t *loop;
	struct dns_channel *channel; /* NULL: no servers */
	unsigned generation; /* of the servers: what older ones say counts no more */
	GPtrArray *retired;  /* channels that still have questions under way */
	GHashTable *lookups; /* of struct lookup, by question */
	struct dns_cache *cache;
};

/* A question under way. */
struct lookup {
	struct dns *dns;
	struct dns_channel *channel;
	char *text;
	GQueue askers; /* of struct dns_question */
	bool is_starting;
	struct dns_answer *answer; /* that came while it was starting */
};

struct dns_question {
	GList link; /* data is itself */
	struct lookup *lookup;
	void (*done)(void *context, struct dns_answer *answer);
	void *context;
};

static void lookup_free(void *data)
{
	struct lookup *lookup = data;
	dns_answer_unref(lookup->answer);
	g_free(lookup->text);
	g_free(lookup);
}

struct dns *dns_new(uv_loop_t *loop)
{
	struct dns *dns = g_new0(struct dns, 1);
	dns->loop = loop;
	dns->retired = g_ptr_array_new();
	dns->lookups = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, lookup_free);
	dns->cache = dns_cache_new(DNS_CACHE_MAX);
	return dns;
}

void dns_free(struct dns **dns)
{
	struct dns *old = g_steal_pointer(dns);
	if (!old)
		return;
	dns_channel_free(&old->channel);
	for (guint i = 0; i < old->retired->len; i++) {
		struct dns_channel *channel = g_ptr_array_index(old->retired, i);
		dns_channel_free(&channel);
	}
	g_ptr_array_unref(old->retired);
	g_hash_table_destroy(old->lookups);
	dns_cache_free(&old->cache);
	g_free(old);
}

static void retire_channel(struct dns *dns)
{
	if (dns->channel && !dns_channel_is_idle(dns->channel))
		g_ptr_array_add(dns->retired, g_steal_pointer(&dns->channel));
	dns_channel_free(&dns->channel);
}

void dns_set_servers(struct dns *dns, const char *const *servers, unsigned try_ms)
{
	g_autoptr(GError) error = NULL;
	retire_channel(dns);
	dns->generation++;
	dns_cache_free(&dns->cache);
	dns->cache = dns_cache_new(DNS_CACHE_MAX);
	dns->channel = dns_channel_new(dns->loop, servers, try_ms, &error);
	if (!dns->channel)
		log_warning("dns.unavailable", LOG_TEXT("reason", error->message));
}

/* ---- answers ---- */

/* The askers may do anything, and dns be gone behind any of them. */
static void tell(struct lookup *lookup, struct dns_answer *answer)
{
	GList *link;
	while ((link = g_queue_pop_head_link(&lookup->askers))) {
		struct dns_question *question = link->data;
		question->done(question->context, answer);
		g_free(question);
	}
}

static void finish(struct lookup *lookup, struct dns_answer *answer)
{
	struct dns *dns = lookup->dns;
	struct dns_channel *channel = lookup->channel;
	g_hash_table_steal(dns->lookups, lookup->text);
	if (channel == dns->channel)
		dns_cache_put(dns->cache, lookup->text, answer, uv_now(dns->loop));
	else if (dns_channel_is_idle(channel) &&
		 g_ptr_array_remove_fast(dns->retired, channel))
		dns_channel_free(&channel);
	tell(lookup, answer);
	lookup_free(lookup);
}

static void on_answer(void *context, struct dns_answer *answer)
{
	struct lookup *lookup = context;
	if (lookup->is_starting)
		lookup->answer = dns_answer_ref(answer);
	else
		finish(lookup, answer);
}

/* ---- questions ---- */

static struct lookup *lookup_start(
	struct dns *dns, enum dns_type type, const char *name, const char *text)
{
	struct lookup *lookup = g_new0(struct lookup, 1);
	lookup->dns = dns;
	lookup->channel = dns->channel;
	lookup->text = g_strdup(text);
	lookup->is_starting = true;
	g_hash_table_insert(dns->lookups, lookup->text, lookup);
	dns_channel_ask(dns->channel, type, name, on_answer, lookup);
	lookup->is_starting = false;
	return lookup;
}

static struct dns_question *add_asker(struct lookup *lookup,
	void (*done)(void *context, struct dns_answer *answer), void *context)
{
	struct dns_question *question = g_new0(struct dns_question, 1);
	question->link.data = question;
	question->lookup = lookup;
	question->done = done;
	question->context = context;
	g_queue_push_tail_link(&lookup->askers, &question->link);
	return question;
}

static void fail(void (*done)(void *context, struct dns_answer *answer), void *context)
{
	struct dns_answer answer = { .result = DNS_FAILED };
	done(context, &answer);
}

struct dns_question *dns_ask(struct dns *dns, enum dns_type type, const char *name,
	void (*done)(void *context, struct dns_answer *answer), void *context)
{
	g_autofree char *lower = g_ascii_strdown(name, -1);
	g_autofree char *text =
		g_strdup_printf("%u %d %s", dns->generation, (int)type, lower);
	struct dns_answer *known = dns_cache_get(dns->cache, text, uv_now(dns->loop));
	if (known) {
		known = dns_answer_ref(known); /* the cache may drop it meanwhile */
		done(context, known);
		dns_answer_unref(known);
		return NULL;
	}
	struct lookup *lookup = g_hash_table_lookup(dns->lookups, text);
	if (!lookup &&
		(!dns->channel || g_hash_table_size(dns->lookups) >= DNS_LOOKUPS_MAX)) {
		fail(done, context);
		return NULL;
	}
	if (!lookup)
		lookup = lookup_start(dns, type, lower, text);
	struct dns_question *question = add_asker(lookup, done, context);
	if (!lookup->answer)
		return question;
	finish(lookup, lookup->answer);
	return NULL;
}

void dns_question_forget(struct dns_question **question)
{
	struct dns_question *old = g_steal_pointer(question);
	if (!old)
		return;
	g_queue_unlink(&old->lookup->askers, &old->link);
	g_free(old);
}
