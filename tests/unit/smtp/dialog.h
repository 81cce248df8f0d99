/*
 * dialog - a session driven by a text: the owner that tests and fuzzers share.
 *
 * In the text, '\f' behind STARTTLS stands for the handshake; any other byte there is one
 * that came in the clear, and ends the dialogue as a connection does.
 */
#ifndef TESTS_UNIT_SMTP_DIALOG_H
#define TESTS_UNIT_SMTP_DIALOG_H

#include "gateway/smtp/session.h"

struct dialog {
	GString *replies; /* all that was said */
	GString *codes;   /* "250 2.1.0|" and so on; of many lines the first */
	GString *
		events; /* what the session asked its owner for; "!" and a quirk's name */
	GString *message;  /* data of the message at hand */
	GString *refusals; /* what the log would have: "501 MAIL FROM:a|" and so on */
	bool stuck;        /* took nothing, said nothing, waited for nobody */
	/* settings */
	size_t room;
	enum smtp_reply_id mail, data_begin, data_done; /* REPLY_NONE: fine */
	bool drain_in_data;
	bool stall;     /* a second of silence at the end of the text */
	bool certified; /* a client certificate is shown in the handshake */
	bool hides;     /* the listener's hide_extensions are hidden */
	const struct smtp_terms *terms; /* from AUTH on; NULL: as they are */
	/* inside */
	struct smtp_session *session;
	bool starttls, data_ended, auth_asked, auth_good, too_many;
};

/* Replays n_bytes of text in pieces. User "u" has the password "p", the
 * certificate is u's too, and who says to be "banned" has failed too often.
 * dialog_clear() afterwards. */
void dialog_run(struct dialog *dialog, const struct conf_listener *listener,
	const char *text, size_t n_bytes, size_t piece);
void dialog_clear(struct dialog *dialog);

#endif
