/*
 * dns_cache - answers that still hold, at most so many: those not asked for longest go
 * first. Pure: time is given. Thread: one.
 */
#ifndef GATEWAY_SMTP_DNS_CACHE_H
#define GATEWAY_SMTP_DNS_CACHE_H

#include "gateway/smtp/dns_answer.h"
#include <glib.h>
#include <stdint.h>

struct dns_cache;

struct dns_cache *dns_cache_new(guint max_answers);
void dns_cache_free(struct dns_cache **cache); /* NULL is taken */

/* Takes a reference to answer; for as long as it holds from now on. An older answer to
 * the same question goes. */
void dns_cache_put(struct dns_cache *cache, const char *question,
	struct dns_answer *answer, uint64_t now_ms);

/* Lent until the next call; NULL: none that holds. */
struct dns_answer *dns_cache_get(
	struct dns_cache *cache, const char *question, uint64_t now_ms);

#endif
