/* The Received field, the count of them, and From. What is refused for it is the
 * session's and the policy's. */
#include "gateway/smtp/received.h"

#include "gateway/smtp/slice.h"

#include <time.h>

#define HOPS_MAX       50
#define OWN_HOPS_MAX   5
#define HELO_BYTES_MAX 255
#define OWN_BYTES_MAX  512 /* of a field, in which ours says who we are */

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

/* The registry of RFC 3848 and RFC 6531 knows no SMTPS and no SMTPA. */
static void append_protocol(GString *out, const struct smtp_received *received)
{
	bool tls = received->tls_version, auth = received->authenticated;
	const char *protocol = received->esmtp || tls || auth ? "ESMTP" : "SMTP";
	g_string_append(out, received->utf8 ? "UTF8SMTP" : protocol);
	if (tls)
		g_string_append_c(out, 'S');
	if (auth)
		g_string_append_c(out, 'A');
}

static void append_client(GString *out, const struct smtp_received *received)
{
	g_string_append(out, " (");
	if (received->client_name && *received->client_name) {
		append_helo(out, received->client_name);
		g_string_append_c(out, ' ');
	}
	g_string_append_printf(out, "[%s%s])\r\n",
		strchr(received->client, ':') ? "IPv6:" : "", received->client);
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
	append_client(out, received);
	g_string_append_printf(out, "\tby %s (Stowage) with ", received->hostname);
	append_protocol(out, received);
	g_string_append_printf(out, " id %s", received->id);
	if (received->tls_version)
		g_string_append_printf(out, "\r\n\t(%s %s)", received->tls_version,
			received->tls_cipher);
	if (received->recipient && slice_is_ascii(slice_of(received->recipient)))
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
	trace->header_bytes = 0;
	trace->line_started = trace->from_is_cut = false;
	trace->from = NULL;
	trace->field_bytes = 0;
}

void smtp_trace_clear(struct smtp_trace *trace)
{
	if (trace->from)
		g_string_free(trace->from, TRUE);
	trace->from = NULL;
}

static struct slice skip_spaces(struct slice text)
{
	while (text.bytes && g_ascii_isspace(*text.start))
		text = slice_from(text, 1);
	return text;
}

/* Whether field is name *WSP ":" (RFC 5322, section 4.5); *body is what follows. A fold
 * before the colon is no RFC's, but who unfolds first sees the field. */
static bool is_field(struct slice field, const char *name, struct slice *body)
{
	if (!slice_begins(field, name))
		return false;
	*body = skip_spaces(slice_from(field, strlen(name)));
	if (!body->bytes || *body->start != ':')
		return false;
	*body = slice_from(*body, 1);
	return true;
}

static bool is_own(const struct smtp_trace *trace, struct slice body)
{
	size_t name_bytes = strlen(trace->hostname);
	body.bytes = MIN(body.bytes, OWN_BYTES_MAX);
	for (; body.bytes > name_bytes + 4; body = slice_from(body, 1)) {
		if (!slice_begins(body, "by ") || g_ascii_isalnum(body.start[-1]))
			continue;
		struct slice rest = slice_from(body, 3);
		if (slice_begins(rest, trace->hostname) &&
			slice_begins(slice_from(rest, name_bytes), " (Stowage)"))
			return true;
	}
	return false;
}

static void append_unfolded(GString *out, struct slice body)
{
	for (size_t i = 0; i < body.bytes; i++) {
		char c = body.start[i];
		if (c != '\r' && c != '\n')
			g_string_append_c(out, g_ascii_iscntrl(c) && c != '\t' ? '?' : c);
	}
}

static void add_from(struct smtp_trace *trace, struct slice body)
{
	size_t kept = trace->from ? trace->from->len + strlen(", ") : 0;
	body = skip_spaces(body);
	while (body.bytes && g_ascii_isspace(body.start[body.bytes - 1]))
		body.bytes--;
	trace->from_is_cut |= kept + body.bytes > TRACE_FIELD_BYTES_MAX;
	if (trace->from_is_cut)
		return;
	if (trace->from)
		g_string_append(trace->from, ", ");
	else
		trace->from = g_string_new(NULL);
	append_unfolded(trace->from, body);
}

/* Whether the field may be From, its end or even its colon being beyond what is kept. */
static bool is_cut_from(const struct smtp_trace *trace, struct slice field)
{
	if (trace->field_bytes < sizeof(trace->field) || !slice_begins(field, "From"))
		return false;
	struct slice rest = skip_spaces(slice_from(field, strlen("From")));
	return !rest.bytes || *rest.start == ':';
}

static void end_field(struct smtp_trace *trace)
{
	struct slice field = { trace->field, trace->field_bytes }, body;
	if (is_field(field, "Received", &body)) {
		trace->received++;
		trace->own += is_own(trace, body);
	} else if (is_cut_from(trace, field)) {
		trace->from_is_cut = true;
	} else if (is_field(field, "From", &body)) {
		add_from(trace, body);
	}
	trace->field_bytes = 0;
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
	trace->header_bytes += (uint64_t)(at - bytes);
}

void smtp_trace_end(struct smtp_trace *trace)
{
	if (trace->in_header)
		end_field(trace);
	trace->in_header = false;
}

const char *smtp_trace_from(const struct smtp_trace *trace)
{
	if (trace->from_is_cut)
		return NULL;
	return trace->from ? trace->from->str : "";
}

bool smtp_trace_is_loop(const struct smtp_trace *trace)
{
	return trace->received > HOPS_MAX || trace->own > OWN_HOPS_MAX;
}
