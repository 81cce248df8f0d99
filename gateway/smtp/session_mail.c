/* MAIL, RCPT and their parameters; VRFY. Whose mail is taken the owner decides. */
#include "gateway/smtp/session_private.h"

#include "gateway/smtp/address.h"
#include "gateway/smtp/dsn_parameters.h"

/* Recipients refused for a while, in one transaction: lists send all they have. */
#define RECIPIENTS_OVER_MAX 1000

/* What MAIL or RCPT gives. */
struct given {
	struct smtp_mail mail;
	struct smtp_rcpt rcpt;
	char *kept; /* ENVID or ORCPT */
};

static enum smtp_reply_id take_size(
	struct smtp_session *s, struct slice value, struct given *given)
{
	if (!value.start || value.bytes > 20)
		return REPLY_SIZE_SYNTAX;
	for (size_t i = 0; i < value.bytes; i++) {
		if (!g_ascii_isdigit(value.start[i]))
			return REPLY_SIZE_SYNTAX;
	}
	char digits[21] = "";
	memcpy(digits, value.start, value.bytes);
	/* the largest number when beyond it */
	given->mail.size = g_ascii_strtoull(digits, NULL, 10);
	return given->mail.size > s->terms.max_message_size ? REPLY_TOO_BIG : REPLY_NONE;
}

static enum smtp_reply_id take_body(
	struct smtp_session *s, struct slice value, struct given *given)
{
	(void)s;
	given->mail.body_8bit = slice_is(value, "8BITMIME");
	return given->mail.body_8bit || slice_is(value, "7BIT") ? REPLY_NONE
								: REPLY_BODY_SYNTAX;
}

/* AUTH=<> or an address (RFC 4954, section 5): who claims what is logged by no one and
 * passed on to no one, so the form alone is checked. */
static enum smtp_reply_id take_auth_parameter(
	struct smtp_session *s, struct slice value, struct given *given)
{
	(void)given;
	if (s->listener->auth == CONF_AUTH_NONE && !s->certified)
		return REPLY_PARAMETER_UNKNOWN;
	return smtp_is_xtext(value) ? REPLY_NONE : REPLY_AUTH_PARAMETER_SYNTAX;
}

static enum smtp_reply_id take_utf8(
	struct smtp_session *s, struct slice value, struct given *given)
{
	if (!s->listener->smtputf8)
		return REPLY_PARAMETER_UNKNOWN;
	given->mail.smtputf8 = true;
	return value.start ? REPLY_PARAMETER_SYNTAX : REPLY_NONE;
}

static enum smtp_reply_id take_ret(
	struct smtp_session *s, struct slice value, struct given *given)
{
	(void)s;
	return smtp_dsn_ret(value, &given->mail.ret) ? REPLY_NONE : REPLY_DSN_SYNTAX;
}

static enum smtp_reply_id take_envid(
	struct smtp_session *s, struct slice value, struct given *given)
{
	(void)s;
	if (!smtp_dsn_envid(value))
		return REPLY_DSN_SYNTAX;
	given->mail.envid = given->kept = g_strndup(value.start, value.bytes);
	return REPLY_NONE;
}

static enum smtp_reply_id take_notify(
	struct smtp_session *s, struct slice value, struct given *given)
{
	(void)s;
	return smtp_dsn_notify(value, &given->rcpt.notify) ? REPLY_NONE
							   : REPLY_DSN_SYNTAX;
}

static enum smtp_reply_id take_orcpt(
	struct smtp_session *s, struct slice value, struct given *given)
{
	if (!smtp_dsn_orcpt(value, s->utf8))
		return REPLY_DSN_SYNTAX;
	given->rcpt.orcpt = given->kept = g_strndup(value.start, value.bytes);
	return REPLY_NONE;
}

struct parameter {
	const char *keyword;   /* NULL: the table's end */
	const char *extension; /* what it belongs to */
	enum smtp_reply_id (*take)(struct smtp_session *, struct slice, struct given *);
};
static const struct parameter mail_parameters[] = {
	{ "SIZE", "SIZE", take_size },
	{ "BODY", "8BITMIME", take_body },
	{ "AUTH", "AUTH", take_auth_parameter },
	{ "SMTPUTF8", "SMTPUTF8", take_utf8 },
	{ "RET", "DSN", take_ret },
	{ "ENVID", "DSN", take_envid },
	{ NULL, NULL, NULL },
};
static const struct parameter rcpt_parameters[] = {
	{ "NOTIFY", "DSN", take_notify },
	{ "ORCPT", "DSN", take_orcpt },
	{ NULL, NULL, NULL },
};

static enum smtp_reply_id take_parameter(struct smtp_session *s,
	const struct smtp_parameter *parameter, const struct parameter *known,
	struct given *given)
{
	for (; known->keyword; known++) {
		if (slice_is(parameter->keyword, known->keyword) &&
			!session_hides(s, known->extension))
			return known->take(s, parameter->value, given);
	}
	return REPLY_PARAMETER_UNKNOWN;
}

static enum smtp_reply_id take_parameters(struct smtp_session *s, struct slice text,
	const struct parameter *known, struct given *given)
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
		enum smtp_reply_id id = take_parameter(s, &parameters[i], known, given);
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
	struct slice colon = session_is_legacy(s) ? slice_trim(*args) : *args;
	if (!colon.bytes || *colon.start != ':')
		return false;
	if (colon.start != args->start)
		session_tell_quirk(s, QUIRK_SPACE_IN_COMMAND);
	*args = slice_from(colon, 1);
	return true;
}

/* The replies that MAIL and RCPT give to a bad path. */
struct path_replies {
	enum smtp_reply_id no_brackets, syntax, too_long;
};

static unsigned path_flags(const struct smtp_session *s)
{
	unsigned flags = session_offers(s, "SMTPUTF8") ? PATH_UTF8 : 0;
	if (s->terms.profile == CONF_PROFILE_STRICT)
		return flags;
	return flags | (session_is_legacy(s) ? PATH_LENIENT : PATH_SPACE);
}

static enum smtp_reply_id take_path(struct smtp_session *s, struct slice *args,
	unsigned flags, const struct path_replies *replies, char **address)
{
	struct smtp_path path;
	switch (smtp_path_parse(*args, flags | path_flags(s), &path)) {
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
	if (path.forgiven & FORGIVEN_BRACKETS)
		session_tell_quirk(s, QUIRK_NO_BRACKETS);
	if (path.forgiven & FORGIVEN_SPACE)
		session_tell_quirk(s, QUIRK_SPACE_IN_COMMAND);
	*address = path.address;
	*args = path.rest;
	return REPLY_NONE;
}

static bool has_domain(const char *address)
{
	const char *at = strrchr(address, '@');
	return at && !strchr(at, '"');
}

static enum smtp_reply_id open_transaction(
	struct smtp_session *s, const struct smtp_mail *mail)
{
	if (!mail->smtputf8 && !slice_is_ascii(slice_of(mail->reverse_path)))
		return REPLY_UTF8_NEEDED;
	s->utf8 = mail->smtputf8;
	enum smtp_reply_id id = s->callbacks->mail(s->context, mail);
	if (id == REPLY_MAIL_OK) {
		s->state = MAIL_GIVEN;
		return id;
	}
	s->utf8 = false;
	session_forget_command(s);
	return session_is_idle_flood(s) ? REPLY_TOO_MANY_ERRORS : id;
}

enum smtp_reply_id session_on_mail(struct smtp_session *s, struct slice args)
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
		*address && !has_domain(address)
			? g_strconcat(address, "@", s->hostname, NULL)
			: NULL;
	struct given given = { .mail.reverse_path = qualified ? qualified : address };
	id = take_parameters(s, args, mail_parameters, &given);
	if (id == REPLY_NONE)
		id = open_transaction(s, &given.mail);
	g_free(given.kept);
	return id;
}

/* Recipients that a client may try later cost it nothing, which must end somewhere. */
static enum smtp_reply_id put_off_recipient(struct smtp_session *s, enum smtp_reply_id id)
{
	return ++s->recipients_over > RECIPIENTS_OVER_MAX ? REPLY_TOO_MANY_ERRORS : id;
}

static enum smtp_reply_id add_recipient(
	struct smtp_session *s, const struct smtp_rcpt *rcpt)
{
	if (!s->utf8 && !slice_is_ascii(slice_of(rcpt->address)))
		return REPLY_UTF8_NEEDED;
	if (s->recipients >= s->terms.max_recipients)
		return put_off_recipient(s, REPLY_TOO_MANY_RECIPIENTS);
	enum smtp_reply_id id = s->callbacks->recipient(s->context, rcpt);
	if (id == REPLY_RCPT_OK) {
		s->recipients++;
		s->state = RCPT_GIVEN;
		return id;
	}
	session_forget_command(s);
	return smtp_reply(id)->code < 500 ? put_off_recipient(s, id) : id;
}

enum smtp_reply_id session_on_rcpt(struct smtp_session *s, struct slice args)
{
	static const struct path_replies replies = { REPLY_RCPT_SYNTAX,
		REPLY_RECIPIENT_SYNTAX, REPLY_RECIPIENT_TOO_LONG };
	g_autofree char *address = NULL;
	if (!take_keyword(s, &args, "TO"))
		return REPLY_RCPT_SYNTAX;
	enum smtp_reply_id id = take_path(s, &args, 0, &replies, &address);
	if (id != REPLY_NONE)
		return id;
	struct given given = { .rcpt.address = address };
	id = take_parameters(s, args, rcpt_parameters, &given);
	if (id == REPLY_NONE)
		id = add_recipient(s, &given.rcpt);
	g_free(given.kept);
	return id;
}

/* Nobody is looked for. With SMTPUTF8 the word may stand behind the name (RFC 6531,
 * section 3.7.4.2). */
enum smtp_reply_id session_on_vrfy(struct smtp_session *s, struct slice args)
{
	if (slice_is_ascii(args))
		return REPLY_CANNOT_VRFY;
	if (!session_offers(s, "SMTPUTF8"))
		return REPLY_NOT_ASCII;
	const char *space = memrchr(args.start, ' ', args.bytes);
	bool is_asked =
		space &&
		slice_is(slice_from(args, (size_t)(space + 1 - args.start)), "SMTPUTF8");
	if (!g_utf8_validate(args.start, (gssize)args.bytes, NULL))
		return REPLY_BAD_CHARACTER;
	return is_asked ? REPLY_CANNOT_VRFY : REPLY_UTF8_NEEDED;
}
