/* The decoder: memchr from line end to line end, text handed on in runs as long as
 * nothing has to be taken out or put in. Size, loops and refusals are the session's. */
#include "gateway/smtp/data.h"

#include <string.h>

void smtp_data_init(struct smtp_data *data, enum smtp_data_bare bare, bool chunked,
	void (*sink)(void *context, const char *bytes, size_t n_bytes), void *context)
{
	*data = (struct smtp_data){ .bare = bare,
		.chunked = chunked,
		.state = DATA_LINE_START,
		.sink = sink,
		.context = context };
}

static void emit(struct smtp_data *data, const char *from, const char *to)
{
	if (to > from)
		data->sink(data->context, from, (size_t)(to - from));
}

static void met_bare_cr(struct smtp_data *data, bool another_follows)
{
	data->bare_cr++;
	if (data->bare == DATA_NORMALISE && !another_follows)
		data->sink(data->context, " ", 1);
}

static void met_bare_lf(struct smtp_data *data)
{
	data->bare_lf++;
	if (data->bare == DATA_REFUSE)
		return;
	data->sink(data->context, "\r\n", 2);
	if (data->chunked) /* elsewhere no dot may be looked for behind it */
		data->state = DATA_LINE_START;
}

/* One byte, where what precedes it was withheld. False: c is still to be taken in
 * DATA_IN_LINE. */
static bool resolve(struct smtp_data *data, char c)
{
	switch (data->state) {
	case DATA_DOT:
		if (c == '\r') {
			data->state = DATA_DOT_CR;
			return true;
		}
		data->state = DATA_IN_LINE; /* the dot was stuffing */
		return false;
	case DATA_DOT_CR:
		if (c == '\n') {
			data->state = DATA_ENDED;
			return true;
		}
		data->state = DATA_CR;
		return resolve(data, c); /* once: the state is another */
	case DATA_CR:
		if (c == '\n') {
			data->sink(data->context, "\r\n", 2);
			data->state = DATA_LINE_START;
			return true;
		}
		met_bare_cr(data, c == '\r');
		if (c == '\r')
			return true;
		data->state = DATA_IN_LINE;
		return false;
	default:
		return false;
	}
}

/* Takes bytes of lines until a byte has to be withheld or the input ends. *lf is the next
 * LF, or end; it outlives the call, so that a flood of bare CR does not search for it
 * again each time. */
static const char *take_lines(
	struct smtp_data *data, const char *bytes, const char *end, const char **lf)
{
	const char *run = bytes, *at = bytes;
	while (at < end) {
		if (data->state == DATA_LINE_START && *at == '.' && !data->chunked) {
			data->state = DATA_DOT;
			emit(data, run, at);
			return at + 1;
		}
		data->state = DATA_IN_LINE;
		if (!*lf || *lf < at) {
			*lf = memchr(at, '\n', (size_t)(end - at));
			*lf = *lf ? *lf : end;
		}
		const char *cr = memchr(at, '\r', (size_t)(*lf - at));
		if (cr && cr + 1 == *lf && *lf < end) {
			data->state = DATA_LINE_START;
			at = *lf + 1;
		} else if (cr) {
			data->state = DATA_CR;
			emit(data, run, cr);
			return cr + 1;
		} else if (*lf < end) {
			emit(data, run, *lf);
			met_bare_lf(data);
			run = at = *lf + 1;
		} else {
			at = end;
		}
	}
	emit(data, run, end);
	return end;
}

size_t smtp_data_decode(struct smtp_data *data, const char *bytes, size_t n_bytes)
{
	const char *at = bytes, *end = bytes + n_bytes;
	const char *lf = NULL;
	while (at < end && data->state != DATA_ENDED) {
		if (data->state == DATA_LINE_START || data->state == DATA_IN_LINE)
			at = take_lines(data, at, end, &lf);
		else if (resolve(data, *at))
			at++;
	}
	return (size_t)(at - bytes);
}

void smtp_data_finish(struct smtp_data *data)
{
	bool is_cut = data->state != DATA_LINE_START;
	if (data->state == DATA_CR)
		data->bare_cr++;
	data->state = DATA_ENDED;
	if (is_cut)
		data->sink(data->context, "\r\n", 2);
}
