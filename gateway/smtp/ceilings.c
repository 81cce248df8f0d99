/* Three tables of bounded size: clients, users, and where users are known; and a count of
 * connections per network. Keys are hashed with a seed of the process, so that nobody can
 * choose addresses or names that fall together. */
#include "gateway/smtp/ceilings.h"

#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/random.h>

#define ENTRIES_MAX 65536 /* of a table */
#define MINUTE_US   UINT64_C(60000000)

struct key {
	uint64_t words[2];
	guint hash;
};

/* In a table. Who must not be forgotten is not in its list. */
struct entry {
	struct key key;
	GList link;
	bool is_listed;
};

/* Within a window that began with the first. */
struct failures {
	unsigned n;
	uint64_t since_ms;
};

/* A client address or a user. */
struct peer {
	struct entry entry;
	unsigned connections;
	uint64_t messages_us, recipients_us; /* see take() */
	struct failures failures;
};

/* A user at an address from where it has authenticated. */
struct known {
	struct entry entry;
	struct failures failures; /* since then */
};

struct table {
	GHashTable *entries;
	GQueue list; /* the one quiet longest first */
	size_t entry_bytes;
};

struct network {
	struct key key;
	unsigned connections;
};

struct ceilings {
	uint64_t seed[5];
	struct table clients, users, known;
	GHashTable *networks; /* with connections only */
};

/* ---- keys ---- */

static guint key_hash(gconstpointer key)
{
	return ((const struct key *)key)->hash;
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(((const struct key *)a)->words, ((const struct key *)b)->words,
		sizeof(((const struct key *)a)->words));
}

/* Pair-multiply-shift: strongly universal over 32-bit words, by a secret seed. */
static struct key make_key(
	const struct ceilings *ceilings, uint64_t first, uint64_t second)
{
	const uint64_t *seed = ceilings->seed;
	uint64_t sum = seed[4];
	sum += (seed[0] + (first >> 32)) * (seed[1] + (first & UINT32_MAX));
	sum += (seed[2] + (second >> 32)) * (seed[3] + (second & UINT32_MAX));
	return (struct key){ { first, second }, (guint)(sum >> 32) };
}

/* The leading bits of an address; what kind it is keeps the families apart. */
static struct key address_key(const struct ceilings *ceilings,
	const struct sockaddr *client, unsigned ipv4_bits, unsigned ipv6_bits)
{
	const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)client;
	const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)client;
	uint64_t high;
	if (client->sa_family == AF_INET) {
		high = (uint64_t)ntohl(ipv4->sin_addr.s_addr) << 32;
		return make_key(ceilings, high >> (64 - ipv4_bits), ipv4_bits);
	}
	memcpy(&high, &ipv6->sin6_addr, sizeof(high));
	return make_key(ceilings, GUINT64_FROM_BE(high) >> (64 - ipv6_bits), ipv6_bits);
}

static struct key client_key(
	const struct ceilings *ceilings, const struct sockaddr *client)
{
	return address_key(ceilings, client, 32, 64);
}

static struct key network_key(
	const struct ceilings *ceilings, const struct sockaddr *client)
{
	return address_key(ceilings, client, 24, 48);
}

static struct key text_key(const struct ceilings *ceilings, const char *text)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	uint64_t words[2];
	SHA256((const unsigned char *)text, strlen(text), digest);
	memcpy(words, digest, sizeof(words));
	return make_key(ceilings, words[0], words[1]);
}

static struct key known_key(
	const struct ceilings *ceilings, const struct sockaddr *client, const char *user)
{
	struct key address = client_key(ceilings, client);
	g_autofree char *text = g_strdup_printf(
		"%" PRIx64 " %" PRIx64 " %s", address.words[0], address.words[1], user);
	return text_key(ceilings, text);
}

/* ---- tables ---- */

static void table_init(struct table *table, size_t entry_bytes)
{
	table->entries = g_hash_table_new_full(key_hash, key_equal, NULL, g_free);
	g_queue_init(&table->list);
	table->entry_bytes = entry_bytes;
}

static void set_listed(struct table *table, struct entry *entry, bool listed)
{
	if (entry->is_listed)
		g_queue_unlink(&table->list, &entry->link);
	if (listed)
		g_queue_push_tail_link(&table->list, &entry->link);
	entry->is_listed = listed;
}

static struct entry *find(struct table *table, const struct key *key)
{
	struct entry *entry = g_hash_table_lookup(table->entries, key);
	if (entry && entry->is_listed)
		set_listed(table, entry, true); /* as the latest */
	return entry;
}

static void forget_eldest(struct table *table)
{
	struct entry *eldest = g_queue_peek_head(&table->list);
	if (!eldest)
		return;
	set_listed(table, eldest, false);
	g_hash_table_remove(table->entries, &eldest->key);
}

static struct entry *find_or_add(struct table *table, const struct key *key)
{
	struct entry *entry = find(table, key);
	if (entry)
		return entry;
	if (g_hash_table_size(table->entries) >= ENTRIES_MAX)
		forget_eldest(table);
	entry = g_malloc0(table->entry_bytes);
	entry->key = *key;
	entry->link.data = entry;
	g_hash_table_insert(table->entries, &entry->key, entry);
	set_listed(table, entry, true);
	return entry;
}

static struct peer *peer_of_client(
	struct ceilings *ceilings, const struct sockaddr *client)
{
	struct key key = client_key(ceilings, client);
	return (struct peer *)find_or_add(&ceilings->clients, &key);
}

static struct peer *peer_of_user(struct ceilings *ceilings, const char *user)
{
	struct key key = text_key(ceilings, user);
	return (struct peer *)find_or_add(&ceilings->users, &key);
}

/* ---- life ---- */

static void fill_seed(uint64_t *seed, size_t n_bytes)
{
	ssize_t n;
	do
		n = getrandom(seed, n_bytes, 0);
	while (n < 0 && errno == EINTR);
	g_assert(n == (ssize_t)n_bytes); /* so few are always given whole */
}

struct ceilings *ceilings_new(void)
{
	struct ceilings *ceilings = g_new0(struct ceilings, 1);
	fill_seed(ceilings->seed, sizeof(ceilings->seed));
	table_init(&ceilings->clients, sizeof(struct peer));
	table_init(&ceilings->users, sizeof(struct peer));
	table_init(&ceilings->known, sizeof(struct known));
	ceilings->networks = g_hash_table_new_full(key_hash, key_equal, NULL, g_free);
	return ceilings;
}

void ceilings_free(struct ceilings **ceilings)
{
	struct ceilings *old = *ceilings;
	*ceilings = NULL;
	if (!old)
		return;
	g_hash_table_unref(old->clients.entries);
	g_hash_table_unref(old->users.entries);
	g_hash_table_unref(old->known.entries);
	g_hash_table_unref(old->networks);
	g_free(old);
}

/* ---- connections ---- */

static bool is_reached(
	const struct conf_ceiling *ceiling, const struct sockaddr *client, unsigned count)
{
	return ceiling->n && count >= ceiling->n &&
	       !(ceiling->spares_loopback && conf_address_is_loopback(client));
}

static struct network *find_or_add_network(
	struct ceilings *ceilings, const struct key *key)
{
	struct network *network = g_hash_table_lookup(ceilings->networks, key);
	if (!network) {
		network = g_new0(struct network, 1);
		network->key = *key;
		g_hash_table_insert(ceilings->networks, &network->key, network);
	}
	return network;
}

const char *ceilings_enter(struct ceilings *ceilings,
	const struct conf_listener *listener, const struct sockaddr *client)
{
	struct key client_is = client_key(ceilings, client);
	struct key network_is = network_key(ceilings, client);
	const struct peer *known = (struct peer *)find(&ceilings->clients, &client_is);
	struct network *network = g_hash_table_lookup(ceilings->networks, &network_is);
	if (is_reached(&listener->connections_per_client, client,
		    known ? known->connections : 0))
		return "max_connections_per_client";
	if (is_reached(&listener->connections_per_network, client,
		    network ? network->connections : 0))
		return "max_connections_per_network";
	struct peer *peer = (struct peer *)find_or_add(&ceilings->clients, &client_is);
	peer->connections++;
	set_listed(&ceilings->clients, &peer->entry, false);
	find_or_add_network(ceilings, &network_is)->connections++;
	return NULL;
}

void ceilings_leave(struct ceilings *ceilings, const struct sockaddr *client)
{
	struct peer *peer = peer_of_client(ceilings, client);
	struct key network_is = network_key(ceilings, client);
	struct network *network = g_hash_table_lookup(ceilings->networks, &network_is);
	g_assert(peer->connections && network && network->connections);
	if (!--peer->connections)
		set_listed(&ceilings->clients, &peer->entry, true);
	if (!--network->connections)
		g_hash_table_remove(ceilings->networks, &network_is);
}

/* ---- rates ---- */

/* The generic cell rate algorithm (ITU-T I.371): *due_us is when all that was taken would
 * have come at an even pace; it may be a minute ahead. */
static bool take(uint64_t *due_us, unsigned per_minute, uint64_t now_ms)
{
	uint64_t now_us = now_ms * 1000, step_us = MINUTE_US / per_minute;
	uint64_t due = MAX(*due_us, now_us);
	if (due + step_us > now_us + MINUTE_US)
		return false;
	*due_us = due + step_us;
	return true;
}

static bool is_held(const struct conf_ceiling *ceiling, const struct sockaddr *client)
{
	return ceiling->n &&
	       !(ceiling->spares_loopback && conf_address_is_loopback(client));
}

bool ceilings_take_message(struct ceilings *ceilings, const struct conf_ceiling *ceiling,
	const struct sockaddr *client, uint64_t now_ms)
{
	return !is_held(ceiling, client) ||
	       take(&peer_of_client(ceilings, client)->messages_us, ceiling->n, now_ms);
}

bool ceilings_take_recipient(struct ceilings *ceilings,
	const struct conf_ceiling *ceiling, const struct sockaddr *client,
	uint64_t now_ms)
{
	return !is_held(ceiling, client) ||
	       take(&peer_of_client(ceilings, client)->recipients_us, ceiling->n, now_ms);
}

bool ceilings_take_user_message(
	struct ceilings *ceilings, unsigned per_minute, const char *user, uint64_t now_ms)
{
	return !per_minute ||
	       take(&peer_of_user(ceilings, user)->messages_us, per_minute, now_ms);
}

bool ceilings_take_user_recipient(
	struct ceilings *ceilings, unsigned per_minute, const char *user, uint64_t now_ms)
{
	return !per_minute ||
	       take(&peer_of_user(ceilings, user)->recipients_us, per_minute, now_ms);
}

/* ---- authentication ---- */

static unsigned failures_now(
	const struct failures *failures, const struct conf *conf, uint64_t now_ms)
{
	uint64_t window_ms = 1000 * (uint64_t)conf->auth_failure_window_s;
	return now_ms - failures->since_ms < window_ms ? failures->n : 0;
}

static void add_failure(
	struct failures *failures, const struct conf *conf, uint64_t now_ms)
{
	if (!failures_now(failures, conf, now_ms))
		*failures = (struct failures){ 0, now_ms };
	failures->n++;
}

static bool is_shut_out(
	const struct failures *failures, const struct conf *conf, uint64_t now_ms)
{
	return failures_now(failures, conf, now_ms) >= conf->auth_max_failures;
}

/* Of user at client's address; NULL: it never authenticated from there. */
static struct failures *failures_at_known(
	struct ceilings *ceilings, const struct sockaddr *client, const char *user)
{
	struct key key = known_key(ceilings, client, user);
	struct known *known = (struct known *)find(&ceilings->known, &key);
	return known ? &known->failures : NULL;
}

bool ceilings_knows(
	struct ceilings *ceilings, const struct sockaddr *client, const char *user)
{
	return failures_at_known(ceilings, client, user);
}

static void set_known(
	struct ceilings *ceilings, const struct sockaddr *client, const char *user)
{
	struct key key = known_key(ceilings, client, user);
	struct known *known = (struct known *)find_or_add(&ceilings->known, &key);
	known->failures = (struct failures){ 0 };
}

bool ceilings_may_authenticate(struct ceilings *ceilings, const struct conf *conf,
	const struct sockaddr *client, const char *user, uint64_t now_ms)
{
	const struct failures *own = failures_at_known(ceilings, client, user);
	if (own)
		return !is_shut_out(own, conf, now_ms);
	return !is_shut_out(&peer_of_client(ceilings, client)->failures, conf, now_ms) &&
	       !is_shut_out(&peer_of_user(ceilings, user)->failures, conf, now_ms);
}

/* What is known of a user at an address counts there alone: neither can others shut it
 * out, nor does a guesser who shares its address get more tries than others. */
void ceilings_authenticated(struct ceilings *ceilings, const struct conf *conf,
	const struct sockaddr *client, const char *user, bool good, uint64_t now_ms)
{
	if (good) {
		set_known(ceilings, client, user);
		return;
	}
	struct failures *own = failures_at_known(ceilings, client, user);
	if (own)
		add_failure(own, conf, now_ms);
	else
		add_failure(&peer_of_user(ceilings, user)->failures, conf, now_ms);
	add_failure(&peer_of_client(ceilings, client)->failures, conf, now_ms);
}
