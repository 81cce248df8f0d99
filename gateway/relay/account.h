/*
 * account - what SES's API says of the account that the relay sends for: how much it may
 * send, and whether.
 *
 * Source: Amazon SES API v2 Reference, GetAccount (GET /v2/email/account), signed
 * for the service "ses"; it takes the permission ses:GetAccount. It signs with the
 * relay's IAM key where the settings have one, else with what AWS's usual chain
 * gives (s3/credentials.h).
 */
#ifndef GATEWAY_RELAY_ACCOUNT_H
#define GATEWAY_RELAY_ACCOUNT_H

#include "conf/conf.h"
#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

struct account {
	double rate;  /* MaxSendRate: recipients per second; 0: not said */
	double quota; /* Max24HourSend: recipients in 24 hours; -1: none; 0: not said */
	double sent_24h;      /* SentLast24Hours, of all who send by the account */
	bool sends;           /* SendingEnabled, and EnforcementStatus is not SHUTDOWN */
	bool production;      /* ProductionAccessEnabled: not in SES's sandbox */
	char enforcement[32]; /* EnforcementStatus: "HEALTHY", "PROBATION", "SHUTDOWN" */
};

/* Of the answer's JSON. False with GATEWAY_ERROR_RETRY: it is no GetAccount. Pure. */
bool account_parse(
	const char *json, size_t json_bytes, struct account *account, GError **error);

/* Where to ask, and with which key. */
struct account_source;

/* Copies what it needs. NULL without error: there is no SES to ask (the relay is
 * another server, and no api_endpoint is given). NULL with GATEWAY_ERROR_MEND: the
 * endpoint cannot be asked. */
struct account_source *account_source_new(
	const struct conf_relay *settings, GError **error);
void account_source_free(struct account_source **source); /* wipes its key */

/* Asks; blocks for 10 seconds, and as long for credentials; a readable stop_fd (-1: none)
 * ends it. False with GATEWAY_ERROR_RETRY; GATEWAY_ERROR_MEND: no credentials, or they do
 * not permit it. */
bool account_ask(const struct account_source *source, int stop_fd,
	struct account *account, GError **error);

#endif
