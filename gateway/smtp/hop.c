/* Counts recipients by what became of them, picks who speaks for all, cleans its words.
 * How a reply becomes a line is reply.c's. */
#include "gateway/smtp/hop.h"

#include "gateway/enhanced_code.h"
#include <string.h>

/* So that what is said of it and the ID fit a detail as well. */
#define WORDS_BYTES_MAX 400

struct counts {
	unsigned sent, refused, open;
};

static const struct queue_recipient *recipient_at(
	const struct queue_message *message, guint i)
{
	return g_ptr_array_index(message->recipients, i);
}

static bool is_refused(enum queue_state state)
{
	return state == QUEUE_DEAD || state == QUEUE_BOUNCED;
}

static struct counts count(const struct queue_message *message)
{
	struct counts counts = { 0 };
	for (guint i = 0; i < message->recipients->len; i++) {
		enum queue_state state = recipient_at(message, i)->state;
		if (state == QUEUE_SENT)
			counts.sent++;
		else if (is_refused(state))
			counts.refused++;
		else
			counts.open++;
	}
	return counts;
}

bool hop_has_some(const struct queue_message *message)
{
	struct counts counts = count(message);
	/* What its route sends once at most, and a person has to look after now: the
	 * client would send it once more. */
	bool kept = message->uncertain && message->state == QUEUE_HELD && !message->hold;
	return kept || (counts.sent && counts.refused + counts.open);
}

/* The first of those that are refused, or are not; one that the next hop answered, if
 * there is one. NULL: none. */
static const struct queue_recipient *find_speaker(
	const struct queue_message *message, bool refused)
{
	const struct queue_recipient *speaker = NULL;
	for (guint i = 0; i < message->recipients->len; i++) {
		const struct queue_recipient *recipient = recipient_at(message, i);
		if (is_refused(recipient->state) != refused)
			continue;
		if (!speaker || (!speaker->reply_code && recipient->reply_code))
			speaker = recipient;
	}
	return speaker;
}

/* ---- words ---- */

/* Appends text in printable ASCII, its runs of blanks as one space, any other character
 * as one question mark, up to bytes_max. */
static void append_clean(GString *out, const char *text, size_t bytes_max)
{
	size_t end = out->len + bytes_max;
	for (; *text && out->len < end; text++) {
		if (g_ascii_isspace(*text)) {
			if (out->len && out->str[out->len - 1] != ' ')
				g_string_append_c(out, ' ');
		} else if (((unsigned char)*text & 0xc0) !=
			   0x80) { /* begins a character */
			g_string_append_c(out, g_ascii_isprint(*text) ? *text : '?');
		}
	}
	while (out->len && out->str[out->len - 1] == ' ')
		g_string_truncate(out, out->len - 1);
}

static char *finish(GString *detail, const struct queue_message *message)
{
	g_string_append_printf(detail, " (%s)", message->id);
	g_assert(detail->len <= HOP_DETAIL_BYTES_MAX);
	return g_string_free(detail, FALSE);
}

/* What speaker was told, in a reply of code: the enhanced code as far as
 * it fits that, else ours. */
static char *quote(const struct queue_message *message,
	const struct queue_recipient *speaker, unsigned code, const char *ours)
{
	const char *text = speaker->reply ? speaker->reply : "";
	struct enhanced_code enhanced;
	bool fits = enhanced_code_parse(text, &enhanced) && enhanced.class == code / 100;
	GString *detail = g_string_new(NULL);
	g_string_append_len(detail, fits ? text : ours,
		fits ? (gssize)enhanced.bytes : (gssize)strlen(ours));
	g_string_append_c(detail, ' ');
	text = enhanced_code_skip(text);
	if ((unsigned)speaker->reply_code != code)
		g_string_append_printf(
			detail, "The next hop said %d ", speaker->reply_code);
	append_clean(detail, text, WORDS_BYTES_MAX);
	return finish(detail, message);
}

static char *say(const struct queue_message *message, const char *enhanced_and_text)
{
	GString *detail = g_string_new(NULL);
	append_clean(detail, enhanced_and_text, WORDS_BYTES_MAX);
	return finish(detail, message);
}

/* ---- replies ---- */

static enum smtp_reply_id relayed(const struct queue_message *message, char **detail)
{
	GString *text = g_string_new("2.0.0 Ok: relayed");
	if (message->relay_id) {
		g_string_append(text, " as ");
		append_clean(text, message->relay_id, WORDS_BYTES_MAX);
	}
	*detail = finish(text, message);
	return REPLY_RELAYED;
}

/* Of codes that answer the end of data (RFC 5321, section 4.3.2) or that clients know
 * from RCPT; what else a relay says of us or of our commands is none to the client. */
static enum smtp_reply_id refusal_of(int code)
{
	switch (code) {
	case 550:
		return REPLY_HOP_550;
	case 551:
		return REPLY_HOP_551;
	case 552:
		return REPLY_HOP_552;
	case 553:
		return REPLY_HOP_553;
	default:
		return REPLY_HOP_554;
	}
}

static enum smtp_reply_id refused(const struct queue_message *message, char **detail)
{
	const struct queue_recipient *speaker = find_speaker(message, true);
	int code = speaker ? speaker->reply_code : 0;
	enum smtp_reply_id id = refusal_of(code);
	if (code) {
		*detail = quote(message, speaker, smtp_reply(id)->code, "5.0.0");
		return id;
	}
	/* Refused here, before the next hop heard of it. */
	const char *reason = speaker && speaker->reply ? speaker->reply : message->reason;
	reason = reason ? reason : "The message cannot be sent on";
	struct enhanced_code enhanced;
	g_autofree char *text = enhanced_code_parse(reason, &enhanced)
					? g_strdup(reason)
					: g_strconcat("5.6.0 ", reason, NULL);
	*detail = say(message, text);
	return id;
}

static const char *trouble(
	const struct queue_message *message, const struct queue_recipient *speaker)
{
	if (!message->attempts)
		return "4.3.2 Not tried: the gateway is stopping, try again later";
	if (speaker->state == QUEUE_UNCERTAIN)
		return "4.4.2 The next hop did not answer the end of the message, try "
		       "again later";
	if (speaker->state == QUEUE_HELD)
		return "4.3.5 Something has to be set right here first, try again later";
	if (speaker->reply)
		return "4.4.1 The next hop cannot be used now, try again later";
	return "4.3.0 The message cannot be processed now, try again later";
}

static enum smtp_reply_id deferred(const struct queue_message *message, char **detail)
{
	const struct queue_recipient *speaker = find_speaker(message, false);
	if (speaker && speaker->reply_code)
		*detail = quote(message, speaker, smtp_reply(REPLY_HOP_DEFERRED)->code,
			speaker->state == QUEUE_HELD ? "4.3.5" : "4.4.0");
	else
		*detail = say(message, trouble(message, speaker));
	return REPLY_HOP_DEFERRED;
}

enum smtp_reply_id hop_reply(const struct queue_message *message, char **detail)
{
	struct counts counts = count(message);
	if (counts.open)
		return deferred(message, detail);
	if (counts.sent)
		return relayed(message, detail);
	return refused(message, detail);
}
