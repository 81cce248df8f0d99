/* Log lines and a metric; the words to the client are others'. */
#include "gateway/smtp/refusal.h"

#include "gateway/log.h"

void refusal_tell(struct front *front, const struct conf_listener *listener,
	const char *client, const char *cause, const char *reason)
{
	unsigned clients;
	metrics_add(front->metrics, METRIC_CLIENTS_REFUSED_TOTAL, cause, 1);
	if (!telling_may(&front->refusals, uv_now(front->loop), &clients))
		return;
	log_info("session.refused", LOG_TEXT("listener", listener->name),
		LOG_TEXT("client", client), LOG_TEXT("cause", cause),
		LOG_TEXT("reason", reason), LOG_NUMBER("clients", clients));
}

static const char *cause_of(enum smtp_reply_id id)
{
	switch (id) {
	case REPLY_BLOCK_LISTED:
		return "block_list";
	case REPLY_NO_REVERSE_DNS:
		return "reverse_dns";
	case REPLY_CLIENT_TOO_FAST:
		return "client_rate";
	case REPLY_USER_TOO_FAST:
		return "user_rate";
	case REPLY_TOO_MANY_AUTH_FAILURES:
		return "auth_failures";
	case REPLY_TOO_MANY_ERRORS:
		return "errors";
	case REPLY_CERTIFICATE_NEEDED:
		return "certificate";
	default:
		return NULL;
	}
}

void refusal_count(struct front *front, enum smtp_reply_id id)
{
	const char *cause = cause_of(id);
	if (cause)
		metrics_add(front->metrics, METRIC_CLIENTS_REFUSED_TOTAL, cause, 1);
}
