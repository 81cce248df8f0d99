/* AUTH (RFC 4954): the exchange line by line. Who it is the owner finds out. */
#include "gateway/smtp/session_private.h"

static void tell_quirks(const struct smtp_session *s)
{
	if (!s->esmtp)
		session_tell_quirk(s, QUIRK_AUTH_AFTER_HELO);
	if (!s->tls && s->auth.password)
		session_tell_quirk(s, QUIRK_AUTH_IN_CLEAR);
}

static enum smtp_reply_id ask_owner(struct smtp_session *s)
{
	tell_quirks(s);
	s->stopped = true;
	if (s->auth.mechanism == AUTH_EXTERNAL)
		s->callbacks->auth_external(s->context, s->auth.user);
	else
		s->callbacks->auth(s->context, s->auth.user,
			s->auth.for_another ? NULL : s->auth.password);
	smtp_auth_clear(&s->auth);
	return REPLY_NONE;
}

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
	return ask_owner(s);
}

/* Behind the verb: "=" stands for an empty response (RFC 4954, section 4). */
static enum smtp_reply_id take_initial(struct smtp_session *s, struct slice initial)
{
	if (!initial.bytes)
		return REPLY_AUTH_CHALLENGE;
	return step_auth(s, slice_is(initial, "=") ? slice_of("") : initial);
}

/* REPLY_NONE: the mechanism may begin here. */
static enum smtp_reply_id check_mechanism(
	const struct smtp_session *s, struct slice mechanism)
{
	if (slice_is(mechanism, "EXTERNAL"))
		return s->certified ? REPLY_NONE : REPLY_AUTH_MECHANISM;
	if (s->listener->auth == CONF_AUTH_NONE)
		return REPLY_AUTH_MECHANISM;
	bool is_clear = !s->tls && !s->listener->auth_without_tls;
	return is_clear ? REPLY_AUTH_NEEDS_TLS : REPLY_NONE;
}

enum smtp_reply_id session_on_auth(struct smtp_session *s, struct slice args)
{
	if (s->listener->auth == CONF_AUTH_NONE && !s->certified)
		return REPLY_NOT_IMPLEMENTED;
	if (s->authenticated)
		return REPLY_AUTH_DONE;
	if (!s->esmtp && !session_is_legacy(s))
		return REPLY_NO_EHLO;
	struct slice initial, mechanism = slice_word(args, &initial);
	enum smtp_reply_id id = check_mechanism(s, mechanism);
	if (id != REPLY_NONE)
		return id;
	if (!smtp_auth_begin(&s->auth, mechanism))
		return REPLY_AUTH_MECHANISM;
	return take_initial(s, initial);
}

void session_run_auth_line(struct smtp_session *s, struct slice line, bool too_long)
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
	session_answer(s, id);
}
