/* The dialogue: a table of verbs, one function per verb; lines, replies and their counts.
 * Parsing of addresses, data and SASL is in their own files; sockets, time and policy are
 * the owner's. */
#include "gateway/smtp/session_private.h"

#include <openssl/crypto.h>

/* RFC 5321 section 4.5.3.1.4 and the additions of SIZE, BODY, AUTH= (4954) and DSN
 * (3461). */
#define LINE_BYTES_MAX      512
#define PATH_LINE_BYTES_MAX 2048
#define AUTH_LINE_BYTES_MAX 12288 /* RFC 4954, section 4 */

#define AUTH_FAILURES_MAX      5
#define COMMAND_TOLD_BYTES_MAX 200

enum verb_flags {
	NO_ARGS = 1,
	NEEDS_ARGS = 2,
	/* also where TLS is required and not there (RFC 3207, section 4) */
	BEFORE_TLS = 4,
	NEEDS_AUTH = 8,  /* where the listener requires it */
	TAKES_8BIT = 16, /* the function refuses it with a better word */
	IDLE = 32,       /* carries no mail nearer: a flood of them is an error */
	TOLD_WHOLE = 64, /* its arguments are addresses or names: the log may have them */
	CARRIES_OCTETS = 128, /* octets follow it, refused or not */
};

struct smtp_verb {
	const char *name;
	const char *extension; /* that offers it; NULL: none */
	unsigned states;       /* where it may arrive; elsewhere 503 */
	unsigned flags;
	enum smtp_reply_id (*run)(struct smtp_session *, struct slice args);
};

/* What the log may have of a command: of what is none it may be a password or a
 * message's text. */
static char *tell_command(const struct smtp_session *s)
{
	if (!s->verb)
		return g_strdup("");
	if (!(s->verb->flags & TOLD_WHOLE))
		return g_strdup(s->verb->name);
	return g_strndup(s->command.start, MIN(s->command.bytes, COMMAND_TOLD_BYTES_MAX));
}

static void tell_refusal(const struct smtp_session *s, enum smtp_reply_id id)
{
	g_autofree char *command = s->command.start ? tell_command(s) : NULL;
	s->callbacks->refused(s->context, id, command);
}

static void say_uncounted(
	struct smtp_session *s, enum smtp_reply_id id, const char *detail)
{
	if (id == REPLY_NONE || s->closed)
		return;
	if (smtp_reply(id)->code >= 400)
		tell_refusal(s, id);
	if (smtp_reply_closes(id))
		detail = s->hostname;
	if (session_hides(s, "ENHANCEDSTATUSCODES"))
		smtp_reply_append_plain(s->output, id, detail);
	else
		smtp_reply_append(s->output, id, detail);
	s->closed = smtp_reply_closes(id);
}

void session_say(struct smtp_session *s, enum smtp_reply_id id, const char *detail)
{
	bool is_error = id != REPLY_NONE && smtp_reply(id)->code >= 500;
	if (is_error && ++s->errors > s->listener->max_errors)
		id = REPLY_TOO_MANY_ERRORS;
	say_uncounted(s, id, detail);
}

static const char *detail_of(const struct smtp_session *s, enum smtp_reply_id id)
{
	if (id == REPLY_AUTH_CHALLENGE)
		return smtp_auth_challenge(&s->auth);
	return id == REPLY_BLOCK_LISTED ? s->block_list : s->hostname;
}

void session_answer(struct smtp_session *s, enum smtp_reply_id id)
{
	session_say(s, id, detail_of(s, id));
}

void session_answer_again(struct smtp_session *s, enum smtp_reply_id id)
{
	say_uncounted(s, id, detail_of(s, id));
}

void session_forget_command(struct smtp_session *s)
{
	s->command.start = NULL;
}

static enum smtp_reply_id bad_sequence(
	const struct smtp_session *s, const struct smtp_verb *verb)
{
	if (s->state == STARTED)
		return REPLY_NO_EHLO;
	if (s->state == GREETED)
		return REPLY_NO_MAIL;
	bool lacks_recipient = s->state == MAIL_GIVEN && verb->states & RCPT_GIVEN;
	return lacks_recipient ? REPLY_NO_RECIPIENT : REPLY_IN_TRANSACTION;
}

/* Between messages, with nobody working for it. */
static bool is_idle(const struct smtp_session *s)
{
	return !s->stopped && !session_awaits_octets(s) &&
	       s->auth.mechanism == AUTH_IDLE &&
	       s->state & (STARTED | GREETED | CHUNK_REFUSED);
}

void session_close_if_drained(struct smtp_session *s)
{
	if (s->draining && is_idle(s))
		session_say(s, REPLY_SHUTDOWN, NULL);
}

void session_end_transaction(struct smtp_session *s)
{
	session_free_body(s);
	if (s->state & IN_TRANSACTION) {
		s->state = GREETED;
		s->callbacks->reset(s->context);
	}
	s->recipients = s->recipients_over = 0;
	s->utf8 = false;
}

/* ---- the verbs without a file of their own ---- */

static enum smtp_reply_id on_rset(struct smtp_session *s, struct slice args)
{
	(void)args;
	session_end_transaction(s);
	return REPLY_OK;
}

static enum smtp_reply_id on_noop(struct smtp_session *s, struct slice args)
{
	(void)s, (void)args;
	return REPLY_OK;
}

static enum smtp_reply_id on_help(struct smtp_session *s, struct slice args)
{
	(void)s, (void)args;
	return REPLY_HELP;
}

static enum smtp_reply_id on_quit(struct smtp_session *s, struct slice args)
{
	(void)args;
	session_end_transaction(s);
	return REPLY_BYE;
}

static enum smtp_reply_id on_unimplemented(struct smtp_session *s, struct slice args)
{
	(void)s, (void)args;
	return REPLY_NOT_IMPLEMENTED;
}

/* A browser made to speak to us carries commands in its request's body. */
static enum smtp_reply_id on_http(struct smtp_session *s, struct slice args)
{
	(void)s, (void)args;
	return REPLY_NOT_SMTP;
}

/* Command order: RFC 5321, section 4.1.4. STARTTLS: RFC 3207, section 4. */
static const struct smtp_verb verbs[] = {
	{ "EHLO", NULL, ANY_STATE, BEFORE_TLS | TAKES_8BIT | IDLE | TOLD_WHOLE,
		session_on_ehlo },
	{ "HELO", NULL, ANY_STATE, BEFORE_TLS | TAKES_8BIT | IDLE | TOLD_WHOLE,
		session_on_helo },
	{ "STARTTLS", "STARTTLS", GREETED, BEFORE_TLS | NO_ARGS, session_on_starttls },
	{ "AUTH", "AUTH", GREETED, NEEDS_ARGS, session_on_auth },
	{ "MAIL", NULL, GREETED, NEEDS_AUTH | TAKES_8BIT | TOLD_WHOLE, session_on_mail },
	{ "RCPT", NULL, MAIL_GIVEN | RCPT_GIVEN, NEEDS_AUTH | TAKES_8BIT | TOLD_WHOLE,
		session_on_rcpt },
	{ "DATA", NULL, RCPT_GIVEN, NEEDS_AUTH | NO_ARGS, session_on_data },
	{ "BDAT", "CHUNKING", RCPT_GIVEN | CHUNK_GIVEN | CHUNK_REFUSED,
		NEEDS_AUTH | CARRIES_OCTETS, session_on_bdat },
	{ "RSET", NULL, ANY_STATE, NO_ARGS | IDLE, on_rset },
	{ "NOOP", NULL, ANY_STATE, BEFORE_TLS | IDLE, on_noop },
	{ "QUIT", NULL, ANY_STATE, BEFORE_TLS | NO_ARGS, on_quit },
	{ "VRFY", NULL, ANY_STATE, NEEDS_ARGS | TAKES_8BIT | IDLE, session_on_vrfy },
	{ "HELP", NULL, ANY_STATE, IDLE, on_help },
	{ "EXPN", NULL, ANY_STATE, TAKES_8BIT, on_unimplemented },
	{ "ETRN", NULL, ANY_STATE, 0, on_unimplemented },
	{ "TURN", NULL, ANY_STATE, 0, on_unimplemented },
	{ "SEND", NULL, ANY_STATE, 0, on_unimplemented },
	{ "SOML", NULL, ANY_STATE, 0, on_unimplemented },
	{ "SAML", NULL, ANY_STATE, 0, on_unimplemented },
	{ "GET", NULL, ANY_STATE, BEFORE_TLS, on_http },
	{ "POST", NULL, ANY_STATE, BEFORE_TLS, on_http },
	{ "CONNECT", NULL, ANY_STATE, BEFORE_TLS, on_http },
};

static const struct smtp_verb *find_verb(struct slice name)
{
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
		if (slice_is(name, verbs[i].name))
			return &verbs[i];
	}
	return NULL;
}

static bool has_control(struct slice text)
{
	for (size_t i = 0; i < text.bytes; i++) {
		unsigned char c = (unsigned char)text.start[i];
		if ((c < 32 && c != '\t') || c == 127)
			return true;
	}
	return false;
}

bool session_is_idle_flood(struct smtp_session *s)
{
	return ++s->idle_commands > s->listener->max_idle_commands;
}

static bool lacks_auth(const struct smtp_session *s)
{
	return s->listener->auth == CONF_AUTH_REQUIRED && !s->authenticated &&
	       !s->certified;
}

/* Every column of the table, once for all verbs. REPLY_NONE: the verb may run. */
static enum smtp_reply_id check_verb(
	struct smtp_session *s, const struct smtp_verb *verb, struct slice args)
{
	bool is_8bit = !(verb->flags & TAKES_8BIT) && !slice_is_ascii(args);
	if (is_8bit || has_control(s->command))
		return REPLY_BAD_CHARACTER;
	if (verb->extension && session_hides(s, verb->extension))
		return REPLY_NOT_IMPLEMENTED;
	if (!(verb->flags & BEFORE_TLS) && s->listener->tls == CONF_TLS_REQUIRED &&
		!s->tls)
		return REPLY_TLS_NEEDED;
	if (!(verb->states & s->state))
		return bad_sequence(s, verb);
	if (verb->flags & NEEDS_AUTH && lacks_auth(s))
		return REPLY_AUTH_NEEDED;
	if (verb->flags & NO_ARGS && args.bytes)
		return REPLY_NO_ARGUMENTS;
	if (verb->flags & NEEDS_ARGS && !args.bytes)
		return REPLY_NEEDS_ARGUMENT;
	if (verb->flags & IDLE && session_is_idle_flood(s))
		return REPLY_TOO_MANY_ERRORS;
	return REPLY_NONE;
}

static enum smtp_reply_id run_verb(
	struct smtp_session *s, const struct smtp_verb *verb, struct slice args)
{
	enum smtp_reply_id id = check_verb(s, verb, args);
	if (id == REPLY_NONE)
		return verb->run(s, args);
	return verb->flags & CARRIES_OCTETS ? session_refuse_bdat(s, args, id) : id;
}

static void run_command(struct smtp_session *s, struct slice line)
{
	struct slice args, name = slice_word(line, &args);
	enum smtp_reply_id id = REPLY_UNKNOWN_COMMAND;
	s->command = line;
	s->verb = find_verb(name);
	if (s->verb)
		id = run_verb(s, s->verb, args);
	else if (has_control(line))
		id = REPLY_BAD_CHARACTER;
	session_answer(s, id);
}

/* ---- lines ---- */

#define TLS_HANDSHAKE                                                                    \
	0x16 /* RFC 8446, section 5.1: the type of a client's first record */

static size_t line_limit(const struct smtp_session *s, struct slice line)
{
	if (s->auth.mechanism != AUTH_IDLE || slice_begins(line, "AUTH "))
		return AUTH_LINE_BYTES_MAX;
	bool has_path = slice_begins(line, "MAIL ") || slice_begins(line, "RCPT ");
	return has_path ? PATH_LINE_BYTES_MAX : LINE_BYTES_MAX;
}

/* Without its line end and the blanks before it (RFC 5321, section 4.1.1); without all
 * that a device may have put round it. */
static struct slice chomp(const struct smtp_session *s, struct slice line)
{
	bool legacy = session_is_legacy(s);
	if (line.bytes && line.start[line.bytes - 1] == '\n')
		line.bytes--;
	bool has_cr = line.bytes && line.start[line.bytes - 1] == '\r';
	if (has_cr)
		line.bytes--;
	else if (legacy)
		session_tell_quirk(s, QUIRK_COMMAND_LF);
	while (legacy && line.bytes && line.start[line.bytes - 1] == '\r')
		line.bytes--;
	if (!legacy)
		return slice_trim_end(line);
	if (line.bytes && (*line.start == ' ' || *line.start == '\t'))
		session_tell_quirk(s, QUIRK_SPACE_IN_COMMAND);
	return slice_trim(line);
}

/* For a line that is not read. Where the octets of a BDAT end nobody knows then, and none
 * of them may run as a command. */
static enum smtp_reply_id refusal_of_line(const struct smtp_session *s, struct slice line)
{
	if (slice_begins(slice_trim(line), "BDAT "))
		return REPLY_BDAT_UNBOUNDED;
	if (s->line_is_broken)
		return REPLY_BARE_LINE_FEED;
	return slice_begins(line, "AUTH ") ? REPLY_AUTH_TOO_LONG : REPLY_LINE_TOO_LONG;
}

/* line is the beginning of a line of line_bytes octets, its end included. */
static void run_line(struct smtp_session *s, struct slice line, size_t line_bytes)
{
	bool too_long = line_bytes > line_limit(s, line);
	s->command = line;
	s->verb = NULL;
	if (s->line_is_broken) {
		smtp_auth_clear(&s->auth);
		session_answer(s, refusal_of_line(s, line));
	} else if (s->auth.mechanism != AUTH_IDLE) {
		session_run_auth_line(s, slice_trim(chomp(s, line)), too_long);
	} else if (too_long) {
		session_answer(s, refusal_of_line(s, line));
	} else {
		run_command(s, chomp(s, line));
	}
	s->line_is_broken = false;
	s->command.start = NULL;
	session_close_if_drained(s);
}

/* Keeps what came of a line whose end did not come yet. */
static void keep_partial(struct smtp_session *s, const char *bytes, size_t n_bytes)
{
	size_t room = AUTH_LINE_BYTES_MAX - s->line->len;
	g_string_append_len(s->line, bytes, (gssize)MIN(room, n_bytes));
	s->line_bytes += n_bytes;
}

static void run_kept_line(struct smtp_session *s)
{
	struct slice line = { s->line->str, s->line->len };
	run_line(s, line, s->line_bytes);
	OPENSSL_cleanse(s->line->str, s->line->len); /* it may have been a password */
	g_string_truncate(s->line, 0);
	s->line_bytes = 0;
}

/* A client set to TLS from the first byte waits for a handshake that does not come: its
 * owner learns why from the log. */
static bool is_tls_too_soon(const struct smtp_session *s, const char *bytes)
{
	return *bytes == TLS_HANDSHAKE && !s->line_bytes && !s->tls;
}

/* Takes bytes up to the next LF. */
static size_t take_line(struct smtp_session *s, const char *bytes, size_t n_bytes)
{
	if (is_tls_too_soon(s, bytes)) {
		s->verb = NULL;
		s->command = (struct slice){ bytes, 1 };
		session_answer(s, REPLY_TLS_TOO_SOON);
		s->command.start = NULL;
		return n_bytes;
	}
	const char *lf = memchr(bytes, '\n', n_bytes);
	size_t taken = lf ? (size_t)(lf - bytes) + 1 : n_bytes;
	bool ends = lf && (session_is_legacy(s) || (lf > bytes && lf[-1] == '\r') ||
				  (lf == bytes && s->line_bytes && s->line_ends_cr));
	if (ends && !s->line_bytes) {
		run_line(s, (struct slice){ bytes, taken }, taken);
		return taken;
	}
	keep_partial(s, bytes, taken);
	s->line_is_broken |= lf && !ends;
	s->line_ends_cr = bytes[taken - 1] == '\r';
	s->line_ends_lf = lf;
	if (ends)
		run_kept_line(s);
	return taken;
}

size_t smtp_session_feed(struct smtp_session *s, const char *bytes, size_t n_bytes)
{
	size_t taken = 0;
	while (taken < n_bytes && !s->stopped && !s->closed &&
		s->output->len < SMTP_OUTPUT_BYTES_MAX) {
		size_t step =
			session_awaits_octets(s)
				? session_take_octets(s, bytes + taken, n_bytes - taken)
				: take_line(s, bytes + taken, n_bytes - taken);
		if (!step)
			break; /* no room for data */
		taken += step;
	}
	return taken;
}

bool smtp_session_awaits_cr_lf(const struct smtp_session *s)
{
	return s->line_bytes && s->line_is_broken && s->line_ends_lf;
}

void smtp_session_stalled(struct smtp_session *s)
{
	if (smtp_session_awaits_cr_lf(s))
		run_kept_line(s);
}

/* ---- the owner's answers ---- */

static void take_listeners_terms(struct smtp_session *s)
{
	s->terms = (struct smtp_terms){ .profile = s->listener->profile,
		.max_message_size = s->listener->max_message_size,
		.max_recipients = s->listener->max_recipients };
}

void smtp_session_tls_started(struct smtp_session *s, bool certified)
{
	s->tls = true;
	s->certified = certified;
	s->stopped = s->authenticated = s->esmtp = false;
	s->state = STARTED;
	take_listeners_terms(s);
	g_clear_pointer(&s->helo, g_free);
}

void smtp_session_set_terms(struct smtp_session *s, const struct smtp_terms *terms)
{
	s->terms = *terms;
}

void smtp_session_set_block_list(struct smtp_session *s, const char *name)
{
	s->block_list = name;
}

void smtp_session_auth_done(struct smtp_session *s, enum smtp_reply_id id)
{
	s->stopped = false;
	s->authenticated = id == REPLY_AUTH_OK;
	if (id == REPLY_AUTH_FAILED && ++s->auth_failures >= AUTH_FAILURES_MAX)
		id = REPLY_TOO_MANY_AUTH_FAILURES;
	session_answer(s, id);
	session_close_if_drained(s);
}

unsigned smtp_session_auth_failures(const struct smtp_session *s)
{
	return s->auth_failures;
}

void smtp_session_data_done(
	struct smtp_session *s, enum smtp_reply_id id, const char *detail)
{
	s->stopped = s->utf8 = false;
	s->state = GREETED;
	s->recipients = s->recipients_over = 0;
	if (smtp_reply(id)->code == 250)
		s->errors = s->idle_commands = 0;
	if (smtp_reply_is_quoted(id))
		say_uncounted(s, id, detail);
	else
		session_say(s, id, detail);
	session_close_if_drained(s);
}

void smtp_session_data_failed(struct smtp_session *s, enum smtp_reply_id id)
{
	if (s->body)
		session_refuse_body(s, id);
}

void smtp_session_end(struct smtp_session *s, enum smtp_reply_id id)
{
	session_answer(s, id);
	s->closed = true;
}

void smtp_session_drain(struct smtp_session *s)
{
	s->draining = true;
	session_close_if_drained(s);
}

/* ---- life ---- */

struct smtp_session *smtp_session_new(const struct conf_listener *listener,
	const char *hostname, const struct smtp_session_callbacks *callbacks,
	void *context)
{
	struct smtp_session *s = g_new0(struct smtp_session, 1);
	s->listener = listener;
	s->hostname = hostname;
	s->callbacks = callbacks;
	s->context = context;
	s->state = STARTED;
	s->line = g_string_new(NULL);
	s->output = g_string_sized_new(256);
	take_listeners_terms(s);
	return s;
}

void smtp_session_free(struct smtp_session **session)
{
	struct smtp_session *s = *session;
	if (!s)
		return;
	OPENSSL_cleanse(s->line->str, s->line->len);
	g_string_free(s->line, TRUE);
	g_string_free(s->output, TRUE);
	smtp_auth_clear(&s->auth);
	session_free_body(s);
	g_free(s->helo);
	g_free(s);
	*session = NULL;
}

void smtp_session_hide_extensions(struct smtp_session *s)
{
	s->hides = true;
}

void smtp_session_greet(struct smtp_session *s, bool tls, bool certified)
{
	s->tls = tls;
	s->certified = certified;
	session_say(s, REPLY_GREETING, s->hostname);
}

GString *smtp_session_output(struct smtp_session *s)
{
	return s->output;
}

bool smtp_session_is_closed(const struct smtp_session *s)
{
	return s->closed;
}

bool smtp_session_is_stopped(const struct smtp_session *s)
{
	return s->stopped;
}

bool smtp_session_in_data(const struct smtp_session *s)
{
	return s->body;
}

const char *smtp_session_helo(const struct smtp_session *s)
{
	return s->helo;
}

bool smtp_session_is_esmtp(const struct smtp_session *s)
{
	return s->esmtp;
}

bool smtp_session_is_utf8(const struct smtp_session *s)
{
	return s->utf8;
}
