/* A scripted server, a relay that speaks with it, and what became of a message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/error.h"
#include "scene.h"
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct peer_ca scene_ca, scene_other_ca;
char *scene_directory, *scene_ca_file;

static bool before_final_dot(void *context, GError **error)
{
	struct scene *s = context;
	s->dots++;
	bool marked = false;
	for (size_t i = 0; i < s->message.n_recipients; i++)
		marked |= s->recipients[i].relaying;
	assert_true(marked);
	if (s->refuse_dot)
		g_set_error_literal(
			error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY, "the journal is full");
	return !s->refuse_dot;
}

void scene_init(struct scene *s, const struct peer_script *script)
{
	*s = (struct scene){ 0 };
	s->peer = peer_start(script);
	s->settings = (struct conf_relay){
		.host = "127.0.0.1",
		.port = peer_port(s->peer),
		.tls = script->tls == PEER_PLAIN      ? CONF_TLS_NONE
		       : script->tls == PEER_STARTTLS ? CONF_TLS_REQUIRED
						      : CONF_TLS_WRAPPER,
		.ca_file = scene_ca_file,
		.connections = 4,
		.messages_per_connection = 100,
		.connection_lifetime_s = 60,
		.connect_timeout_s = 20,
		.command_timeout_s = 20,
		.data_timeout_s = 20,
		.max_message_size = 40 << 20,
		.max_recipients = 50,
	};
	s->metrics = metrics_new();
	s->message.id = "01test";
	s->message.reverse_path = "from@example.com";
	s->message.fd = -1;
	s->message.before_final_dot = before_final_dot;
	s->message.context = s;
	s->message.recipients = s->recipients;
}

void scene_relay(struct scene *s)
{
	g_autoptr(GError) error = NULL;
	s->relay =
		relay_new(&s->settings, "gateway.example.com", s->metrics, NULL, &error);
	if (!s->relay)
		fail_msg("%s", error->message);
}

void scene_content(struct scene *s, const char *text, size_t bytes)
{
	s->message.fd = memfd_create("content", MFD_CLOEXEC);
	assert_int_equal(write(s->message.fd, text, bytes), bytes);
	s->splice = splice_new(bytes);
	s->message.content = s->splice;
}

void scene_clear(struct relay_message *message)
{
	for (size_t i = 0; i < message->n_recipients; i++)
		relay_recipient_clear(&message->recipients[i]);
	g_clear_pointer(&message->relay_id, g_free);
}

void scene_send(struct scene *s, ...)
{
	va_list paths;
	scene_clear(&s->message);
	s->message.n_recipients = 0;
	va_start(paths, s);
	for (const char *path; (path = va_arg(paths, const char *));) {
		s->recipients[s->message.n_recipients++] =
			(struct relay_recipient){ .forward_path = path,
				.verdict = RELAY_DEFERRED };
	}
	va_end(paths);
	if (!s->relay)
		scene_relay(s);
	if (!s->splice)
		scene_content(s, "Subject: x\r\n\r\nbody\r\n", 20);
	relay_send(s->relay, &s->message);
}

void scene_deinit(struct scene *s)
{
	scene_clear(&s->message);
	relay_free(&s->relay);
	peer_stop(&s->peer);
	splice_free(&s->splice);
	if (s->message.fd >= 0)
		close(s->message.fd);
	metrics_free(&s->metrics);
}

void scene_expect(const struct scene *s, size_t i, enum relay_verdict verdict, int code,
	const char *text, const char *name)
{
	const struct relay_recipient *r = &s->recipients[i];
	bool fits = r->verdict == verdict && r->reply_code == code && r->reply &&
		    (!text || strstr(r->reply, text));
	if (!fits)
		fail_msg("%s, recipient %zu: verdict %d, code %d, \"%s\"", name, i,
			r->verdict, r->reply_code, r->reply ? r->reply : "(none)");
}

unsigned scene_count(struct scene *s, const char *text)
{
	g_autofree char *log = peer_log(s->peer);
	unsigned n = 0;
	for (const char *p = log; (p = strstr(p, text)); p += strlen(text))
		n++;
	return n;
}

void scene_expect_log(struct scene *s, const char *want)
{
	g_autofree char *log = peer_log(s->peer);
	assert_string_equal(log, want);
}

int scene_set_up(void **unused)
{
	(void)unused;
	scene_directory = g_dir_make_tmp("relay-test-XXXXXX", NULL);
	scene_ca_file = g_build_filename(scene_directory, "ca.pem", NULL);
	peer_ca_init(&scene_ca, "Test CA");
	peer_ca_init(&scene_other_ca, "Another CA");
	peer_ca_write(&scene_ca, scene_ca_file);
	return 0;
}

int scene_tear_down(void **unused)
{
	(void)unused;
	g_unlink(scene_ca_file);
	g_rmdir(scene_directory);
	g_free(scene_ca_file);
	g_free(scene_directory);
	peer_ca_deinit(&scene_ca);
	peer_ca_deinit(&scene_other_ca);
	return 0;
}
