/* The dialogue: a table of verbs, one function per verb. Parsing of addresses, data and
 * SASL is in their own files; sockets, time and policy are the owner's. */
#include "gateway/smtp/session.h"

#include "gateway/smtp/address.h"
#include "gateway/smtp/auth.h"
#include "gateway/smtp/data.h"
#include "gateway/smtp/received.h"

#include <openssl/crypto.h>

/* RFC 5321 section 4.5.3.1.4 and the additions of SIZE, BODY, AUTH= (4954) and DSN
 * (3461). */
#define LINE_BYTES_MAX      512
#define PATH_LINE_BYTES_MAX 2048
#define AUTH_LINE_BYTES_MAX 12288 /* RFC 4954, section 4 */

#define ERRORS_MAX        20  /* without a message between them */
#define IDLE_COMMANDS_MAX 100 /* NOOP, RSET and the like without a message */
#define AUTH_FAILURES_MAX 5
/* Recipients refused for their number, in one transaction: lists send all they have. */
#define RECIPIENTS_OVER_MAX    1000
#define COMMAND_TOLD_BYTES_MAX 200

enum smtp_state {
	STARTED = 1,
	GREETED = 2,
	MAIL_GIVEN = 4,
	RCPT_GIVEN = 8,
	ANY_STATE = STARTED | GREETED | MAIL_GIVEN | RCPT_GIVEN,
};

/* What exists during DATA only. */
struct body {
	struct smtp_data decoder;
	struct smtp_trace trace;
	uint64_t bytes;
	bool has_8bit;
	enum smtp_reply_id refusal;
};

struct smtp_session {
	const struct conf_listener *listener;
	const char *hostname;
	const struct smtp_session_callbacks *callbacks;
	void *context;
	enum smtp_state state;
	bool tls, authenticated, esmtp, stopped, closed, draining;
	unsigned errors, idle_commands, auth_failures, recipients, recipients_over;
	struct slice command; /* at hand; start NULL: none, or the owner knows all */
	const struct smtp_verb *verb; /* its verb; NULL: none, or not known */
	GString *line, *output;
	size_t line_bytes;   /* of the partial line, of which line holds the beginning */
	bool line_is_broken; /* a bare LF was in it */
	bool line_ends_cr, line_ends_lf;
	char *helo;
	struct smtp_auth auth;
	struct body *body;
};

enum verb_flags {
	NO_ARGS = 1,
	NEEDS_ARGS = 2,
	BEFORE_TLS =
		4, /* also where TLS is required and not there (RFC 3207, section 4) */
	NEEDS_AUTH = 8,  /* where the listener requires it */
	TAKES_8BIT = 16, /* the function refuses it with a better word */
	IDLE = 32,       /* carries no mail nearer: a flood of them is an error */
	TOLD_WHOLE = 64, /* its arguments are addresses or names: the log may have them */
};

struct smtp_verb {
	const char *name;
	unsigned states; /* where it may arrive; elsewhere 503 */
	unsigned flags;
	enum smtp_reply_id (*run)(struct smtp_session *, struct slice args);
};

static bool is_legacy(const struct smtp_session *s)
{
	return s->listener->profile == CONF_PROFILE_LEGACY;
}

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

static void say(struct smtp_session *s, enum smtp_reply_id id, const char *detail)
{
	if (id == REPLY_NONE || s->closed)
		return;
	if (smtp_reply(id)->code >= 500 && ++s->errors > ERRORS_MAX)
		id = REPLY_TOO_MANY_ERRORS;
	if (smtp_reply(id)->code >= 400)
		tell_refusal(s, id);
	if (smtp_reply(id)->code == 421)
		detail = s->hostname;
	smtp_reply_append(s->output, id, detail);
	s->closed = smtp_reply_closes(id);
}

/* A reply to a command, with what its text wants to know. */
static void answer(struct smtp_session *s, enum smtp_reply_id id)
{
	if (id == REPLY_AUTH_CHALLENGE)
		say(s, id, smtp_auth_challenge(&s->auth));
	else
		say(s, id, s->hostname);
}

static enum smtp_reply_id bad_sequence(
	const struct smtp_session *s, const struct smtp_verb *verb)
{
	if (s->state == STARTED)
		return REPLY_NO_EHLO;
	if (s->state == GREETED)
		return REPLY_NO_MAIL;
	return verb->states & RCPT_GIVEN ? REPLY_NO_RECIPIENT : REPLY_IN_TRANSACTION;
}

/* Between messages, with nobody working for it. */
static bool is_idle(const struct smtp_session *s)
{
	return !s->stopped && !s->body && s->auth.mechanism == AUTH_IDLE &&
	       s->state & (STARTED | GREETED);
}

static void close_if_drained(struct smtp_session *s)
{
	if (s->draining && is_idle(s))
		say(s, REPLY_SHUTDOWN, NULL);
}

static void end_transaction(struct smtp_session *s)
{
	if (s->state & (MAIL_GIVEN | RCPT_GIVEN)) {
		s->state = GREETED;
		s->callbacks->reset(s->context);
	}
	s->recipients = s->recipients_over = 0;
}

/* ---- greeting ---- */

static bool offers_tls(const struct smtp_session *s)
{
	return !s->tls && (s->listener->tls == CONF_TLS_STARTTLS ||
				  s->listener->tls == CONF_TLS_REQUIRED);
}

static bool offers_auth(const struct smtp_session *s)
{
	return s->listener->auth != CONF_AUTH_NONE && !s->authenticated &&
	       (s->tls || s->listener->auth_without_tls);
}

/* Known clients are taken at their word, whatever the word: many a device has no name. */
static bool helo_will_do(const struct smtp_session *s, struct slice args)
{
	switch (s->listener->profile) {
	case CONF_PROFILE_LEGACY:
		return true;
	case CONF_PROFILE_STANDARD:
		return args.bytes > 0;
	case CONF_PROFILE_STRICT:
		break;
	}
	return smtp_is_domain(args);
}

static bool take_helo(struct smtp_session *s, struct slice args)
{
	if (!helo_will_do(s, args))
		return false;
	end_transaction(s);
	g_free(s->helo);
	s->helo = g_strndup(args.start, MIN(args.bytes, 255));
	for (char *c = s->helo; *c; c++)
		*c = *c > 31 && *c < 127 ? *c : '?';
	s->state = GREETED;
	return true;
}

static enum smtp_reply_id on_helo(struct smtp_session *s, struct slice args)
{
	if (!take_helo(s, args))
		return REPLY_HELO_SYNTAX;
	s->esmtp = false;
	return REPLY_HELO_OK;
}

static enum smtp_reply_id on_ehlo(struct smtp_session *s, struct slice args)
{
	if (!take_helo(s, args))
		return REPLY_HELO_SYNTAX;
	s->esmtp = true;
	g_string_append_printf(s->output,
		"250-%s\r\n"
		"250-PIPELINING\r\n"
		"250-SIZE %" G_GUINT64_FORMAT "\r\n"
		"250-8BITMIME\r\n",
		s->hostname, (guint64)s->listener->max_message_size);
	if (offers_tls(s))
		g_string_append(s->output, "250-STARTTLS\r\n");
	if (offers_auth(s)) {
		g_string_append(s->output, "250-AUTH " SMTP_AUTH_MECHANISMS "\r\n");
		if (is_legacy(s)) /* as drafts of RFC 2554 had it */
			g_string_append(
				s->output, "250-AUTH=" SMTP_AUTH_MECHANISMS "\r\n");
	}
	g_string_append_printf(s->output,
		"250-LIMITS RCPTMAX=%u\r\n"
		"250 ENHANCEDSTATUSCODES\r\n",
		s->listener->max_recipients);
	return REPLY_NONE;
}

static enum smtp_reply_id on_starttls(struct smtp_session *s, struct slice args)
{
	(void)args;
	if (s->tls)
		return REPLY_TLS_ACTIVE;
	if (!offers_tls(s))
		return REPLY_NOT_IMPLEMENTED;
	s->stopped = true;
	s->callbacks->starttls(s->context);
	return REPLY_START_TLS;
}

/* ---- AUTH ---- */

/* One step of the exchange. */
static enum smtp_reply_id step_auth(struct smtp_session *s, struct slice base64)
{
	switch (smtp_auth_respond(&s->auth, base64)) {
	case AUTH_STEP_MORE:
		return REPLY_AUTH_CHALLENGE;
	case AUTH_STEP_MALFORMED:
		smtp_auth_clear(&s->auth);
		return REPLY_AUTH_SYNTAX;
	case AUTH_STEP_COMPLETE:
		break;
	}
	s->stopped = true;
	s->callbacks->auth(
		s->context, s->auth.user, s->auth.for_another ? NULL : s->auth.password);
	smtp_auth_clear(&s->auth);
	return REPLY_NONE;
}

static enum smtp_reply_id on_auth(struct smtp_session *s, struct slice args)
{
	if (s->listener->auth == CONF_AUTH_NONE)
		return REPLY_NOT_IMPLEMENTED;
	if (s->authenticated)
		return REPLY_AUTH_DONE;
	if (!s->esmtp && !is_legacy(s))
		return REPLY_NO_EHLO;
	if (!offers_auth(s))
		return REPLY_AUTH_NEEDS_TLS;
	struct slice initial;
	if (!smtp_auth_begin(&s->auth, slice_word(args, &initial)))
		return REPLY_AUTH_MECHANISM;
	return initial.bytes ? step_auth(s, initial) : REPLY_AUTH_CHALLENGE;
}

static void run_auth_line(struct smtp_session *s, struct slice line, bool too_long)
{
	enum smtp_reply_id id = REPLY_AUTH_TOO_LONG;
	if (too_long) {
		smtp_auth_clear(&s->auth);
	} else if (slice_is(line, "*")) {
		smtp_auth_clear(&s->auth);
		id = REPLY_AUTH_CANCELLED;
	} else {
		id = step_auth(s, line);
	}
	answer(s, id);
}

/* ---- MAIL and RCPT ---- */

static enum smtp_reply_id take_size(
	struct smtp_session *s, struct slice value, struct smtp_mail *mail)
{
	if (!value.start || value.bytes > 20)
		return REPLY_SIZE_SYNTAX;
	for (size_t i = 0; i < value.bytes; i++) {
		if (!g_ascii_isdigit(value.start[i]))
			return REPLY_SIZE_SYNTAX;
	}
	char digits[21] = "";
	memcpy(digits, value.start, value.bytes);
	mail->size = g_ascii_strtoull(
		digits, NULL, 10); /* the largest number when beyond it */
	return mail->size > s->listener->max_message_size ? REPLY_TOO_BIG : REPLY_NONE;
}

static enum smtp_reply_id take_body(
	struct smtp_session *s, struct slice value, struct smtp_mail *mail)
{
	(void)s;
	mail->body_8bit = slice_is(value, "8BITMIME");
	return mail->body_8bit || slice_is(value, "7BIT") ? REPLY_NONE
							  : REPLY_BODY_SYNTAX;
}

/* AUTH=<> or an address (RFC 4954, section 5): who claims what is logged by no one and
 * passed on to no one, so the form alone is checked. */
static enum smtp_reply_id take_auth_parameter(
	struct smtp_session *s, struct slice value, struct smtp_mail *mail)
{
	(void)mail;
	if (s->listener->auth == CONF_AUTH_NONE)
		return REPLY_PARAMETER_UNKNOWN;
	return value.bytes ? REPLY_NONE : REPLY_AUTH_PARAMETER_SYNTAX;
}

static const struct mail_parameter {
	const char *keyword;
	enum smtp_reply_id (*take)(
		struct smtp_session *, struct slice, struct smtp_mail *);
} mail_parameters[] = {
	{ "SIZE", take_size },
	{ "BODY", take_body },
	{ "AUTH", take_auth_parameter },
};

static enum smtp_reply_id take_parameter(struct smtp_session *s,
	const struct smtp_parameter *given, struct smtp_mail *mail)
{
	for (size_t i = 0; mail && i < G_N_ELEMENTS(mail_parameters); i++) {
		if (slice_is(given->keyword, mail_parameters[i].keyword))
			return mail_parameters[i].take(s, given->value, mail);
	}
	return REPLY_PARAMETER_UNKNOWN;
}

/* mail NULL: RCPT, which has no parameters here. */
static enum smtp_reply_id take_parameters(
	struct smtp_session *s, struct slice text, struct smtp_mail *mail)
{
	struct smtp_parameter parameters[SMTP_PARAMETERS_MAX];
	size_t n;
	switch (smtp_parameters_parse(text, parameters, &n)) {
	case PARAMETERS_SYNTAX:
		return REPLY_PARAMETER_SYNTAX;
	case PARAMETERS_DUPLICATE:
		return REPLY_PARAMETER_DUPLICATE;
	case PARAMETERS_OK:
		break;
	}
	for (size_t i = 0; i < n; i++) {
		enum smtp_reply_id id = take_parameter(s, &parameters[i], mail);
		if (id != REPLY_NONE)
			return id;
	}
	return REPLY_NONE;
}

/* The keyword FROM or TO and its colon. Spaces round the colon are a device's habit that
 * the RFC forbids (section 3.3). */
static bool take_keyword(struct smtp_session *s, struct slice *args, const char *keyword)
{
	if (!slice_begins(*args, keyword))
		return false;
	*args = slice_from(*args, strlen(keyword));
	if (is_legacy(s))
		*args = slice_trim(*args);
	if (!args->bytes || *args->start != ':')
		return false;
	*args = slice_from(*args, 1);
	return true;
}

/* The replies that MAIL and RCPT give to a bad path. */
struct path_replies {
	enum smtp_reply_id no_brackets, syntax, too_long;
};

static enum smtp_reply_id take_path(struct smtp_session *s, struct slice *args,
	unsigned flags, const struct path_replies *replies, char **address)
{
	struct slice rest;
	if (s->listener->profile != CONF_PROFILE_STRICT)
		flags |= is_legacy(s) ? PATH_LENIENT : PATH_SPACE;
	switch (smtp_path_parse(*args, flags, address, &rest)) {
	case PATH_NO_BRACKETS:
		return replies->no_brackets;
	case PATH_SYNTAX:
		return replies->syntax;
	case PATH_TOO_LONG:
		return replies->too_long;
	case PATH_NOT_ASCII:
		return REPLY_NOT_ASCII;
	case PATH_OK:
		break;
	}
	*args = rest;
	return REPLY_NONE;
}

/* The owner has refused it, and has said so where it says such things. */
static void forget_command(struct smtp_session *s)
{
	s->command.start = NULL;
}

static enum smtp_reply_id on_mail(struct smtp_session *s, struct slice args)
{
	static const struct path_replies replies = { REPLY_MAIL_SYNTAX,
		REPLY_SENDER_SYNTAX, REPLY_SENDER_TOO_LONG };
	g_autofree char *address = NULL;
	if (!take_keyword(s, &args, "FROM"))
		return REPLY_MAIL_SYNTAX;
	enum smtp_reply_id id = take_path(s, &args, PATH_REVERSE, &replies, &address);
	if (id != REPLY_NONE)
		return id;
	g_autofree char *qualified =
		*address && !strchr(address, '@')
			? g_strconcat(address, "@", s->hostname, NULL)
			: NULL;
	struct smtp_mail mail = { .reverse_path = qualified ? qualified : address };
	id = take_parameters(s, args, &mail);
	if (id != REPLY_NONE)
		return id;
	id = s->callbacks->mail(s->context, &mail);
	if (id == REPLY_MAIL_OK) {
		s->state = MAIL_GIVEN;
		return id;
	}
	forget_command(s);
	return ++s->idle_commands > IDLE_COMMANDS_MAX ? REPLY_TOO_MANY_ERRORS : id;
}

static enum smtp_reply_id on_rcpt(struct smtp_session *s, struct slice args)
{
	static const struct path_replies replies = { REPLY_RCPT_SYNTAX,
		REPLY_RECIPIENT_SYNTAX, REPLY_RECIPIENT_TOO_LONG };
	g_autofree char *address = NULL;
	if (!take_keyword(s, &args, "TO"))
		return REPLY_RCPT_SYNTAX;
	enum smtp_reply_id id = take_path(s, &args, 0, &replies, &address);
	if (id == REPLY_NONE)
		id = take_parameters(s, args, NULL);
	if (id != REPLY_NONE)
		return id;
	if (s->recipients >= s->listener->max_recipients)
		return ++s->recipients_over > RECIPIENTS_OVER_MAX
			       ? REPLY_TOO_MANY_ERRORS
			       : REPLY_TOO_MANY_RECIPIENTS;
	id = s->callbacks->recipient(s->context, address);
	if (id == REPLY_RCPT_OK) {
		s->recipients++;
		s->state = RCPT_GIVEN;
	} else {
		forget_command(s);
	}
	return id;
}

/* ---- DATA ---- */

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

static void refuse_body(struct smtp_session *s, enum smtp_reply_id id)
{
	if (s->body->refusal == REPLY_NONE) {
		s->body->refusal = id;
		s->callbacks->data_drop(s->context, id);
	}
}

static void take_decoded(void *context, const char *bytes, size_t n_bytes)
{
	struct smtp_session *s = context;
	struct body *body = s->body;
	body->bytes += n_bytes;
	if (body->bytes > s->listener->max_message_size)
		refuse_body(s, REPLY_TOO_BIG);
	if (body->refusal != REPLY_NONE)
		return;
	if (body->trace.in_header)
		smtp_trace_feed(&body->trace, bytes, n_bytes);
	if (!body->has_8bit)
		body->has_8bit = has_8bit(bytes, n_bytes);
	s->callbacks->data_bytes(s->context, bytes, n_bytes);
}

static enum smtp_reply_id on_data(struct smtp_session *s, struct slice args)
{
	(void)args;
	enum smtp_reply_id id = s->callbacks->data_begin(s->context);
	if (id != REPLY_START_DATA)
		return id;
	s->body = g_new(struct body, 1);
	s->body->bytes = 0;
	s->body->has_8bit = false;
	s->body->refusal = REPLY_NONE;
	smtp_data_init(&s->body->decoder,
		s->listener->profile == CONF_PROFILE_STRICT ? DATA_REFUSE
							    : DATA_NORMALISE,
		take_decoded, s);
	smtp_trace_init(&s->body->trace, s->hostname);
	return id;
}

/* The final dot: the message is the owner's now, or refused. */
static void end_body(struct smtp_session *s)
{
	const struct smtp_data *decoder = &s->body->decoder;
	if (decoder->bare == DATA_REFUSE && decoder->bare_cr + decoder->bare_lf)
		refuse_body(s, REPLY_BARE_LINE_ENDS);
	else if (smtp_trace_is_loop(&s->body->trace))
		refuse_body(s, REPLY_TOO_MANY_HOPS);
	enum smtp_reply_id refusal = s->body->refusal;
	bool is_8bit = s->body->has_8bit;
	g_clear_pointer(&s->body, g_free);
	if (refusal != REPLY_NONE) {
		end_transaction(s);
		answer(s, refusal);
		close_if_drained(s);
		return;
	}
	s->stopped = true;
	s->callbacks->data_end(s->context, is_8bit);
}

static size_t take_data(struct smtp_session *s, const char *bytes, size_t n_bytes)
{
	if (s->body->refusal == REPLY_NONE) {
		size_t room = s->callbacks->data_room(s->context);
		n_bytes = MIN(n_bytes, room > 2 ? (room - 2) / 2 : 0);
	}
	size_t taken = smtp_data_decode(&s->body->decoder, bytes, n_bytes);
	if (s->body->decoder.state == DATA_ENDED)
		end_body(s);
	return taken;
}

/* ---- the rest ---- */

static enum smtp_reply_id on_rset(struct smtp_session *s, struct slice args)
{
	(void)args;
	end_transaction(s);
	return REPLY_OK;
}

static enum smtp_reply_id on_noop(struct smtp_session *s, struct slice args)
{
	(void)s, (void)args;
	return REPLY_OK;
}

static enum smtp_reply_id on_vrfy(struct smtp_session *s, struct slice args)
{
	(void)s, (void)args;
	return REPLY_CANNOT_VRFY;
}

static enum smtp_reply_id on_help(struct smtp_session *s, struct slice args)
{
	(void)s, (void)args;
	return REPLY_HELP;
}

static enum smtp_reply_id on_quit(struct smtp_session *s, struct slice args)
{
	(void)args;
	end_transaction(s);
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
	{ "EHLO", ANY_STATE, BEFORE_TLS | TAKES_8BIT | IDLE | TOLD_WHOLE, on_ehlo },
	{ "HELO", ANY_STATE, BEFORE_TLS | TAKES_8BIT | IDLE | TOLD_WHOLE, on_helo },
	{ "STARTTLS", GREETED, BEFORE_TLS | NO_ARGS, on_starttls },
	{ "AUTH", GREETED, NEEDS_ARGS, on_auth },
	{ "MAIL", GREETED, NEEDS_AUTH | TAKES_8BIT | TOLD_WHOLE, on_mail },
	{ "RCPT", MAIL_GIVEN | RCPT_GIVEN, NEEDS_AUTH | TAKES_8BIT | TOLD_WHOLE,
		on_rcpt },
	{ "DATA", RCPT_GIVEN, NEEDS_AUTH | NO_ARGS, on_data },
	{ "RSET", ANY_STATE, NO_ARGS | IDLE, on_rset },
	{ "NOOP", ANY_STATE, BEFORE_TLS | IDLE, on_noop },
	{ "QUIT", ANY_STATE, BEFORE_TLS | NO_ARGS, on_quit },
	{ "VRFY", ANY_STATE, NEEDS_ARGS | IDLE, on_vrfy },
	{ "HELP", ANY_STATE, IDLE, on_help },
	{ "EXPN", ANY_STATE, 0, on_unimplemented },
	{ "BDAT", ANY_STATE, 0, on_unimplemented },
	{ "ETRN", ANY_STATE, 0, on_unimplemented },
	{ "TURN", ANY_STATE, 0, on_unimplemented },
	{ "SEND", ANY_STATE, 0, on_unimplemented },
	{ "SOML", ANY_STATE, 0, on_unimplemented },
	{ "SAML", ANY_STATE, 0, on_unimplemented },
	{ "GET", ANY_STATE, BEFORE_TLS, on_http },
	{ "POST", ANY_STATE, BEFORE_TLS, on_http },
	{ "CONNECT", ANY_STATE, BEFORE_TLS, on_http },
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

static bool is_idle_flood(struct smtp_session *s, const struct smtp_verb *verb)
{
	return verb->flags & IDLE && ++s->idle_commands > IDLE_COMMANDS_MAX;
}

/* Every column of the table, once for all verbs. REPLY_NONE: the verb may run. */
static enum smtp_reply_id check_verb(
	struct smtp_session *s, const struct smtp_verb *verb, struct slice args)
{
	if (!(verb->flags & TAKES_8BIT) && !slice_is_ascii(args))
		return REPLY_BAD_CHARACTER;
	if (!(verb->flags & BEFORE_TLS) && s->listener->tls == CONF_TLS_REQUIRED &&
		!s->tls)
		return REPLY_TLS_NEEDED;
	if (!(verb->states & s->state))
		return bad_sequence(s, verb);
	if (verb->flags & NEEDS_AUTH && s->listener->auth == CONF_AUTH_REQUIRED &&
		!s->authenticated)
		return REPLY_AUTH_NEEDED;
	if (verb->flags & NO_ARGS && args.bytes)
		return REPLY_NO_ARGUMENTS;
	if (verb->flags & NEEDS_ARGS && !args.bytes)
		return REPLY_NEEDS_ARGUMENT;
	if (is_idle_flood(s, verb))
		return REPLY_TOO_MANY_ERRORS;
	return REPLY_NONE;
}

static void run_command(struct smtp_session *s, struct slice line)
{
	struct slice args;
	const struct smtp_verb *verb = find_verb(slice_word(line, &args));
	enum smtp_reply_id id = REPLY_UNKNOWN_COMMAND;
	s->command = line;
	s->verb = verb;
	if (has_control(line))
		id = REPLY_BAD_CHARACTER;
	else if (verb)
		id = check_verb(s, verb, args);
	if (verb && id == REPLY_NONE)
		id = verb->run(s, args);
	answer(s, id);
}

/* ---- lines ---- */

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
	if (line.bytes && line.start[line.bytes - 1] == '\n')
		line.bytes--;
	if (line.bytes && line.start[line.bytes - 1] == '\r')
		line.bytes--;
	while (is_legacy(s) && line.bytes && line.start[line.bytes - 1] == '\r')
		line.bytes--;
	return is_legacy(s) ? slice_trim(line) : slice_trim_end(line);
}

static enum smtp_reply_id refusal_of_length(struct slice line)
{
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
		answer(s, REPLY_BARE_LINE_FEED);
	} else if (s->auth.mechanism != AUTH_IDLE) {
		run_auth_line(s, slice_trim(chomp(s, line)), too_long);
	} else if (too_long) {
		answer(s, refusal_of_length(line));
	} else {
		run_command(s, chomp(s, line));
	}
	s->line_is_broken = false;
	s->command.start = NULL;
	close_if_drained(s);
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

/* Takes bytes up to the next LF. */
static size_t take_line(struct smtp_session *s, const char *bytes, size_t n_bytes)
{
	const char *lf = memchr(bytes, '\n', n_bytes);
	size_t taken = lf ? (size_t)(lf - bytes) + 1 : n_bytes;
	bool ends = lf && (is_legacy(s) || (lf > bytes && lf[-1] == '\r') ||
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
		size_t step = s->body ? take_data(s, bytes + taken, n_bytes - taken)
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

void smtp_session_tls_started(struct smtp_session *s)
{
	s->tls = true;
	s->stopped = s->authenticated = s->esmtp = false;
	s->state = STARTED;
	g_clear_pointer(&s->helo, g_free);
}

void smtp_session_auth_done(struct smtp_session *s, enum smtp_reply_id id)
{
	s->stopped = false;
	s->authenticated = id == REPLY_AUTH_OK;
	if (id == REPLY_AUTH_FAILED && ++s->auth_failures >= AUTH_FAILURES_MAX)
		id = REPLY_TOO_MANY_AUTH_FAILURES;
	answer(s, id);
	close_if_drained(s);
}

unsigned smtp_session_auth_failures(const struct smtp_session *s)
{
	return s->auth_failures;
}

void smtp_session_data_done(
	struct smtp_session *s, enum smtp_reply_id id, const char *detail)
{
	s->stopped = false;
	s->state = GREETED;
	s->recipients = s->recipients_over = 0;
	if (id == REPLY_QUEUED)
		s->errors = s->idle_commands = 0;
	say(s, id, detail);
	close_if_drained(s);
}

void smtp_session_data_failed(struct smtp_session *s, enum smtp_reply_id id)
{
	if (s->body)
		refuse_body(s, id);
}

void smtp_session_end(struct smtp_session *s, enum smtp_reply_id id)
{
	say(s, id, NULL);
}

void smtp_session_drain(struct smtp_session *s)
{
	s->draining = true;
	close_if_drained(s);
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
	g_free(s->helo);
	g_free(s->body);
	g_free(s);
	*session = NULL;
}

void smtp_session_greet(struct smtp_session *s, bool tls)
{
	s->tls = tls;
	say(s, REPLY_GREETING, s->hostname);
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
