/* DATA and BDAT: a message's octets to the owner, its size, line ends and trace watched.
 *
 * BDAT (RFC 3030): the octets behind a command that is refused come all the same, and are
 * dropped before the reply. When a chunk fails its message has failed: until LAST or RSET
 * the others are dropped, with the same reply. */
#include "gateway/smtp/session_private.h"

#include "gateway/queue/spool.h"

/* What smtp_data_finish() may add to what fills the owner's room. */
#define FINISH_BYTES 2

/* Our own trace field, which goes before it, is shorter than the difference. */
#define HEADER_BYTES_MAX (SPOOL_HEADER_BYTES_MAX - 4096)

/* Eight octets at a time: every octet of every message passes here. */
static bool has_8bit(const char *bytes, size_t n_bytes)
{
	uint64_t all = 0, word;
	for (; n_bytes >= sizeof(word); n_bytes -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		all |= word;
	}
	for (; n_bytes; n_bytes--)
		all |= (uint64_t)(unsigned char)*bytes++;
	return all & UINT64_C(0x8080808080808080);
}

void session_refuse_body(struct smtp_session *s, enum smtp_reply_id id)
{
	if (s->body->refusal == REPLY_NONE) {
		s->body->refusal = id;
		s->callbacks->data_drop(s->context, id);
	}
}

static void feed_trace(struct smtp_session *s, const char *bytes, size_t n_bytes)
{
	struct smtp_trace *trace = &s->body->trace;
	smtp_trace_feed(trace, bytes, n_bytes);
	if (trace->header_bytes > HEADER_BYTES_MAX)
		session_refuse_body(s, REPLY_HEADER_TOO_BIG);
}

static void take_decoded(void *context, const char *bytes, size_t n_bytes)
{
	struct smtp_session *s = context;
	struct body *body = s->body;
	if (body->decoder.state != DATA_ENDED) /* a line end added is not the client's */
		body->bytes += n_bytes;
	if (body->bytes > s->terms.max_message_size)
		session_refuse_body(s, REPLY_TOO_BIG);
	if (body->refusal != REPLY_NONE)
		return;
	if (body->trace.in_header)
		feed_trace(s, bytes, n_bytes);
	if (body->refusal != REPLY_NONE)
		return;
	if (!body->has_8bit)
		body->has_8bit = has_8bit(bytes, n_bytes);
	s->callbacks->data_bytes(s->context, bytes, n_bytes);
}

/* REPLY_START_DATA, or why not. */
static enum smtp_reply_id open_body(struct smtp_session *s, bool chunked)
{
	enum smtp_reply_id id = s->callbacks->data_begin(s->context);
	if (id != REPLY_START_DATA) {
		session_forget_command(s);
		return id;
	}
	bool is_strict = s->terms.profile == CONF_PROFILE_STRICT;
	s->body = g_new(struct body, 1);
	s->body->bytes = 0;
	s->body->has_8bit = false;
	s->body->refusal = REPLY_NONE;
	smtp_data_init(&s->body->decoder, is_strict ? DATA_REFUSE : DATA_NORMALISE,
		chunked, take_decoded, s);
	smtp_trace_init(&s->body->trace, s->hostname);
	return id;
}

static void free_body(struct body *body)
{
	if (body)
		smtp_trace_clear(&body->trace);
	g_free(body);
}

void session_free_body(struct smtp_session *s)
{
	free_body(g_steal_pointer(&s->body));
}

enum smtp_reply_id session_on_data(struct smtp_session *s, struct slice args)
{
	(void)args;
	return open_body(s, false);
}

/* ---- the end of a message ---- */

static void judge_body(struct smtp_session *s)
{
	const struct smtp_data *decoder = &s->body->decoder;
	smtp_trace_end(&s->body->trace);
	if (decoder->bare == DATA_REFUSE && decoder->bare_cr + decoder->bare_lf)
		session_refuse_body(s, REPLY_BARE_LINE_ENDS);
	else if (smtp_trace_is_loop(&s->body->trace))
		session_refuse_body(s, REPLY_TOO_MANY_HOPS);
}

static void tell_quirks(const struct smtp_session *s, const struct smtp_data *decoder)
{
	if (decoder->bare_lf)
		session_tell_quirk(s, QUIRK_DATA_BARE_LF);
	if (decoder->bare_cr)
		session_tell_quirk(s, QUIRK_DATA_BARE_CR);
}

/* The final dot, or the last chunk: the message is the owner's now, or refused. */
static void end_body(struct smtp_session *s)
{
	judge_body(s);
	enum smtp_reply_id refusal = s->body->refusal;
	if (refusal != REPLY_NONE) {
		session_end_transaction(s);
		session_answer(s, refusal);
		session_close_if_drained(s);
		return;
	}
	struct body *body = g_steal_pointer(&s->body);
	tell_quirks(s, &body->decoder);
	s->stopped = true;
	s->callbacks->data_end(s->context, body->has_8bit, smtp_trace_from(&body->trace));
	free_body(body);
}

/* ---- BDAT ---- */

/* "octets [LAST]" */
struct chunk {
	uint64_t size; /* 0 where it cannot be told */
	bool is_last;
	enum smtp_reply_id problem; /* REPLY_NONE: it is as it should be */
};

/* chunk-size = 1*20DIGIT, of which not all is a number here */
static enum smtp_reply_id parse_chunk_size(struct slice word, uint64_t *size)
{
	for (size_t i = 0; i < word.bytes; i++) {
		if (!g_ascii_isdigit(word.start[i]))
			return REPLY_BDAT_SYNTAX;
	}
	for (size_t i = 0; i < word.bytes; i++) {
		unsigned digit = (unsigned)g_ascii_digit_value(word.start[i]);
		if (*size > (UINT64_MAX - digit) / 10)
			return REPLY_BDAT_UNBOUNDED;
		*size = *size * 10 + digit;
	}
	return word.bytes ? REPLY_NONE : REPLY_BDAT_SYNTAX;
}

static struct chunk parse_chunk(struct slice args)
{
	struct chunk chunk = { 0 };
	struct slice rest, word = slice_word(args, &rest);
	chunk.problem = parse_chunk_size(word, &chunk.size);
	chunk.is_last = slice_is(rest, "LAST");
	if (chunk.problem == REPLY_NONE && rest.bytes && !chunk.is_last)
		chunk.problem = REPLY_BDAT_SYNTAX;
	return chunk;
}

/* A message of which a chunk is missing must never be taken for whole. */
static void refuse_other_chunks(struct smtp_session *s, enum smtp_reply_id id)
{
	session_free_body(s);
	s->state = CHUNK_REFUSED;
	s->chunk_refusal = id;
}

/* The octets of a refused chunk have been dropped. */
static void end_refused_chunk(struct smtp_session *s)
{
	enum smtp_reply_id id = s->chunk_refusal;
	bool is_repeated = s->state == CHUNK_REFUSED;
	if (s->state & (CHUNK_GIVEN | CHUNK_REFUSED) && s->chunk_is_last)
		session_end_transaction(s);
	else if (s->state & IN_TRANSACTION && !s->chunk_is_last)
		refuse_other_chunks(s, id);
	if (is_repeated) {
		session_answer_again(s, id);
		return;
	}
	s->verb = s->chunk_verb;
	if (s->verb)
		s->command = slice_of("BDAT");
	session_answer(s, id);
	session_forget_command(s);
}

static void end_good_chunk(struct smtp_session *s)
{
	char size[21];
	g_snprintf(size, sizeof(size), "%" G_GUINT64_FORMAT, (guint64)s->chunk_bytes);
	s->state = CHUNK_GIVEN;
	session_say(s, REPLY_CHUNK_OK, size);
}

/* All octets of a chunk have come. */
static void end_chunk(struct smtp_session *s)
{
	if (s->chunk_refusal != REPLY_NONE) {
		end_refused_chunk(s);
	} else if (s->chunk_is_last) {
		smtp_data_finish(&s->body->decoder);
		end_body(s);
	} else if (s->body->refusal != REPLY_NONE) {
		refuse_other_chunks(s, s->body->refusal);
		session_answer(s, s->chunk_refusal);
	} else {
		end_good_chunk(s);
	}
	session_close_if_drained(s);
}

/* Says nothing: the reply is end_chunk()'s. */
static enum smtp_reply_id begin_chunk(
	struct smtp_session *s, const struct chunk *chunk, enum smtp_reply_id refusal)
{
	s->chunk_left = s->chunk_bytes = chunk->size;
	s->chunk_is_last = chunk->is_last;
	s->chunk_refusal = refusal;
	s->chunk_verb = s->command.start ? s->verb : NULL;
	session_forget_command(s);
	if (!chunk->size)
		end_chunk(s);
	return REPLY_NONE;
}

static enum smtp_reply_id refuse_chunk(
	struct smtp_session *s, const struct chunk *chunk, enum smtp_reply_id id)
{
	if (chunk->problem == REPLY_BDAT_UNBOUNDED)
		return REPLY_BDAT_UNBOUNDED; /* where it ends nobody knows */
	if (s->body)
		session_refuse_body(s, id);
	return begin_chunk(s, chunk, id);
}

/* Chunks that bring nothing may not go on for ever. */
static bool is_flood(struct smtp_session *s, const struct chunk *chunk)
{
	bool is_idle = s->state == CHUNK_REFUSED || (!chunk->size && !chunk->is_last);
	return is_idle && session_is_idle_flood(s);
}

enum smtp_reply_id session_on_bdat(struct smtp_session *s, struct slice args)
{
	struct chunk chunk = parse_chunk(args);
	if (is_flood(s, &chunk))
		return REPLY_TOO_MANY_ERRORS;
	if (s->state == CHUNK_REFUSED)
		return refuse_chunk(s, &chunk, s->chunk_refusal);
	if (chunk.problem != REPLY_NONE)
		return refuse_chunk(s, &chunk, chunk.problem);
	enum smtp_reply_id id = s->body ? REPLY_START_DATA : open_body(s, true);
	if (id != REPLY_START_DATA)
		return begin_chunk(s, &chunk, id);
	if (chunk.size > s->terms.max_message_size)
		session_refuse_body(s, REPLY_TOO_BIG);
	session_forget_command(s);
	return begin_chunk(s, &chunk, REPLY_NONE);
}

enum smtp_reply_id session_refuse_bdat(
	struct smtp_session *s, struct slice args, enum smtp_reply_id id)
{
	if (s->state == CHUNK_REFUSED)
		return session_on_bdat(s, args);
	struct chunk chunk = parse_chunk(args);
	return refuse_chunk(s, &chunk, id);
}

/* ---- octets ---- */

/* What is decoded has to fit the owner's room, and what the end may add after it. */
static size_t decode(struct smtp_session *s, const char *bytes, size_t n_bytes)
{
	size_t reserve = 2 + FINISH_BYTES;
	if (s->body->refusal == REPLY_NONE) {
		size_t room = s->callbacks->data_room(s->context);
		n_bytes = MIN(n_bytes, room > reserve ? (room - reserve) / 2 : 0);
	}
	return smtp_data_decode(&s->body->decoder, bytes, n_bytes);
}

static size_t take_chunk(struct smtp_session *s, const char *bytes, size_t n_bytes)
{
	size_t taken = MIN(n_bytes, s->chunk_left);
	if (s->chunk_refusal == REPLY_NONE)
		taken = decode(s, bytes, taken);
	s->chunk_left -= taken;
	if (!s->chunk_left)
		end_chunk(s);
	return taken;
}

static size_t take_data(struct smtp_session *s, const char *bytes, size_t n_bytes)
{
	size_t taken = decode(s, bytes, n_bytes);
	if (s->body->decoder.state == DATA_ENDED)
		end_body(s);
	return taken;
}

bool session_awaits_octets(const struct smtp_session *s)
{
	return s->chunk_left || (s->body && !s->body->decoder.chunked);
}

size_t session_take_octets(struct smtp_session *s, const char *bytes, size_t n_bytes)
{
	return s->chunk_left ? take_chunk(s, bytes, n_bytes)
			     : take_data(s, bytes, n_bytes);
}
