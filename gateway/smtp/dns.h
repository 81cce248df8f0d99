/*
 * dns - questions to the DNS, each asked once at a time: answers are kept while they
 * hold, and who asks what is already under way waits for the same answer.
 *
 * At most DNS_LOOKUPS_MAX questions are under way and DNS_CACHE_MAX answers kept: a flood
 * of strangers costs no more. Thread: the loop's.
 */
#ifndef GATEWAY_SMTP_DNS_H
#define GATEWAY_SMTP_DNS_H

#include "gateway/smtp/dns_answer.h"
#include <uv.h>

#define DNS_LOOKUPS_MAX 1000
#define DNS_CACHE_MAX   4096

struct dns;
struct dns_question;

/* Every question fails until dns_set_servers(). */
struct dns *dns_new(uv_loop_t *loop);
/* Questions under way are forgotten; nobody may hold one any more. Memory goes with the
 * loop's next turns. Clears the pointer; takes NULL in it. */
void dns_free(struct dns **dns);

/* As dns_channel_new() takes them, for questions from now on; those under way are
 * answered by the old. What is known is forgotten. Servers that are none are logged, and
 * every question fails then. */
void dns_set_servers(struct dns *dns, const char *const *servers, unsigned try_ms);

/* done is called once with an answer lent for the call: before this returns, where the
 * answer is known (the result is NULL then), or later. Then the question is gone. */
struct dns_question *dns_ask(struct dns *dns, enum dns_type type, const char *name,
	void (*done)(void *context, struct dns_answer *answer), void *context);

/* done will not be called; what is under way goes on, for the next who asks. Clears the
 * pointer; takes NULL in it. */
void dns_question_forget(struct dns_question **question);

#endif
