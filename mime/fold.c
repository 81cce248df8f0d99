/*
 * fold - soft line breaks in quoted-printable, others in base64.
 * Leaves to its caller which bodies need them.
 */
#include "mime/fold.h"

#include <glib.h>
#include <string.h>

enum {
	FOLD_BYTES = 900,     /* from here on, at the next good place */
	FOLD_BYTES_MAX = 990, /* from here on, where it only just can be */
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Neither within "=3D", nor within blanks, which may belong to the line's end; never
 * within the line break. What is broken by force means nothing as an escape. */
static bool may_break(const struct fold *fold, char next)
{
	const char *before = fold->before;

	if (fold->column < FOLD_BYTES || next == '\n')
		return false;
	if (fold->column >= FOLD_BYTES_MAX)
		return next != '\r' || before[1] == '\r';
	return before[0] != '=' && before[1] != '=' && next != '\r' &&
	       !(is_blank(before[1]) && is_blank(next));
}

/* What follows must not look like a delimiter: a blank before it means nothing in base64,
 * but in quoted-printable it is escaped. True when that has been written already. */
static bool break_line(struct fold *fold, char next, char **out)
{
	const char *guard = next != '-' ? "" : fold->is_qp ? "=2D" : " ";

	*out = stpcpy(*out, fold->is_qp ? "=" : "");
	*out = stpcpy(*out, fold->newline);
	*out = stpcpy(*out, guard);
	fold->column = strlen(guard);
	if (fold->column <= 1)
		return false;
	memcpy(fold->before, guard + 1, sizeof(fold->before));
	return true;
}

/* Octets of data that can be copied in one go, at least one. */
static size_t plain_bytes(const struct fold *fold, const char *data, size_t length)
{
	size_t n = fold->column < FOLD_BYTES ? MIN(length, FOLD_BYTES - fold->column) : 1;
	const char *feed = memchr(data, '\n', n);

	return feed != NULL ? (size_t)(feed - data) + 1 : n;
}

static void step_over(struct fold *fold, const char *data, size_t n)
{
	fold->column = data[n - 1] == '\n' ? 0 : fold->column + n;
	fold->before[0] = n > 1 ? data[n - 2] : fold->before[1];
	fold->before[1] = data[n - 1];
}

size_t fold_push(struct fold *fold, const char *data, size_t length, size_t *used,
	char *out, size_t room)
{
	char *start = out, *end = out + room;
	size_t at = 0;

	while (at < length && end - out >= FOLD_STEP_BYTES) {
		size_t n;

		if (may_break(fold, data[at]) && break_line(fold, data[at], &out)) {
			at++;
			continue;
		}
		n = plain_bytes(fold, data + at, MIN(length - at, (size_t)(end - out)));
		memcpy(out, data + at, n);
		step_over(fold, data + at, n);
		out += n;
		at += n;
	}
	*used = at;
	return (size_t)(out - start);
}
