/*
 * dsn_parameters - the values of RET, ENVID, NOTIFY and ORCPT (RFC 3461, section 4; RFC
 * 6533, section 3), checked to the letter: what passes may stand in a header field once
 * decoded. Pure.
 */
#ifndef GATEWAY_SMTP_DSN_PARAMETERS_H
#define GATEWAY_SMTP_DSN_PARAMETERS_H

#include "gateway/queue/queue.h"
#include "gateway/smtp/slice.h"

/* False: not as the RFC has it. */
bool smtp_dsn_ret(struct slice value, enum queue_ret *ret);
bool smtp_dsn_notify(struct slice value, unsigned *notify);
/* One octet at least, all printable ASCII once decoded; "<>" is xtext too. */
bool smtp_is_xtext(struct slice value);
/* xtext of at most 100 octets of printable ASCII once decoded. */
bool smtp_dsn_envid(struct slice value);
/* addr-type ";" xtext of at most 500 octets. utf8: the transaction is one of SMTPUTF8,
 * where addresses of type utf-8 may hold UTF-8. */
bool smtp_dsn_orcpt(struct slice value, bool utf8);

#endif
