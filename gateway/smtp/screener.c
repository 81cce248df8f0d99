/* A client is screened by questions asked side by side: one to each block list, one for
 * its names, one for each name's addresses. How a question is asked is dns.c's. */
#include "gateway/smtp/screener.h"

#include "gateway/log.h"
#include "gateway/smtp/dns.h"
#include <arpa/inet.h>

/* Of all that is wrong with the DNS the same is said once in so long. */
#define COMPLAINT_PAUSE_MS 60000
/* A lost packet leaves time for another, and for a second question. */
#define TRIES_IN_TIMEOUT 4

struct screener {
	uv_loop_t *loop;
	struct dns *dns;
	unsigned timeout_ms;
	GQueue screenings;      /* of struct screening */
	GHashTable *complaints; /* when last made: of uint64_t, by what they are about */
};

struct screening {
	struct screener *screener;
	GList link; /* data is itself */
	struct dns_address client;
	uv_timer_t timer;
	GPtrArray *inquiries; /* of struct inquiry */
	size_t n_open;
	bool is_starting;
	void (*done)(void *context, const struct screening_result *result);
	void *context;
};

struct inquiry {
	struct screening *screening;
	struct dns_question *question; /* NULL: answered */
	const char *zone;              /* of a block list's */
	char *name;                    /* of one about a name's addresses */
	bool is_hit;                   /* listed, or confirmed */
};

/* ---- life of a screener ---- */

struct screener *screener_new(uv_loop_t *loop)
{
	struct screener *screener = g_new0(struct screener, 1);
	screener->loop = loop;
	screener->dns = dns_new(loop);
	screener->complaints =
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	return screener;
}

void screener_free(struct screener **screener)
{
	struct screener *old = g_steal_pointer(screener);
	if (!old)
		return;
	while (!g_queue_is_empty(&old->screenings)) {
		struct screening *screening = g_queue_peek_head(&old->screenings);
		screening_forget(&screening);
	}
	dns_free(&old->dns);
	g_hash_table_destroy(old->complaints);
	g_free(old);
}

void screener_set_settings(struct screener *screener, const struct conf *conf)
{
	screener->timeout_ms = conf->dns_timeout_ms;
	g_hash_table_remove_all(screener->complaints);
	dns_set_servers(screener->dns, conf->dns_servers,
		MAX(1, conf->dns_timeout_ms / TRIES_IN_TIMEOUT));
}

bool screener_is_wanted(const struct conf *conf, const struct conf_listener *listener,
	const struct sockaddr *client)
{
	if (listener->reverse_dns == CONF_REVERSE_DNS_OFF &&
		!(listener->dnsbl && listener->dnsbl[0]))
		return false;
	if (dns_address_of(client).family == AF_UNSPEC)
		return false;
	return conf->dns_servers || !conf_address_is_loopback(client);
}

/* ---- what an operator should know ---- */

/* Subjects are block lists' zones and one more: as many as settings have. */
static bool may_complain(struct screener *screener, const char *subject)
{
	uint64_t now_ms = uv_now(screener->loop);
	const uint64_t *last_ms = g_hash_table_lookup(screener->complaints, subject);
	if (last_ms && now_ms - *last_ms < COMPLAINT_PAUSE_MS)
		return false;
	g_hash_table_insert(screener->complaints, g_strdup(subject),
		g_memdup2(&now_ms, sizeof(now_ms)));
	return true;
}

static const char *client_text(
	const struct screening *screening, char text[static INET6_ADDRSTRLEN])
{
	const struct dns_address *client = &screening->client;
	return inet_ntop(client->family, client->octets, text, INET6_ADDRSTRLEN);
}

static void complain_about_list(
	struct screening *screening, const char *zone, enum dns_listing listing)
{
	static const char *const reasons[] = {
		[DNS_DECLINED] = "the block list does not answer these name servers: "
				 "nobody is refused by it",
		[DNS_NO_LIST] =
			"its answer is outside 127.0.0.0/8: this is no block list, "
			"and nobody is refused by it",
		[DNS_UNKNOWN] =
			"the block list could not be asked: nobody is refused by it",
	};
	if (!may_complain(screening->screener, zone))
		return;
	char client[INET6_ADDRSTRLEN];
	log_warning("dnsbl.unusable", LOG_TEXT("zone", zone),
		LOG_TEXT("client", client_text(screening, client)),
		LOG_TEXT("reason", reasons[listing]));
}

static void complain_about_lookup(struct screening *screening, const char *reason)
{
	if (!may_complain(screening->screener, ""))
		return;
	char client[INET6_ADDRSTRLEN];
	log_info("dns.failed", LOG_TEXT("client", client_text(screening, client)),
		LOG_TEXT("reason", reason));
}

/* ---- the end of a screening ---- */

static void inquiry_free(void *data)
{
	struct inquiry *inquiry = data;
	dns_question_forget(&inquiry->question);
	g_free(inquiry->name);
	g_free(inquiry);
}

static void on_closed(uv_handle_t *handle)
{
	g_free(handle->data);
}

/* Questions are forgotten now, memory goes later. */
static void screening_close(struct screening *screening)
{
	g_queue_unlink(&screening->screener->screenings, &screening->link);
	g_ptr_array_unref(screening->inquiries);
	uv_close((uv_handle_t *)&screening->timer, on_closed);
}

void screening_forget(struct screening **screening)
{
	struct screening *old = g_steal_pointer(screening);
	if (old)
		screening_close(old);
}

/* The first of the lists and of the names, in the order of settings and answer. */
static void conclude(struct screening *screening)
{
	struct screening_result result = { 0 };
	for (guint i = 0; i < screening->inquiries->len; i++) {
		const struct inquiry *inquiry =
			g_ptr_array_index(screening->inquiries, i);
		if (!inquiry->is_hit)
			continue;
		if (!result.zone)
			result.zone = inquiry->zone;
		if (!result.name)
			result.name = inquiry->name;
	}
	g_autofree char *name = g_strdup(result.name);
	result.name = name;
	void (*done)(void *, const struct screening_result *) = screening->done;
	void *context = screening->context;
	screening_close(screening);
	done(context, &result);
}

static void on_timer(uv_timer_t *timer)
{
	struct screening *screening = timer->data;
	if (screening->n_open)
		complain_about_lookup(
			screening, "not everything was answered within dns.timeout");
	conclude(screening);
}

/* ---- inquiries ---- */

static void inquire(struct screening *screening, struct inquiry *inquiry,
	enum dns_type type, const char *name,
	void (*done)(void *context, struct dns_answer *answer))
{
	inquiry->screening = screening;
	g_ptr_array_add(screening->inquiries, inquiry);
	screening->n_open++;
	inquiry->question = dns_ask(screening->screener->dns, type, name, done, inquiry);
}

/* Answers that are known already come before screening_start() has ended. */
static void inquiry_over(struct inquiry *inquiry)
{
	struct screening *screening = inquiry->screening;
	screening->n_open--;
	if (!screening->n_open && !screening->is_starting)
		conclude(screening);
}

static void on_listing(void *context, struct dns_answer *answer)
{
	struct inquiry *inquiry = context;
	inquiry->question = NULL;
	enum dns_listing listing = dns_answer_listing(answer);
	inquiry->is_hit = listing == DNS_LISTED;
	if (listing != DNS_LISTED && listing != DNS_UNLISTED)
		complain_about_list(inquiry->screening, inquiry->zone, listing);
	inquiry_over(inquiry);
}

static void on_addresses(void *context, struct dns_answer *answer)
{
	struct inquiry *inquiry = context;
	inquiry->question = NULL;
	inquiry->is_hit = dns_answer_has(answer, &inquiry->screening->client);
	inquiry_over(inquiry);
}

static void on_names(void *context, struct dns_answer *answer)
{
	struct inquiry *inquiry = context;
	struct screening *screening = inquiry->screening;
	enum dns_type type = screening->client.family == AF_INET ? DNS_A : DNS_AAAA;
	inquiry->question = NULL;
	if (answer->result == DNS_FAILED)
		complain_about_lookup(screening, "its name could not be looked up");
	for (size_t i = 0; i < answer->n_names; i++) {
		struct inquiry *forward = g_new0(struct inquiry, 1);
		forward->name = g_strdup(answer->names[i]);
		inquire(screening, forward, type, answer->names[i], on_addresses);
	}
	inquiry_over(inquiry);
}

static void inquire_names(struct screening *screening)
{
	g_autofree char *name = dns_name_reverse(&screening->client);
	inquire(screening, g_new0(struct inquiry, 1), DNS_PTR, name, on_names);
}

static void inquire_lists(struct screening *screening, const char *const *zones)
{
	for (; zones && *zones; zones++) {
		g_autofree char *name = dns_name_listed(&screening->client, *zones);
		if (!name) /* a zone too long for an address before it lists none */
			continue;
		struct inquiry *inquiry = g_new0(struct inquiry, 1);
		inquiry->zone = *zones;
		inquire(screening, inquiry, DNS_A, name, on_listing);
	}
}

struct screening *screener_start(struct screener *screener,
	const struct conf_listener *listener, const struct sockaddr *client,
	void (*done)(void *context, const struct screening_result *result), void *context)
{
	struct screening *screening = g_new0(struct screening, 1);
	screening->screener = screener;
	screening->link.data = screening;
	screening->client = dns_address_of(client);
	screening->done = done;
	screening->context = context;
	screening->inquiries = g_ptr_array_new_with_free_func(inquiry_free);
	g_queue_push_tail_link(&screener->screenings, &screening->link);
	uv_timer_init(screener->loop, &screening->timer);
	screening->timer.data = screening;

	screening->is_starting = true;
	if (screening->client.family != AF_UNSPEC) {
		inquire_lists(screening, listener->dnsbl);
		if (listener->reverse_dns != CONF_REVERSE_DNS_OFF)
			inquire_names(screening);
	}
	screening->is_starting = false;
	uv_timer_start(&screening->timer, on_timer,
		screening->n_open ? screener->timeout_ms : 0, 0);
	return screening;
}
