/*
 * scripted_server - an HTTP server that answers as told: well, badly, late or not at all;
 * and objects and stores to try it with. Asserts as cmocka does.
 */
#ifndef TESTS_UNIT_S3_SCRIPTED_SERVER_H
#define TESTS_UNIT_S3_SCRIPTED_SERVER_H

#include "s3/s3.h"

enum manner {
	ANSWER,       /* read the request, send text, keep the connection */
	ANSWER_CLOSE, /* the same, then close */
	LATE,         /* as ANSWER, a while later */
	EARLY,        /* send text before the body was read, then close */
	CUT,          /* close without a word */
	HANG,         /* read the request, then nothing until the client gives up */
	FLOOD,        /* send text, then octets without end until the client gives up */
};

struct turn {
	enum manner manner;
	const char *text;
};

struct server {
	int listener;
	char *url;
	GThread *thread;
	GPtrArray *connections; /* GThread */
	GMutex lock;
	const struct turn *turns; /* one a request, in the order of arrival */
	size_t n_turns, next;
	size_t gathers; /* requests that are there before the first is answered */
	GCond asked;
	unsigned n_connections;
	GPtrArray *heads, *bodies; /* char *, GByteArray: as received */
};

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"x\"\r\n\r\n"

/* On loopback, at server->url; turns are borrowed. */
void server_start(struct server *server, const struct turn *turns, size_t n_turns);
/* After the client is gone, so that every connection ends. */
void server_stop(struct server *server);

/* An object whose fd is the caller's to close. */
struct s3_object object_of(const char *key, const char *content, size_t size);
struct s3_settings settings_at(const char *url, unsigned attempts);
struct s3_store *store_at(const char *url, unsigned attempts);
struct s3_store *store_with(const struct s3_settings *settings);

void assert_text_has(const char *text, const char *part);

#endif
