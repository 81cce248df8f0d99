/* The table of replies and how one becomes a line. When one is said the session knows. */
#include "gateway/smtp/reply.h"

#include <string.h>

static const struct smtp_reply replies[REPLY_IDS] = {
	[REPLY_GREETING] = { 220, "", "{} ESMTP Stowage" },
	[REPLY_HELO_OK] = { 250, "", "{}" },
	[REPLY_START_TLS] = { 220, "2.0.0", "Ready to start TLS" },
	[REPLY_AUTH_OK] = { 235, "2.7.0", "Authentication successful" },
	[REPLY_AUTH_CHALLENGE] = { 334, "", "{}" },
	[REPLY_MAIL_OK] = { 250, "2.1.0", "Sender ok" },
	[REPLY_RCPT_OK] = { 250, "2.1.5", "Recipient ok" },
	[REPLY_START_DATA] = { 354, "", "End data with <CR><LF>.<CR><LF>" },
	[REPLY_CHUNK_OK] = { 250, "2.0.0", "{} octets received" },
	[REPLY_QUEUED] = { 250, "2.0.0", "Ok: queued as {}" },
	[REPLY_RELAYED] = { 250, NULL, "{}" },
	[REPLY_OK] = { 250, "2.0.0", "Ok" },
	[REPLY_CANNOT_VRFY] = { 252, "2.5.2",
		"Cannot verify, but will take mail for those this server serves" },
	[REPLY_HELP] = { 214, "2.0.0",
		"Commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY "
		"HELP QUIT" },
	[REPLY_BYE] = { 221, "2.0.0", "Bye" },

	[REPLY_SHUTDOWN] = { 421, "4.3.2", "{} is shutting down, try again later" },
	[REPLY_TIMEOUT] = { 421, "4.4.2", "{} waited too long, closing" },
	[REPLY_TOO_SLOW] = { 421, "4.4.2", "{} closes: the message comes too slowly" },
	[REPLY_TOO_MANY_ERRORS] = { 421, "4.7.0", "{} closes: too many errors" },
	[REPLY_TOO_MANY_AUTH_FAILURES] = { 421, "4.7.0",
		"{} closes: too many failed authentications" },
	[REPLY_TOO_MANY_CONNECTIONS] = { 421, "4.7.0",
		"{} has too many connections, try again later" },
	[REPLY_TOO_MANY_FROM_CLIENT] = { 421, "4.7.0",
		"{} has too many connections from your address, try again later" },
	[REPLY_TLS_TOO_SOON] = { 421, "4.7.0",
		"{} begins in the clear on this port: set the client to STARTTLS" },
	[REPLY_NOT_SMTP] = { 421, "4.7.0", "{} speaks SMTP only, closing" },

	[REPLY_NO_ROOM] = { 452, "4.3.1", "Insufficient storage, try again later" },
	[REPLY_TOO_MANY_RECIPIENTS] = { 452, "4.5.3",
		"Too many recipients, send to the rest in another message" },
	[REPLY_LOCAL_ERROR] = { 451, "4.3.0",
		"Local error in processing, try again later" },
	[REPLY_CLIENT_TOO_FAST] = { 450, "4.7.1",
		"Too much mail from your address, try again in a minute" },
	[REPLY_USER_TOO_FAST] = { 450, "4.7.1",
		"Too much mail from this user, try again in a minute" },
	[REPLY_NO_REVERSE_DNS] = { 450, "4.7.25",
		"Your address has no name that leads back to it" },
	[REPLY_TLS_UNAVAILABLE] = { 454, "4.7.0", "TLS not available, try again later" },
	[REPLY_AUTH_UNAVAILABLE] = { 454, "4.7.0",
		"Authentication is busy, try again later" },
	[REPLY_HOP_DEFERRED] = { 451, NULL, "{}" },

	[REPLY_UNKNOWN_COMMAND] = { 500, "5.5.2", "Command not recognized" },
	[REPLY_NOT_IMPLEMENTED] = { 502, "5.5.1", "Command not implemented" },
	[REPLY_LINE_TOO_LONG] = { 500, "5.5.2", "Line too long" },
	[REPLY_BARE_LINE_FEED] = { 500, "5.5.2",
		"A line must end with CR LF, not with LF" },
	[REPLY_BAD_CHARACTER] = { 500, "5.5.2", "Control or 8-bit character in command" },
	[REPLY_NO_ARGUMENTS] = { 501, "5.5.4", "This command takes no argument" },
	[REPLY_NEEDS_ARGUMENT] = { 501, "5.5.4", "This command needs an argument" },
	[REPLY_HELO_SYNTAX] = { 501, "",
		"Syntax: EHLO or HELO, then a domain or [address]" },
	[REPLY_MAIL_SYNTAX] = { 501, "5.5.4",
		"Syntax: MAIL FROM:<address> [parameters]" },
	[REPLY_RCPT_SYNTAX] = { 501, "5.5.4", "Syntax: RCPT TO:<address> [parameters]" },
	[REPLY_NO_EHLO] = { 503, "5.5.1", "Bad sequence of commands: EHLO first" },
	[REPLY_NO_MAIL] = { 503, "5.5.1", "Bad sequence of commands: no MAIL given" },
	[REPLY_NO_RECIPIENT] = { 503, "5.5.1",
		"Bad sequence of commands: no recipient yet" },
	[REPLY_IN_TRANSACTION] = { 503, "5.5.1",
		"Bad sequence of commands: a message is under way" },
	[REPLY_TLS_ACTIVE] = { 503, "5.5.1", "TLS is active already" },
	[REPLY_TLS_NEEDED] = { 530, "5.7.0", "Must issue a STARTTLS command first" },

	[REPLY_SENDER_SYNTAX] = { 501, "5.1.7",
		"Sender address is not of the form <local@domain>" },
	[REPLY_SENDER_TOO_LONG] = { 501, "5.1.7",
		"Sender address too long (local part 64, domain 255, path 256 octets)" },
	[REPLY_RECIPIENT_SYNTAX] = { 501, "5.1.3",
		"Recipient address is not of the form <local@domain>" },
	[REPLY_RECIPIENT_TOO_LONG] = { 501, "5.1.3",
		"Recipient address too long (local part 64, domain 255, path 256 "
		"octets)" },
	[REPLY_NOT_ASCII] = { 553, "5.6.7",
		"Addresses beyond ASCII (SMTPUTF8) are not supported" },
	[REPLY_PARAMETER_SYNTAX] = { 501, "5.5.4",
		"Parameters are not of the form KEYWORD=value" },
	[REPLY_PARAMETER_DUPLICATE] = { 501, "5.5.4", "A parameter is given twice" },
	[REPLY_PARAMETER_UNKNOWN] = { 555, "5.5.4",
		"Parameter not recognized or not implemented" },
	[REPLY_SIZE_SYNTAX] = { 501, "5.5.4", "SIZE must be a number of octets" },
	[REPLY_BODY_SYNTAX] = { 501, "5.5.4", "BODY must be 7BIT or 8BITMIME" },
	[REPLY_AUTH_PARAMETER_SYNTAX] = { 501, "5.5.4",
		"AUTH must be <> or an address in xtext" },
	[REPLY_TOO_BIG] = { 552, "5.3.4",
		"Message exceeds the maximum size: see SIZE in the reply to EHLO" },
	[REPLY_HEADER_TOO_BIG] = { 552, "5.3.4",
		"Message header exceeds 1 MiB: it must end with an empty line" },
	[REPLY_DSN_SYNTAX] = { 501, "5.5.4",
		"RET, ENVID, NOTIFY or ORCPT is not as RFC 3461 has it" },
	[REPLY_BDAT_SYNTAX] = { 501, "5.5.4", "Syntax: BDAT octets [LAST]" },
	[REPLY_BDAT_UNBOUNDED] = { 501, "5.5.4",
		"{} closes: where this BDAT ends cannot be told" },
	[REPLY_UTF8_NEEDED] = { 553, "5.6.7",
		"An address beyond ASCII needs SMTPUTF8 at MAIL" },

	[REPLY_AUTH_NEEDED] = { 530, "5.7.0", "Authentication required" },
	[REPLY_AUTH_DONE] = { 503, "5.5.1", "Already authenticated" },
	[REPLY_AUTH_NEEDS_TLS] = { 538, "5.7.11",
		"Encryption required: issue a STARTTLS command first" },
	[REPLY_AUTH_MECHANISM] = { 504, "5.5.4",
		"Authentication mechanism not supported" },
	[REPLY_AUTH_SYNTAX] = { 501, "5.5.2",
		"Cannot decode the authentication response" },
	[REPLY_AUTH_TOO_LONG] = { 500, "5.5.6",
		"Authentication exchange line is too long" },
	[REPLY_AUTH_CANCELLED] = { 501, "5.7.0", "Authentication cancelled" },
	[REPLY_AUTH_FAILED] = { 535, "5.7.8", "Authentication credentials invalid" },

	[REPLY_CLIENT_REFUSED] = { 554, "5.7.1", "{} takes no mail from your network" },
	[REPLY_CLIENT_UNKNOWN] = { 550, "5.7.1",
		"The proxy names no client, and sends no mail itself" },
	[REPLY_EARLY_TALKER] = { 554, "5.5.0",
		"{} closes: you spoke before you were greeted" },
	[REPLY_BLOCK_LISTED] = { 554, "5.7.1",
		"{} is a block list that has your address" },
	[REPLY_CERTIFICATE_NEEDED] = { 530, "5.7.0",
		"A client certificate that is known here is needed" },
	[REPLY_SENDER_NOT_ALLOWED] = { 553, "5.7.1",
		"Sender address not allowed for this user" },
	[REPLY_FROM_NOT_ALLOWED] = { 550, "5.7.1",
		"From address in the message not allowed for this user" },
	[REPLY_RECIPIENT_NOT_ALLOWED] = { 550, "5.7.1",
		"Recipient not allowed for this user" },
	[REPLY_NO_RELAY] = { 550, "5.7.1", "Relaying denied" },
	[REPLY_NO_SUCH_RECIPIENT] = { 550, "5.1.1", "No such recipient here" },
	[REPLY_RECIPIENT_LOOP] = { 550, "5.4.6",
		"Mail for this recipient would come back here" },
	[REPLY_BARE_LINE_ENDS] = { 550, "5.5.2",
		"Message has a CR or LF that is not part of CR LF (RFC 5321 section "
		"2.3.8)" },
	[REPLY_TOO_MANY_HOPS] = { 554, "5.4.6", "Too many Received headers: mail loop" },

	[REPLY_HOP_550] = { 550, NULL, "{}" },
	[REPLY_HOP_551] = { 551, NULL, "{}" },
	[REPLY_HOP_552] = { 552, NULL, "{}" },
	[REPLY_HOP_553] = { 553, NULL, "{}" },
	[REPLY_HOP_554] = { 554, NULL, "{}" },
};

const struct smtp_reply *smtp_reply(enum smtp_reply_id id)
{
	g_assert(id > REPLY_NONE && id < REPLY_IDS && replies[id].code);
	return &replies[id];
}

const char *smtp_reply_reason(enum smtp_reply_id id)
{
	const char *text = smtp_reply(id)->text;
	return g_str_has_prefix(text, "{} ") ? text + 3 : text;
}

bool smtp_reply_is_quoted(enum smtp_reply_id id)
{
	return !smtp_reply(id)->enhanced;
}

bool smtp_reply_closes(enum smtp_reply_id id)
{
	return id == REPLY_BYE || id == REPLY_CLIENT_REFUSED ||
	       id == REPLY_EARLY_TALKER || id == REPLY_BDAT_UNBOUNDED ||
	       (id != REPLY_NONE && smtp_reply(id)->code == 421);
}

static void append_code(GString *out, const struct smtp_reply *reply)
{
	char code[] = { (char)('0' + reply->code / 100),
		(char)('0' + reply->code / 10 % 10), (char)('0' + reply->code % 10),
		' ' };
	g_string_append_len(out, code, sizeof(code));
}

static void append_text(GString *out, const struct smtp_reply *reply, const char *detail)
{
	const char *place = strstr(reply->text, "{}");
	if (place) {
		g_string_append_len(out, reply->text, place - reply->text);
		g_string_append(out, detail ? detail : "");
		g_string_append(out, place + 2);
	} else {
		g_string_append(out, reply->text);
	}
	g_string_append(out, "\r\n");
}

void smtp_reply_append(GString *out, enum smtp_reply_id id, const char *detail)
{
	const struct smtp_reply *reply = smtp_reply(id);
	append_code(out, reply);
	if (reply->enhanced && *reply->enhanced) {
		g_string_append(out, reply->enhanced);
		g_string_append_c(out, ' ');
	}
	append_text(out, reply, detail);
}

void smtp_reply_append_plain(GString *out, enum smtp_reply_id id, const char *detail)
{
	const struct smtp_reply *reply = smtp_reply(id);
	const char *space = !reply->enhanced && detail ? strchr(detail, ' ') : NULL;
	append_code(out, reply);
	append_text(out, reply, space ? space + 1 : detail);
}
