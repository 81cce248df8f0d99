/* Content to wire form, run by run. Sending it is transaction.c's. */
#include "gateway/relay/wire.h"

#include <string.h>

static void emit(struct wire *wire, const char *from, const char *to)
{
	if (to > from)
		wire->emit(wire->context, from, (size_t)(to - from));
}

static void emit_text(struct wire *wire, const char *text)
{
	wire->emit(wire->context, text, strlen(text));
}

/* Resolves a CR held from the piece before; returns where to go on. */
static const char *release_cr(struct wire *wire, const char *data)
{
	wire->held_cr = false;
	if (*data != '\n') {
		emit_text(wire, " ");
		return data;
	}
	emit_text(wire, "\r\n");
	wire->mid_line = false;
	return data + 1;
}

/* Passes on [run, stop) but for CRs before its last octet; returns the
 * new start of the run. */
static const char *replace_stray_crs(struct wire *wire, const char *run, const char *line,
	const char *stop, const char **last_cr)
{
	const char *cr = memchr(line, '\r', (size_t)(stop - line));
	while (cr && cr + 1 < stop) {
		emit(wire, run, cr);
		emit_text(wire, " ");
		run = cr + 1;
		cr = memchr(run, '\r', (size_t)(stop - run));
	}
	*last_cr = cr;
	return run;
}

void wire_add(struct wire *wire, const char *data, size_t bytes)
{
	const char *end = data + bytes;
	if (wire->held_cr && bytes > 0)
		data = release_cr(wire, data);
	const char *run = data; /* what has not been passed on yet begins here */
	for (const char *line = data; line < end;) {
		if (!wire->mid_line && *line == '.') {
			emit(wire, run, line);
			emit_text(wire, ".");
			run = line;
		}
		const char *lf = memchr(line, '\n', (size_t)(end - line));
		const char *stop = lf ? lf : end, *cr;
		run = replace_stray_crs(wire, run, line, stop, &cr);
		wire->mid_line = !lf;
		if (lf && !cr) {
			emit(wire, run, lf);
			emit_text(wire, "\r\n");
			run = lf + 1;
		} else if (!lf && cr) {
			emit(wire, run, cr);
			run = end;
			wire->held_cr = true;
		}
		line = lf ? lf + 1 : end;
	}
	emit(wire, run, end);
}

void wire_end(struct wire *wire)
{
	if (wire->mid_line || wire->held_cr)
		emit_text(wire, "\r\n");
	wire->mid_line = wire->held_cr = false;
}

static void end_line(struct wire_lines *lines, bool ends_in_cr)
{
	if (lines->line_bytes - (ends_in_cr && lines->line_bytes) > WIRE_LINE_BYTES_MAX)
		lines->too_long = true;
}

void wire_lines_add(struct wire_lines *lines, const char *data, size_t bytes)
{
	const char *end = data + bytes;
	for (const char *line = data; line < end;) {
		const char *lf = memchr(line, '\n', (size_t)(end - line));
		const char *stop = lf ? lf : end;
		lines->line_bytes += (size_t)(stop - line);
		if (stop > line)
			lines->last_cr = stop[-1] == '\r';
		end_line(lines, lines->last_cr);
		if (!lf)
			break;
		lines->line_bytes = 0;
		lines->last_cr = false;
		line = lf + 1;
	}
}
