/*
 * address - the paths of MAIL and RCPT and their parameters (RFC 5321, sections 4.1.2 and
 * 4.5.3.1). Pure; 7-bit only.
 */
#ifndef GATEWAY_SMTP_ADDRESS_H
#define GATEWAY_SMTP_ADDRESS_H

#include "gateway/smtp/slice.h"

enum smtp_path_flags {
	PATH_REVERSE = 1, /* "<>" is a path; without it "<postmaster>" is one */
	/* No brackets, stray spaces, any dots, a sender without domain. */
	PATH_LENIENT = 2,
	/* Spaces before the path: the commonest mistake of all (RFC
	 * 5321, section 3.3). */
	PATH_SPACE = 4,
};

enum smtp_path_status {
	PATH_OK,
	PATH_NO_BRACKETS,
	PATH_SYNTAX,
	PATH_TOO_LONG,
	PATH_NOT_ASCII
};

/*
 * Parses the path that text begins with. PATH_OK: *address is "local-part@domain",
 * unquoted where the local part needs no quotes, "" for "<>", "postmaster" for that word
 * in any case, or (lenient reverse-path) a local part alone; g_free(). *rest is what
 * follows the path. A source route is accepted and dropped (section 4.1.2, A-d-l).
 */
enum smtp_path_status smtp_path_parse(
	struct slice text, unsigned flags, char **address, struct slice *rest);

struct smtp_parameter {
	struct slice keyword;
	struct slice value; /* start NULL: no "=" was given */
};
#define SMTP_PARAMETERS_MAX 16

enum smtp_parameters_status { PARAMETERS_OK, PARAMETERS_SYNTAX, PARAMETERS_DUPLICATE };

/* Splits " KEYWORD=value KEYWORD ..." (esmtp-param); text is "" or begins with a space.
 * More than SMTP_PARAMETERS_MAX is a syntax error. */
enum smtp_parameters_status smtp_parameters_parse(struct slice text,
	struct smtp_parameter parameters[SMTP_PARAMETERS_MAX], size_t *n_parameters);

/* Whether text is a domain or an address literal: what EHLO takes as argument. */
bool smtp_is_domain(struct slice text);

#endif
