/*
 * replay - tables of whole sessions: each is played at every read size, with the same
 * outcome.
 */
#ifndef TESTS_UNIT_SMTP_REPLAY_H
#define TESTS_UNIT_SMTP_REPLAY_H

#include "dialog.h"

struct session_case {
	const char *name;
	const struct conf_listener *listener;
	const char *in, *codes;
	const char *events; /* NULL: any */
};

/* Fails the test where one ends otherwise. settings: of the dialogue, NULL: none. */
void replay(
	const struct session_case *cases, size_t n_cases, const struct dialog *settings);

#define LISTENER(...)                                                                    \
	{                                                                                \
		.name = "test", .max_message_size = 1000, .max_recipients = 3,           \
		.max_errors = 20, .max_idle_commands = 100, __VA_ARGS__                  \
	}
extern const struct conf_listener mx, plain, submit, submits, mixed, open_auth, lan;

#define HELLO    "EHLO a\r\n"
#define HELLOED  "220|250|"
#define MAIL     "MAIL FROM:<a@b>\r\n"
#define RCPT     "RCPT TO:<c@d>\r\n"
#define BEGIN    HELLO MAIL RCPT
#define BEGUN    HELLOED "250 2.1.0|250 2.1.5|"
#define OPEN     BEGIN "DATA\r\n"
#define OPENED   BEGUN "354|"
#define ENVELOPE "mail <a@b> 0|rcpt <c@d>|"
#define X10      "xxxxxxxxxx"
#define X100     X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define X500     X100 X100 X100 X100 X100
/* "\0u\0p" in base64, and with a wrong password */
#define GOOD_PLAIN "AHUAcA=="
#define BAD_PLAIN  "AHUAeA=="

#endif
