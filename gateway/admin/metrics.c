/* Counts what happens and prints it for Prometheus. Knows nothing of
 * HTTP: admin.c serves it. */
#include "gateway/admin/metrics.h"

#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Labels come from the settings or a fixed set; what lies beyond
 * is counted as "other". */
#define SERIES_MAX  128
#define VALUES_MAX  5
#define OTHER_LABEL "other"

static const struct metric_info {
	const char *name, *help;
	const char *label; /* NULL: the metric has none */
	bool is_gauge;
	const char
		*values[VALUES_MAX + 1]; /* known beforehand: shown as 0 from the start */
} infos[METRIC_COUNT] = {
	[METRIC_SESSIONS_TOTAL] = { .name = "stowage_sessions_total",
		.help = "SMTP connections accepted.",
		.label = "listener" },
	[METRIC_SESSIONS] = { .name = "stowage_sessions",
		.help = "SMTP connections open now.",
		.label = "listener",
		.is_gauge = true },
	[METRIC_TLS_TOTAL] = { .name = "stowage_tls_total",
		.help = "TLS handshakes completed with clients, by protocol version.",
		.label = "version" },
	[METRIC_TLS_FAILURES_TOTAL] = { .name = "stowage_tls_failures_total",
		.help = "TLS handshakes with clients that failed.",
		.label = "listener" },
	[METRIC_AUTH_TOTAL] = { .name = "stowage_auth_total",
		.help = "SMTP authentications by result.",
		.label = "result",
		.values = { "ok", "failed" } },
	[METRIC_REPLIES_TOTAL] = { .name = "stowage_replies_total",
		.help = "SMTP replies of 400 and above given to clients, by code.",
		.label = "code" },
	[METRIC_CLIENTS_REFUSED_TOTAL] = { .name = "stowage_clients_refused_total",
		.help = "Refusals of clients for what they are or do, not for a message.",
		.label = "reason" },
	[METRIC_QUIRKS_TOTAL] = { .name = "stowage_quirks_total",
		.help = "Sessions in which a client's mistake was forgiven, by mistake.",
		.label = "quirk" },
	[METRIC_MESSAGES_RECEIVED_TOTAL] = { .name = "stowage_messages_received_total",
		.help = "Messages accepted with 250 after DATA.",
		.label = "listener" },
	[METRIC_BYTES_RECEIVED_TOTAL] = { .name = "stowage_bytes_received_total",
		.help = "Octets of the messages accepted.",
		.label = "listener" },
	[METRIC_MESSAGES_FINISHED_TOTAL] = { .name = "stowage_messages_finished_total",
		.help = "Messages that reached their end, by what became of them.",
		.label = "state",
		.values = { "sent", "bounced", "dead" } },
	[METRIC_DELIVERY_ATTEMPTS_TOTAL] = { .name = "stowage_delivery_attempts_total",
		.help = "Delivery attempts by result.",
		.label = "result",
		.values = { "sent", "deferred", "held", "dead", "uncertain" } },
	[METRIC_DELIVERY_SECONDS_TOTAL] = { .name = "stowage_delivery_seconds_total",
		.help = "Time spent in each step of deliveries.",
		.label = "step",
		.values = { "rewrite", "upload", "links", "relay" } },
	[METRIC_ATTACHMENTS_TOTAL] = { .name = "stowage_attachments_total",
		.help = "Attachments stored." },
	[METRIC_ATTACHMENT_BYTES_TOTAL] = { .name = "stowage_attachment_bytes_total",
		.help = "Octets of the attachments stored, decoded." },
	[METRIC_MESSAGES_UNTOUCHED_TOTAL] = { .name = "stowage_messages_untouched_total",
		.help = "Messages sent whole because they were signed or broken." },
	[METRIC_S3_REQUESTS_TOTAL] = { .name = "stowage_s3_requests_total",
		.help = "Uploads to the object store by result.",
		.label = "result",
		.values = { "ok", "failed" } },
	[METRIC_RELAY_REPLIES_TOTAL] = { .name = "stowage_relay_replies_total",
		.help = "Replies of the relay by class; none: no reply came.",
		.label = "class",
		.values = { "2xx", "4xx", "5xx", "none" } },
	[METRIC_RELAY_RATE] = { .name = "stowage_relay_rate",
		.help = "Recipients a second that may go to the relay now; 0: no limit.",
		.label = "relay",
		.is_gauge = true },
	[METRIC_RELAY_QUOTA] = { .name = "stowage_relay_quota",
		.help = "Recipients in 24 hours that may go to the relay; 0: no limit "
			"known.",
		.label = "relay",
		.is_gauge = true },
	[METRIC_RELAY_SENT_24H] = { .name = "stowage_relay_sent_24h",
		.help = "Recipients that the relay took in the last 24 hours.",
		.label = "relay",
		.is_gauge = true },
	[METRIC_RELAY_THROTTLED_TOTAL] = { .name = "stowage_relay_throttled_total",
		.help = "Replies of the relay that said: too fast, or too much today.",
		.label = "relay" },
	[METRIC_RELAY_LEFT] = { .name = "stowage_relay_unusable",
		.help = "1 while mail goes by other relays or waits, because this one "
			"cannot be used.",
		.label = "relay",
		.is_gauge = true },
	[METRIC_RELAY_FAILOVERS_TOTAL] = { .name = "stowage_relay_failovers_total",
		.help = "Attempts that went on with the next relay of their route.",
		.label = "relay" },
	[METRIC_QUEUE_MESSAGES] = { .name = "stowage_queue_messages",
		.help = "Messages in the queue by state.",
		.label = "state",
		.is_gauge = true },
	[METRIC_QUEUE_OLDEST_SECONDS] = { .name = "stowage_queue_oldest_seconds",
		.help = "Age of the oldest unfinished message.",
		.is_gauge = true },
	[METRIC_CERTIFICATE_EXPIRY_SECONDS] = { .name = "stowage_certificate_expiry_"
							"seconds",
		.help = "Unix time at which the listeners' certificate ends.",
		.is_gauge = true },
};

struct series {
	char *label; /* NULL for the one series of a metric without label */
	double value;
};

struct family {
	struct series *series; /* in order of first use */
	size_t n_series;
};

struct metrics {
	GMutex mutex; /* guards families */
	struct family families[METRIC_COUNT];
	gint64 started_us; /* Unix time */
};

static struct series *append_series(struct family *family, const char *label)
{
	family->series = g_renew(struct series, family->series, family->n_series + 1);
	struct series *series = &family->series[family->n_series++];
	*series = (struct series){ g_strdup(label), 0 };
	return series;
}

static struct series *find_series(const struct family *family, const char *label)
{
	for (size_t i = 0; i < family->n_series; i++) {
		if (!g_strcmp0(family->series[i].label, label))
			return &family->series[i];
	}
	return NULL;
}

/* The series to write to, made where it is not there yet. */
static struct series *touch_series(
	struct metrics *metrics, enum metric metric, const char *label)
{
	struct family *family = &metrics->families[metric];
	if (!infos[metric].label)
		label = NULL;
	else if (!label)
		label = "";
	struct series *series = find_series(family, label);
	if (!series && family->n_series >= SERIES_MAX) {
		label = OTHER_LABEL;
		series = find_series(family, label);
	}
	return series ? series : append_series(family, label);
}

struct metrics *metrics_new(void)
{
	struct metrics *metrics = g_new0(struct metrics, 1);
	g_mutex_init(&metrics->mutex);
	metrics->started_us = g_get_real_time();
	for (size_t m = 0; m < METRIC_COUNT; m++) {
		if (!infos[m].label)
			append_series(&metrics->families[m], NULL);
		for (size_t i = 0; infos[m].values[i]; i++)
			append_series(&metrics->families[m], infos[m].values[i]);
	}
	return metrics;
}

void metrics_free(struct metrics **metrics)
{
	if (!*metrics)
		return;
	for (size_t m = 0; m < METRIC_COUNT; m++) {
		struct family *family = &(*metrics)->families[m];
		for (size_t i = 0; i < family->n_series; i++)
			g_free(family->series[i].label);
		g_free(family->series);
	}
	g_mutex_clear(&(*metrics)->mutex);
	g_clear_pointer(metrics, g_free);
}

void metrics_add(
	struct metrics *metrics, enum metric metric, const char *label, double value)
{
	g_assert(infos[metric].is_gauge || value >= 0);
	g_mutex_lock(&metrics->mutex);
	touch_series(metrics, metric, label)->value += value;
	g_mutex_unlock(&metrics->mutex);
}

void metrics_set(
	struct metrics *metrics, enum metric metric, const char *label, double value)
{
	g_assert(infos[metric].is_gauge);
	g_mutex_lock(&metrics->mutex);
	touch_series(metrics, metric, label)->value = value;
	g_mutex_unlock(&metrics->mutex);
}

/* Whole numbers without exponent, others with all their digits; no locale. */
static void print_value(GString *out, double value)
{
	char digits[G_ASCII_DTOSTR_BUF_SIZE];
	if (isinf(value))
		g_string_append(out, value > 0 ? "+Inf" : "-Inf");
	else if (fabs(value) < 9007199254740992.0 && (double)(gint64)value == value)
		g_string_append_printf(out, "%" G_GINT64_FORMAT, (gint64)value);
	else
		g_string_append(out, g_ascii_dtostr(digits, sizeof(digits), value));
	g_string_append_c(out, '\n');
}

/* Escaped as the format wants it: backslash, quote, line feed; always valid UTF-8. */
static void print_label(GString *out, const char *name, const char *value)
{
	g_autofree char *valid = g_utf8_make_valid(value, -1);
	g_string_append_printf(out, "{%s=\"", name);
	for (const char *p = valid; *p; p++) {
		if (*p == '\n')
			g_string_append(out, "\\n");
		else if (*p == '\\' || *p == '"')
			g_string_append_printf(out, "\\%c", *p);
		else
			g_string_append_c(out, *p);
	}
	g_string_append(out, "\"} ");
}

static void print_head(GString *out, const char *name, const char *help, bool is_gauge)
{
	g_string_append_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
		is_gauge ? "gauge" : "counter");
}

static int compare_series(const void *a, const void *b)
{
	return g_strcmp0(
		((const struct series *)a)->label, ((const struct series *)b)->label);
}

static void print_family(
	GString *out, const struct metric_info *info, const struct family *family)
{
	if (!family->n_series)
		return;
	print_head(out, info->name, info->help, info->is_gauge);
	g_autofree struct series *sorted =
		g_memdup2(family->series, family->n_series * sizeof(*sorted));
	qsort(sorted, family->n_series, sizeof(*sorted), compare_series);
	for (size_t i = 0; i < family->n_series; i++) {
		g_string_append(out, info->name);
		if (info->label)
			print_label(out, info->label, sorted[i].label);
		else
			g_string_append_c(out, ' ');
		print_value(out, sorted[i].value);
	}
}

static void print_one(
	GString *out, const char *name, const char *help, bool is_gauge, double value)
{
	print_head(out, name, help, is_gauge);
	g_string_append_printf(out, "%s ", name);
	print_value(out, value);
}

/* -1 where /proc does not say. */
static double resident_bytes(void)
{
	long pages = -1;
	FILE *file = fopen("/proc/self/statm", "re");
	if (!file)
		return -1;
	if (fscanf(file, "%*d %ld", &pages) != 1)
		pages = -1;
	fclose(file);
	return pages < 0 ? -1 : (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double open_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	if (!directory)
		return -1;
	double count = -1; /* the directory's own descriptor does not count */
	for (const struct dirent *entry; (entry = readdir(directory));)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

static double cpu_seconds(void)
{
	struct timespec used = { 0 };
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void print_process(GString *out, gint64 started_us)
{
	double resident = resident_bytes(), descriptors = open_descriptors();
	print_one(out, "process_cpu_seconds_total", "User and system CPU time spent.",
		false, cpu_seconds());
	if (descriptors >= 0)
		print_one(out, "process_open_fds", "Open file descriptors.", true,
			descriptors);
	if (resident >= 0)
		print_one(out, "process_resident_memory_bytes", "Resident memory size.",
			true, resident);
	print_one(out, "process_start_time_seconds",
		"Unix time at which the process started.", true,
		(double)started_us / 1e6);
}

GString *metrics_print(struct metrics *metrics)
{
	GString *out = g_string_sized_new(8192);
	print_head(out, "stowage_build_info", "Which build this is; always 1.", true);
	g_string_append(out, "stowage_build_info");
	print_label(out, "version", STOWAGE_VERSION);
	print_value(out, 1);
	g_mutex_lock(&metrics->mutex);
	for (size_t m = 0; m < METRIC_COUNT; m++)
		print_family(out, &infos[m], &metrics->families[m]);
	g_mutex_unlock(&metrics->mutex);
	print_process(out, metrics->started_us);
	return out;
}
