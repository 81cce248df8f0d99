/*
 * address - the paths of MAIL and RCPT and their parameters (RFC 5321, sections 4.1.2 and
 * 4.5.3.1; RFC 6531, section 3.3). Pure.
 */
#ifndef GATEWAY_SMTP_ADDRESS_H
#define GATEWAY_SMTP_ADDRESS_H

#include "gateway/smtp/slice.h"

enum smtp_path_flags {
	PATH_REVERSE = 1, /* "<>" is a path; without it "<postmaster>" is one */
	/* No brackets or one of them, stray spaces, any dots, a sender without domain. */
	PATH_LENIENT = 2,
	/* Spaces before the path: the commonest mistake of all (RFC
	 * 5321, section 3.3). */
	PATH_SPACE = 4,
	/* Beyond ASCII: valid UTF-8 in local parts and U-labels in domains. */
	PATH_UTF8 = 8,
};

enum smtp_path_status {
	PATH_OK,
	PATH_NO_BRACKETS,
	PATH_SYNTAX,
	PATH_TOO_LONG,
	PATH_NOT_ASCII
};

/* What a path was forgiven. */
enum smtp_path_forgiven { FORGIVEN_BRACKETS = 1, FORGIVEN_SPACE = 2 };

struct smtp_path {
	/* "local-part@domain", unquoted where the local part needs no quotes, "" for
	 * "<>", "postmaster" for that word in any case, or (lenient reverse-path) a local
	 * part alone; g_free() */
	char *address;
	unsigned forgiven; /* of enum smtp_path_forgiven */
	struct slice rest; /* what follows the path */
};

/*
 * Parses the path that text begins with; only PATH_OK fills path. A source route is
 * accepted and dropped (section 4.1.2, A-d-l). NOT_ASCII: it would need PATH_UTF8.
 */
enum smtp_path_status smtp_path_parse(
	struct slice text, unsigned flags, struct smtp_path *path);

struct smtp_parameter {
	struct slice keyword;
	struct slice value; /* start NULL: no "=" was given */
};
#define SMTP_PARAMETERS_MAX 16

enum smtp_parameters_status { PARAMETERS_OK, PARAMETERS_SYNTAX, PARAMETERS_DUPLICATE };

/* Splits " KEYWORD=value KEYWORD ..." (esmtp-param); text is "" or begins with a space.
 * A value may hold valid UTF-8. More than SMTP_PARAMETERS_MAX is a syntax error. */
enum smtp_parameters_status smtp_parameters_parse(struct slice text,
	struct smtp_parameter parameters[SMTP_PARAMETERS_MAX], size_t *n_parameters);

/* Whether text is a domain or an address literal: what EHLO takes as argument. */
bool smtp_is_domain(struct slice text);

#endif
