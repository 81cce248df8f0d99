/* The Received field and the count of them. Where a loop is refused is the session's. */
#include "gateway/smtp/received.h"

#include "gateway/smtp/slice.h"

#include <time.h>

#define HOPS_MAX       50
#define OWN_HOPS_MAX   5
#define HELO_BYTES_MAX 255

/* Domains and literals as they are; anything else that a device may say becomes "?". */
static void append_helo(GString *out, const char *helo)
{
	if (!helo || !*helo) {
		g_string_append(out, "unknown");
		return;
	}
	for (size_t i = 0; helo[i] && i < HELO_BYTES_MAX; i++) {
		bool good = g_ascii_isalnum(helo[i]) || strchr(".-_:[]", helo[i]);
		g_string_append_c(out, good ? helo[i] : '?');
	}
}

static const char *protocol(const struct smtp_received *received)
{
	bool tls = received->tls_version;
	if (tls && received->authenticated)
		return "ESMTPSA";
	if (tls || received->authenticated)
		return tls ? "ESMTPS" : "ESMTPA";
	return received->esmtp ? "ESMTP" : "SMTP";
}

/* RFC 5322 section 3.3; strftime would speak the locale's language. */
static void append_date(GString *out, int64_t time_s)
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri",
		"Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
		"Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t seconds = (time_t)time_s;
	struct tm tm;
	gmtime_r(&seconds, &tm);
	g_string_append_printf(out, "%s, %d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday],
		tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
		tm.tm_sec);
}

GString *smtp_received_print(const struct smtp_received *received)
{
	GString *out = g_string_sized_new(384);
	g_string_append(out, "Received: from ");
	append_helo(out, received->helo);
	g_string_append_printf(out, " ([%s%s])\r\n\tby %s (Stowage) with %s id %s",
		strchr(received->client, ':') ? "IPv6:" : "", received->client,
		received->hostname, protocol(received), received->id);
	if (received->tls_version)
		g_string_append_printf(out, "\r\n\t(%s %s)", received->tls_version,
			received->tls_cipher);
	if (received->recipient)
		g_string_append_printf(out, "\r\n\tfor <%s>", received->recipient);
	g_string_append(out, ";\r\n\t");
	append_date(out, received->time_s);
	g_string_append(out, "\r\n");
	return out;
}

void smtp_trace_init(struct smtp_trace *trace, const char *hostname)
{
	trace->hostname = hostname;
	trace->received = trace->own = 0;
	trace->in_header = true;
	trace->line_started = false;
	trace->field_bytes = 0;
}

static void end_field(struct smtp_trace *trace)
{
	struct slice field = { trace->field, trace->field_bytes };
	trace->field_bytes = 0;
	if (!slice_begins(field, "Received:"))
		return;
	trace->received++;
	size_t name_bytes = strlen(trace->hostname);
	for (; field.bytes > name_bytes + 4; field = slice_from(field, 1)) {
		if (!slice_begins(field, "by ") || g_ascii_isalnum(field.start[-1]))
			continue;
		struct slice rest = slice_from(field, 3);
		if (slice_begins(rest, trace->hostname) &&
			slice_begins(slice_from(rest, name_bytes), " (Stowage)")) {
			trace->own++;
			return;
		}
	}
}

/* A line's first byte decides whether the field before it goes on. */
static void start_line(struct smtp_trace *trace, char first)
{
	trace->line_started = true;
	if (first != ' ' && first != '\t')
		end_field(trace);
	if (first == '\r' || first == '\n')
		trace->in_header = false;
}

void smtp_trace_feed(struct smtp_trace *trace, const char *bytes, size_t n_bytes)
{
	const char *at = bytes, *end = bytes + n_bytes;
	while (trace->in_header && at < end) {
		if (!trace->line_started)
			start_line(trace, *at);
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		const char *stop = lf ? lf + 1 : end;
		size_t room = sizeof(trace->field) - trace->field_bytes;
		size_t taken = MIN(room, (size_t)(stop - at));
		memcpy(trace->field + trace->field_bytes, at, taken);
		trace->field_bytes += taken;
		trace->line_started = !lf;
		at = stop;
	}
}

bool smtp_trace_is_loop(const struct smtp_trace *trace)
{
	return trace->received > HOPS_MAX || trace->own > OWN_HOPS_MAX;
}
