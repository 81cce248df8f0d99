/*
 * metrics - counters and gauges in Prometheus' text format (0.0.4).
 *
 * Every metric has at most one label; its values come from the settings or from a fixed
 * set, never from a peer, so that their number is bounded. Threads: any.
 */
#ifndef GATEWAY_ADMIN_METRICS_H
#define GATEWAY_ADMIN_METRICS_H

#include <glib.h>

enum metric {
	METRIC_SESSIONS_TOTAL,          /* {listener} connections accepted */
	METRIC_SESSIONS,                /* {listener} gauge: open now */
	METRIC_TLS_TOTAL,               /* {version} handshakes done, "TLSv1.3" */
	METRIC_TLS_FAILURES_TOTAL,      /* {listener} */
	METRIC_AUTH_TOTAL,              /* {result} "ok", "failed" */
	METRIC_REPLIES_TOTAL,           /* {code} replies of 400 and above, "550" */
	METRIC_CLIENTS_REFUSED_TOTAL,   /* {reason} "networks", "early_talker", ... */
	METRIC_QUIRKS_TOTAL,            /* {quirk} once in a session, "tls_1_0" */
	METRIC_MESSAGES_RECEIVED_TOTAL, /* {listener} answered 250 after DATA */
	METRIC_BYTES_RECEIVED_TOTAL,    /* {listener} octets of those messages */
	METRIC_MESSAGES_FINISHED_TOTAL, /* {state} "sent", "bounced", "dead" */
	/* {result} "sent", "deferred", "dead", "uncertain" */
	METRIC_DELIVERY_ATTEMPTS_TOTAL,
	METRIC_DELIVERY_SECONDS_TOTAL, /* {step} "rewrite", "upload", "links", "relay" */
	METRIC_ATTACHMENTS_TOTAL,      /* no label: stored */
	METRIC_ATTACHMENT_BYTES_TOTAL, /* no label */
	/* no label: sent whole, because signed or broken */
	METRIC_MESSAGES_UNTOUCHED_TOTAL,
	METRIC_S3_REQUESTS_TOTAL,   /* {result} "ok", "failed" puts */
	METRIC_RELAY_REPLIES_TOTAL, /* {class} "2xx", "4xx", "5xx", "none" */
	METRIC_RELAY_RATE,          /* {relay} gauge: recipients per second; 0: unpaced */
	METRIC_RELAY_QUOTA,    /* {relay} gauge: recipients in 24 hours; 0: not known */
	METRIC_RELAY_SENT_24H, /* {relay} gauge: recipients, of the last 24 hours */
	METRIC_RELAY_THROTTLED_TOTAL, /* {relay} replies that said: too fast, too much */
	METRIC_RELAY_LEFT,            /* {relay} gauge: 1 while it cannot be used */
	METRIC_RELAY_FAILOVERS_TOTAL, /* {relay} messages that went by another instead */
	METRIC_QUEUE_MESSAGES,        /* {state} gauge */
	METRIC_QUEUE_OLDEST_SECONDS,  /* gauge: age of the oldest unfinished message */
	/* gauge: Unix time of the listener certificate's end */
	METRIC_CERTIFICATE_EXPIRY_SECONDS,
	METRIC_COUNT,
};

struct metrics;

struct metrics *metrics_new(void);
void metrics_free(struct metrics **metrics);

/* Adds to a counter (value >= 0) or gauge; label NULL where the metric has none. */
void metrics_add(
	struct metrics *metrics, enum metric metric, const char *label, double value);
/* Sets a gauge. */
void metrics_set(
	struct metrics *metrics, enum metric metric, const char *label, double value);
/* The whole exposition, with HELP and TYPE lines; also process_resident_memory_bytes,
 * process_open_fds, process_start_time_seconds and stowage_build_info{version}. */
GString *metrics_print(struct metrics *metrics);

#endif
