/*
 * whole - the top header block of any message, understood or not, made to fit another
 * body.
 *
 * Private to mime/. Pure but for reading the header.
 */
#ifndef MIME_WHOLE_H
#define MIME_WHOLE_H

#include "mime/source.h"
#include "mime/splice.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { WHOLE_HEADER_BYTES = 1024 * 1024 };

/*
 * Puts fields (whole lines) at the end of the header block in place of all Content-*
 * fields, MIME-Version and Lines; all else in it stays. *body_start is behind the empty
 * line. False with MIME_ERROR_CONTENT: there is none within WHOLE_HEADER_BYTES.
 */
bool whole_replace_fields(struct source *source, const GString *fields,
	struct splice *splice, uint64_t *body_start, GError **error);

#endif
