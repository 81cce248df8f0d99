/* A client that blocks, in clear or with TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void peer_open(struct peer *peer, enum port port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)door.ports[port]),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = 60 };
	*peer = (struct peer){ .fd = socket(AF_INET, SOCK_STREAM, 0),
		.got = g_string_new(NULL) };
	setsockopt(peer->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(peer->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	assert_int_equal(
		connect(peer->fd, (struct sockaddr *)&address, sizeof(address)), 0);
}

void peer_close(struct peer *peer)
{
	SSL_free(peer->ssl);
	close(peer->fd);
	g_string_free(peer->got, TRUE);
}

bool peer_start_tls(struct peer *peer)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	peer->ssl = SSL_new(context);
	SSL_CTX_free(context);
	SSL_set_fd(peer->ssl, peer->fd);
	return SSL_connect(peer->ssl) == 1;
}

void send_bytes(struct peer *peer, const char *bytes, size_t n_bytes)
{
	while (n_bytes) {
		ssize_t n = peer->ssl ? SSL_write(peer->ssl, bytes, (int)n_bytes)
				      : send(peer->fd, bytes, n_bytes, MSG_NOSIGNAL);
		assert_true(n > 0);
		bytes += n;
		n_bytes -= (size_t)n;
	}
}

void say(struct peer *peer, const char *text)
{
	send_bytes(peer, text, strlen(text));
}

bool hear(struct peer *peer)
{
	char buffer[4096];
	ssize_t n = peer->ssl ? SSL_read(peer->ssl, buffer, sizeof(buffer))
			      : recv(peer->fd, buffer, sizeof(buffer), 0);
	if (n > 0)
		g_string_append_len(peer->got, buffer, n);
	return n > 0;
}

char *expect(struct peer *peer, const char *want)
{
	for (;;) {
		char *end;
		while ((end = strstr(peer->got->str, "\r\n"))) {
			g_autofree char *line =
				g_strndup(peer->got->str, (gsize)(end - peer->got->str));
			g_string_erase(peer->got, 0, end - peer->got->str + 2);
			if (line[3] == '-')
				continue;
			if (!g_str_has_prefix(line, want))
				fail_msg("\"%s\", not \"%s\"", line, want);
			return g_steal_pointer(&line);
		}
		if (!hear(peer))
			fail_msg("closed, not \"%s\"", want);
	}
}

void expect_only(struct peer *peer, const char *want)
{
	g_free(expect(peer, want));
}

void expect_end(struct peer *peer)
{
	while (hear(peer))
		;
	assert_string_equal(peer->got->str, "");
}

void greet(struct peer *peer, enum port port)
{
	peer_open(peer, port);
	expect_only(peer, "220 mx.example ");
	say(peer, "EHLO client.example\r\n");
	expect_only(peer, "250 ");
}

void begin_data(struct peer *peer)
{
	say(peer, "MAIL FROM:<from@out.example>\r\nRCPT TO:<to@in.example>\r\nDATA\r\n");
	expect_only(peer, "250 2.1.0");
	expect_only(peer, "250 2.1.5");
	expect_only(peer, "354 ");
}
