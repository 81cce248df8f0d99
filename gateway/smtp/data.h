/*
 * data - the bytes behind DATA: dots unstuffed, line ends checked, the end found; and
 * those of BDAT, where dots are text and the end is known (RFC 3030). Pure.
 *
 * The end is CR LF "." CR LF and nothing else, however the bytes are cut (RFC 5321,
 * sections 2.3.8 and 4.1.1.4). What comes out has CR and LF as CR LF only:
 *
 *   DATA_REFUSE     a bare CR or LF is kept out and remembered: the owner refuses the
 *                   message.
 *   DATA_NORMALISE  a bare LF becomes CR LF; of several CR before one another or before
 *                   CR LF one is left ("\r\r\n" is one line end); any other bare CR
 *                   becomes a space. A dot behind a bare LF is text: it is neither
 *                   unstuffed nor ends anything.
 */
#ifndef GATEWAY_SMTP_DATA_H
#define GATEWAY_SMTP_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum smtp_data_bare { DATA_REFUSE, DATA_NORMALISE };

enum smtp_data_state {
	DATA_LINE_START, /* behind CR LF; also the first byte of all */
	DATA_DOT,        /* behind CR LF "." */
	DATA_DOT_CR,
	DATA_IN_LINE,
	DATA_CR,
	DATA_ENDED,
};

struct smtp_data {
	enum smtp_data_bare bare;
	bool chunked; /* BDAT */
	enum smtp_data_state state;
	uint64_t bare_cr, bare_lf; /* met so far */
	void (*sink)(void *context, const char *bytes, size_t n_bytes);
	void *context;
};

void smtp_data_init(struct smtp_data *data, enum smtp_data_bare bare, bool chunked,
	void (*sink)(void *context, const char *bytes, size_t n_bytes), void *context);

/*
 * Decodes up to n_bytes and hands the result to the sink, in pieces. Returns how many
 * were taken: all, or those up to the end of data, which is when data->state is
 * DATA_ENDED. The sink gets at most 2 * n_bytes + 2.
 */
size_t smtp_data_decode(struct smtp_data *data, const char *bytes, size_t n_bytes);

/* The end of the last chunk: a last line without CR LF gets it, so that at most two
 * octets go to the sink, in state DATA_ENDED. A CR left alone is a bare one. */
void smtp_data_finish(struct smtp_data *data);

#endif
