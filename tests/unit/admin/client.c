/* Speaks to a listener on loopback. What the answers should be, the tests say. */
#include "tests/unit/admin/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int client_connect(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	const struct timeval patience = { .tv_sec = 60 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	g_assert(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	g_assert(!connect(fd, (const struct sockaddr *)&address, sizeof(address)));
	return fd;
}

GString *client_exchange(unsigned port, const char *text)
{
	GString *answer = g_string_new(NULL);
	char buffer[4096];
	int fd = client_connect(port);
	(void)send(fd, text, strlen(text), MSG_NOSIGNAL);
	for (ssize_t n; (n = recv(fd, buffer, sizeof(buffer), 0)) > 0;)
		g_string_append_len(answer, buffer, n);
	close(fd);
	return answer;
}

GString *client_fetch(
	unsigned port, const char *method, const char *target, const char *headers)
{
	g_autofree char *text = g_strdup_printf("%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
						"Connection: close\r\n%s\r\n",
		method, target, port, headers);
	return client_exchange(port, text);
}

unsigned client_status(const GString *answer)
{
	return answer->len > 12 ? (unsigned)strtoul(answer->str + 9, NULL, 10) : 0;
}

const char *client_body(const GString *answer)
{
	const char *end = strstr(answer->str, "\r\n\r\n");
	return end ? end + 4 : "";
}

char *client_header(const GString *answer, const char *name)
{
	g_autofree char *field = g_strdup_printf("\r\n%s: ", name);
	const char *at = strstr(answer->str, field);
	if (!at || at > client_body(answer))
		return g_strdup("");
	at += strlen(field);
	return g_strndup(at, strcspn(at, "\r"));
}
