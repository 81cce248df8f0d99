/*
 * quirk - what clients get wrong and are forgiven: one list, for metrics and log.
 */
#ifndef GATEWAY_SMTP_QUIRK_H
#define GATEWAY_SMTP_QUIRK_H

enum quirk {
	QUIRK_TLS_1_0,
	QUIRK_TLS_1_1,
	QUIRK_OLD_CIPHER,      /* no forward secrecy, CBC or SHA-1 */
	QUIRK_HELO_EMPTY,      /* EHLO or HELO without an argument */
	QUIRK_HELO_SYNTAX,     /* ... with one that is no domain and no address literal */
	QUIRK_AUTH_AFTER_HELO, /* AUTH without EHLO */
	QUIRK_AUTH_IN_CLEAR,   /* a password without TLS */
	QUIRK_NO_BRACKETS,     /* MAIL or RCPT without < > */
	QUIRK_SPACE_IN_COMMAND, /* round the colon, before the path */
	QUIRK_COMMAND_LF,       /* a command that ends with a bare LF */
	QUIRK_DATA_BARE_LF,
	QUIRK_DATA_BARE_CR,
	QUIRK_NO_QUIT, /* gone behind a message without QUIT */
	QUIRKS,
};

/* "tls_1_0": stable, a metric's label. */
const char *quirk_name(enum quirk quirk);

#endif
