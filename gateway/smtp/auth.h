/*
 * auth - the client's side of SASL PLAIN (RFC 4616), LOGIN and EXTERNAL (RFC 4422,
 * appendix A), decoded line by line. Pure. Who may log in is asked elsewhere.
 */
#ifndef GATEWAY_SMTP_AUTH_H
#define GATEWAY_SMTP_AUTH_H

#include "gateway/smtp/slice.h"

/* As EHLO lists them: those with a password. */
#define SMTP_AUTH_PASSWORD_MECHANISMS "PLAIN LOGIN"

enum smtp_auth_mechanism { AUTH_IDLE, AUTH_PLAIN, AUTH_LOGIN, AUTH_EXTERNAL };
enum smtp_auth_step { AUTH_STEP_MORE, AUTH_STEP_COMPLETE, AUTH_STEP_MALFORMED };

/* All zero: idle. */
struct smtp_auth {
	enum smtp_auth_mechanism mechanism;
	/* EXTERNAL: user is the authorization identity, "" for the certificate's own */
	char *user, *password;
	bool for_another; /* PLAIN: the authorization identity is another than user */
};

/* False: the mechanism is not known. */
bool smtp_auth_begin(struct smtp_auth *auth, struct slice mechanism);

/* What 334 carries, in base64. */
const char *smtp_auth_challenge(const struct smtp_auth *auth);

/* Takes one response in base64, "" an empty one. COMPLETE: user is there, and (but for
 * EXTERNAL) password. */
enum smtp_auth_step smtp_auth_respond(struct smtp_auth *auth, struct slice base64);

/* Wipes and frees; idle afterwards. */
void smtp_auth_clear(struct smtp_auth *auth);

#endif
