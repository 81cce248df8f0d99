/* HELO, EHLO and what it offers, STARTTLS. */
#include "gateway/smtp/session_private.h"

#include "gateway/smtp/address.h"

#define HELO_BYTES_MAX 255

static bool always(const struct smtp_session *s)
{
	(void)s;
	return true;
}

static bool offers_tls(const struct smtp_session *s)
{
	return !s->tls && (s->listener->tls == CONF_TLS_STARTTLS ||
				  s->listener->tls == CONF_TLS_REQUIRED);
}

static bool offers_passwords(const struct smtp_session *s)
{
	return s->listener->auth != CONF_AUTH_NONE &&
	       (s->tls || s->listener->auth_without_tls);
}

static bool offers_auth(const struct smtp_session *s)
{
	return !s->authenticated && (offers_passwords(s) || s->certified);
}

static bool offers_utf8(const struct smtp_session *s)
{
	return s->listener->smtputf8;
}

static void print_size(const struct smtp_session *s, GString *out)
{
	g_string_append_printf(
		out, " %" G_GUINT64_FORMAT, (guint64)s->terms.max_message_size);
}

static void print_limits(const struct smtp_session *s, GString *out)
{
	g_string_append_printf(out, " RCPTMAX=%u", s->terms.max_recipients);
}

static void print_mechanisms(const struct smtp_session *s, GString *out)
{
	size_t start = out->len;
	if (offers_passwords(s))
		g_string_append(out, " " SMTP_AUTH_PASSWORD_MECHANISMS);
	if (s->certified)
		g_string_append(out, " EXTERNAL");
	if (!session_is_legacy(s))
		return;
	/* a second time, as drafts of RFC 2554 had it */
	g_autofree char *mechanisms = g_strdup(out->str + start + 1);
	g_string_append_printf(out, "\r\n250-AUTH=%s", mechanisms);
}

static const struct extension {
	const char *name;
	bool (*is_offered)(const struct smtp_session *);
	void (*print)(const struct smtp_session *, GString *); /* NULL: the name is all */
} extensions[] = {
	{ "PIPELINING", always, NULL },            /* RFC 2920 */
	{ "SIZE", always, print_size },            /* RFC 1870 */
	{ "8BITMIME", always, NULL },              /* RFC 6152 */
	{ "STARTTLS", offers_tls, NULL },          /* RFC 3207 */
	{ "AUTH", offers_auth, print_mechanisms }, /* RFC 4954 */
	{ "CHUNKING", always, NULL },              /* RFC 3030 */
	{ "DSN", always, NULL },                   /* RFC 3461 */
	{ "SMTPUTF8", offers_utf8, NULL },         /* RFC 6531 */
	{ "LIMITS", always, print_limits },        /* RFC 9422 */
	{ "ENHANCEDSTATUSCODES", always, NULL },   /* RFC 2034 */
};

bool session_hides(const struct smtp_session *s, const char *extension)
{
	const char *const *hidden = s->hides ? s->listener->hide_extensions : NULL;
	for (; hidden && *hidden; hidden++) {
		if (!g_ascii_strcasecmp(*hidden, extension))
			return true;
	}
	return false;
}

bool session_offers(const struct smtp_session *s, const char *extension)
{
	for (size_t i = 0; i < G_N_ELEMENTS(extensions); i++) {
		if (!strcmp(extensions[i].name, extension))
			return extensions[i].is_offered(s) &&
			       !session_hides(s, extension);
	}
	g_assert_not_reached();
}

/* Known clients are taken at their word, whatever the word: many a device has no name. */
static bool helo_will_do(const struct smtp_session *s, struct slice args)
{
	if (smtp_is_domain(args))
		return true;
	bool is_fine = session_is_legacy(s) ||
		       (s->terms.profile == CONF_PROFILE_STANDARD && args.bytes);
	if (is_fine)
		session_tell_quirk(s, args.bytes ? QUIRK_HELO_SYNTAX : QUIRK_HELO_EMPTY);
	return is_fine;
}

static bool take_helo(struct smtp_session *s, struct slice args)
{
	if (!helo_will_do(s, args))
		return false;
	session_end_transaction(s);
	g_free(s->helo);
	s->helo = g_strndup(args.start, MIN(args.bytes, HELO_BYTES_MAX));
	for (char *c = s->helo; *c; c++)
		*c = *c > 31 && *c < 127 ? *c : '?';
	s->state = GREETED;
	return true;
}

enum smtp_reply_id session_on_helo(struct smtp_session *s, struct slice args)
{
	if (!take_helo(s, args))
		return REPLY_HELO_SYNTAX;
	s->esmtp = false;
	return REPLY_HELO_OK;
}

/* Of the lines from start on, the last is not to announce another. */
static void end_last_line(GString *out, size_t start)
{
	const char *lf = memrchr(out->str + start, '\n', out->len - start - 1);
	size_t last = lf ? (size_t)(lf - out->str) + 1 : start;
	out->str[last + 3] = ' ';
}

enum smtp_reply_id session_on_ehlo(struct smtp_session *s, struct slice args)
{
	if (!take_helo(s, args))
		return REPLY_HELO_SYNTAX;
	s->esmtp = true;
	size_t start = s->output->len;
	g_string_append_printf(s->output, "250-%s\r\n", s->hostname);
	for (size_t i = 0; i < G_N_ELEMENTS(extensions); i++) {
		const struct extension *extension = &extensions[i];
		if (!session_offers(s, extension->name))
			continue;
		g_string_append_printf(s->output, "250-%s", extension->name);
		if (extension->print)
			extension->print(s, s->output);
		g_string_append(s->output, "\r\n");
	}
	end_last_line(s->output, start);
	return REPLY_NONE;
}

enum smtp_reply_id session_on_starttls(struct smtp_session *s, struct slice args)
{
	(void)args;
	if (s->tls)
		return REPLY_TLS_ACTIVE;
	if (!session_offers(s, "STARTTLS"))
		return REPLY_NOT_IMPLEMENTED;
	s->stopped = true;
	s->callbacks->starttls(s->context);
	return REPLY_START_TLS;
}
