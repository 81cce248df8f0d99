/* Replies on their way out: at once where the kernel takes them, else kept until the
 * client reads. */
#include "gateway/smtp/connection_private.h"

struct pending_write {
	uv_write_t request;
	char bytes[];
};

static void on_written(uv_write_t *request, int status)
{
	struct connection *c = request->data;
	g_free(request);
	c->writing = false;
	c->said = true;
	if (c->closing)
		return;
	if (status)
		connection_close(c);
	else
		connection_advance(c);
}

/* The kernel's buffer is full: the client does not read, and gets no more until it does.
 */
static void write_later(struct connection *c, const char *bytes, size_t n_bytes)
{
	struct pending_write *later = g_malloc(sizeof(*later) + n_bytes);
	memcpy(later->bytes, bytes, n_bytes);
	later->request.data = c;
	uv_buf_t buffer = uv_buf_init(later->bytes, (unsigned)n_bytes);
	c->writing = true;
	if (uv_write(&later->request, (uv_stream_t *)&c->tcp, &buffer, 1, on_written)) {
		g_free(later);
		c->writing = false;
		connection_close(c);
	}
}

static void write_out(struct connection *c, const GString *output)
{
	uv_buf_t buffer = uv_buf_init(output->str, (unsigned)output->len);
	int n = c->writing ? UV_EAGAIN : uv_try_write((uv_stream_t *)&c->tcp, &buffer, 1);
	if (n == UV_EAGAIN)
		n = 0;
	if (n < 0)
		connection_close(c);
	else if ((size_t)n < output->len)
		write_later(c, output->str + n, output->len - (size_t)n);
	c->said = true;
}

bool connection_send(struct connection *c)
{
	GString *output = smtp_session_output(c->session);
	if (c->tls) {
		if (!c->handshaking && output->len &&
			!tls_write(c->tls, output->str, output->len))
			connection_close(c);
		if (!c->handshaking)
			g_string_truncate(output, 0);
		output = tls_output(c->tls);
	}
	if (!output->len || c->closing)
		return false;
	write_out(c, output);
	if (c->tls)
		tls_output_sent(c->tls);
	else
		g_string_truncate(output, 0);
	return true;
}
