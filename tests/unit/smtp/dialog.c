/* Answers every question of a session as soon as the session has returned. */
#include "dialog.h"

#include <string.h>

static enum smtp_reply_id on_mail(void *context, const struct smtp_mail *mail)
{
	static const char *const rets[] = { "", " ret=full", " ret=hdrs" };
	struct dialog *d = context;
	g_string_append_printf(d->events, "mail <%s> %" G_GUINT64_FORMAT "%s%s%s%s%s|",
		mail->reverse_path, (guint64)mail->size, mail->body_8bit ? " 8bit" : "",
		mail->smtputf8 ? " utf8" : "", rets[mail->ret],
		mail->envid ? " envid=" : "", mail->envid ? mail->envid : "");
	g_assert(smtp_session_is_utf8(d->session) == mail->smtputf8);
	return d->mail != REPLY_NONE ? d->mail : REPLY_MAIL_OK;
}

static enum smtp_reply_id on_recipient(void *context, const struct smtp_rcpt *rcpt)
{
	struct dialog *d = context;
	if (g_str_has_prefix(rcpt->address, "no@"))
		return REPLY_NO_SUCH_RECIPIENT;
	if (g_str_has_prefix(rcpt->address, "later@"))
		return REPLY_CLIENT_TOO_FAST;
	g_string_append_printf(d->events, "rcpt <%s>", rcpt->address);
	if (rcpt->notify)
		g_string_append_printf(d->events, " notify=%u", rcpt->notify);
	if (rcpt->orcpt)
		g_string_append_printf(d->events, " orcpt=%s", rcpt->orcpt);
	g_string_append_c(d->events, '|');
	return REPLY_RCPT_OK;
}

static void on_reset(void *context)
{
	struct dialog *d = context;
	g_string_append(d->events, "reset|");
}

static enum smtp_reply_id on_data_begin(void *context)
{
	struct dialog *d = context;
	g_string_truncate(d->message, 0);
	return d->data_begin != REPLY_NONE ? d->data_begin : REPLY_START_DATA;
}

static size_t on_data_room(void *context)
{
	struct dialog *d = context;
	return d->room ? d->room : 65536;
}

static void on_data_bytes(void *context, const char *bytes, size_t n_bytes)
{
	struct dialog *d = context;
	g_assert(n_bytes <= on_data_room(context));
	g_string_append_len(d->message, bytes, (gssize)n_bytes);
}

static void on_data_drop(void *context, enum smtp_reply_id why)
{
	struct dialog *d = context;
	g_string_append_printf(d->events, "drop %u|", smtp_reply(why)->code);
}

static void on_data_end(void *context, bool has_8bit, const char *from)
{
	struct dialog *d = context;
	d->data_ended = true;
	g_string_append(d->events, has_8bit ? "data 8bit [" : "data [");
	g_string_append_len(d->events, d->message->str, (gssize)d->message->len);
	g_string_append(d->events, "]|");
	if (!from)
		g_string_append(d->events, "from too long|");
	else if (*from)
		g_string_append_printf(d->events, "from [%s]|", from);
}

static void ask_for_auth(struct dialog *d, const char *user, bool good)
{
	d->auth_asked = true;
	d->auth_good = good;
	d->too_many = !strcmp(user, "banned");
}

static void on_auth(void *context, const char *user, const char *password)
{
	struct dialog *d = context;
	ask_for_auth(d, user, !strcmp(user, "u") && password && !strcmp(password, "p"));
	g_string_append_printf(d->events, "auth %s|", user);
}

static void on_auth_external(void *context, const char *user)
{
	struct dialog *d = context;
	g_assert(d->certified);
	ask_for_auth(d, user, !*user || !strcmp(user, "u"));
	g_string_append_printf(d->events, "external %s|", user);
}

static void on_quirk(void *context, enum quirk quirk)
{
	struct dialog *d = context;
	g_string_append_printf(d->events, "!%s|", quirk_name(quirk));
}

static void on_starttls(void *context)
{
	struct dialog *d = context;
	d->starttls = true;
}

static void on_refused(void *context, enum smtp_reply_id id, const char *command)
{
	struct dialog *d = context;
	g_assert(smtp_reply(id)->code >= 400);
	if (command)
		g_string_append_printf(
			d->refusals, "%u %s|", smtp_reply(id)->code, command);
}

static const struct smtp_session_callbacks callbacks = {
	.mail = on_mail,
	.recipient = on_recipient,
	.reset = on_reset,
	.data_begin = on_data_begin,
	.data_room = on_data_room,
	.data_bytes = on_data_bytes,
	.data_drop = on_data_drop,
	.data_end = on_data_end,
	.auth = on_auth,
	.auth_external = on_auth_external,
	.starttls = on_starttls,
	.refused = on_refused,
	.quirk = on_quirk,
};

static bool take_output(struct dialog *d)
{
	GString *output = smtp_session_output(d->session);
	bool any = output->len;
	g_string_append_len(d->replies, output->str, (gssize)output->len);
	g_string_truncate(output, 0);
	return any;
}

static bool is_flag(bool *flag)
{
	bool was = *flag;
	*flag = false;
	return was;
}

static void answer_auth(struct dialog *d)
{
	if (d->auth_good && d->terms)
		smtp_session_set_terms(d->session, d->terms);
	smtp_session_auth_done(d->session, d->too_many    ? REPLY_TOO_MANY_AUTH_FAILURES
					   : d->auth_good ? REPLY_AUTH_OK
							  : REPLY_AUTH_FAILED);
}

/* What waits for an answer gets it. False: the dialogue is over. */
static bool give_answers(struct dialog *d, const char *text, size_t *at, size_t n_bytes)
{
	if (is_flag(&d->starttls)) {
		if (*at < n_bytes && text[(*at)++] != '\f')
			return false;
		smtp_session_tls_started(d->session, d->certified);
	}
	if (is_flag(&d->auth_asked))
		answer_auth(d);
	if (is_flag(&d->data_ended))
		smtp_session_data_done(d->session,
			d->data_done != REPLY_NONE ? d->data_done : REPLY_QUEUED, "ID");
	return true;
}

/* "5.7.1 " */
static bool has_enhanced_code(const char *text)
{
	size_t bytes = strspn(text, "0123456789.");
	return bytes >= 5 && text[1] == '.' && strchr("245", text[0]) &&
	       text[bytes] == ' ';
}

static void append_code(struct dialog *d, const char *line)
{
	g_string_append_len(d->codes, line, 3);
	if (has_enhanced_code(line + 4)) {
		g_string_append_c(d->codes, ' ');
		g_string_append_len(d->codes, line + 4, (gssize)strcspn(line + 4, " "));
	}
	g_string_append_c(d->codes, '|');
}

/* Every line of every reply must have its form (RFC 5321, section 4.2). */
static void sum_up(struct dialog *d)
{
	g_auto(GStrv) lines = g_strsplit(d->replies->str, "\r\n", -1);
	for (size_t i = 0; lines[i] && *lines[i]; i++) {
		const char *line = lines[i];
		g_assert(strlen(line) > 3 && strlen(line) <= 510 &&
			 strspn(line, "0123456789") == 3);
		g_assert(line[3] == ' ' || line[3] == '-');
		bool continues = i > 0 && lines[i - 1][3] == '-';
		g_assert(!continues || !strncmp(line, lines[i - 1], 3));
		if (!continues)
			append_code(d, line);
	}
}

void dialog_run(struct dialog *d, const struct conf_listener *listener, const char *text,
	size_t n_bytes, size_t piece)
{
	d->replies = g_string_new(NULL);
	d->codes = g_string_new(NULL);
	d->events = g_string_new(NULL);
	d->message = g_string_new(NULL);
	d->refusals = g_string_new(NULL);
	d->session = smtp_session_new(listener, "mx.example", &callbacks, d);
	if (d->hides)
		smtp_session_hide_extensions(d->session);
	bool tls = listener->tls == CONF_TLS_WRAPPER;
	smtp_session_greet(d->session, tls, tls && d->certified);
	for (size_t at = 0; at < n_bytes && !smtp_session_is_closed(d->session);) {
		size_t n = MIN(piece, n_bytes - at);
		g_autofree char *copy = g_memdup2(text + at, n);
		size_t taken = smtp_session_feed(d->session, copy, n);
		at += taken;
		if (d->drain_in_data && smtp_session_in_data(d->session))
			smtp_session_drain(d->session);
		bool said = take_output(d);
		if (!taken && !said && !smtp_session_is_stopped(d->session)) {
			d->stuck = true;
			break;
		}
		if (!give_answers(d, text, &at, n_bytes))
			break;
	}
	if (d->stall)
		smtp_session_stalled(d->session);
	take_output(d);
	sum_up(d);
}

void dialog_clear(struct dialog *d)
{
	smtp_session_free(&d->session);
	g_string_free(d->replies, TRUE);
	g_string_free(d->codes, TRUE);
	g_string_free(d->events, TRUE);
	g_string_free(d->message, TRUE);
	g_string_free(d->refusals, TRUE);
	d->replies = d->codes = d->events = d->message = d->refusals = NULL;
}
