/* Settings, files and thread of a front door under test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "door.h"

#include "certificate.h"
#include "gateway/log.h"
#include "tests/unit/tree.h"
#include <crypt.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct door door;

static void on_call(uv_async_t *async)
{
	(void)async;
	g_mutex_lock(&door.lock);
	if (door.function)
		door.function();
	door.function = NULL;
	g_cond_signal(&door.done);
	g_mutex_unlock(&door.lock);
}

void door_call(void (*function)(void))
{
	g_mutex_lock(&door.lock);
	door.function = function;
	uv_async_send(&door.call);
	while (door.function)
		g_cond_wait(&door.done, &door.lock);
	g_mutex_unlock(&door.lock);
}

static void *run_loop(void *unused)
{
	(void)unused;
	uv_run(&door.loop, UV_RUN_DEFAULT);
	return NULL;
}

unsigned door_free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	close(fd);
	return ntohs(address.sin_port);
}

char *door_path(const char *name)
{
	return g_build_filename(door.directory, name, NULL);
}

static const char settings[] =
	"hostname: mx.example\n"
	"listeners:\n"
	"  - { name: mx, address: '127.0.0.1:%u', tls: starttls, recipients: "
	"{ '@in.example': 'ops@out.example', 'two@in.example': 'two@out.example' } }\n"
	"  - { name: lan, address: '127.0.0.1:%u', tls: none, networks: [ 127.0.0.0/8 ], "
	"max_message_size: 8MiB }\n"
	"  - { name: submit, address: '127.0.0.1:%u', tls: required, auth: required }\n"
	"  - { name: submits, address: '127.0.0.1:%u', tls: wrapper, auth: required }\n"
	"  - { name: elsewhere, address: '127.0.0.1:%u', tls: none, networks: [ "
	"192.0.2.0/24 ] }\n"
	"  - { name: few, address: '127.0.0.1:%u', tls: none, networks: [ 127.0.0.0/8 ], "
	"max_connections: 1 }\n"
	"  - { name: hasty, address: '127.0.0.1:%u', tls: none, networks: [ 127.0.0.0/8 "
	"], command_timeout: 3s, data_timeout: 3s }\n"
	"tls: { certificate: %s/cert.pem, key: %s/key.pem }\n"
	"auth: { users: %s/users }\n"
	"s3: { directory: %s/objects, directory_url: 'http://127.0.0.1:1', "
	"access_key_id: a, secret_access_key: b }\n"
	"relay: { maildir: %s/maildir }\n"
	"queue: { directory: %s/queue, min_free: 0, min_free_inodes: 0 }\n"
	"admin: { listen: off }\n";

struct conf *door_load_settings(void)
{
	const unsigned *p = door.ports;
	const char *d = door.directory;
	g_autofree char *text = g_strdup_printf(
		settings, p[0], p[1], p[2], p[3], p[4], p[5], p[6], d, d, d, d, d, d);
	g_autofree char *path = door_path("stowage.yaml");
	assert_true(g_file_set_contents(path, text, -1, NULL));
	g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
	struct conf *conf = conf_load(path, problems, NULL);
	if (!conf)
		fail_msg("%s", (const char *)g_ptr_array_index(problems, 0));
	return conf;
}

static void make_files(void)
{
	g_autofree char *certificate = door_path("cert.pem"), *key = door_path("key.pem");
	g_autofree char *users = door_path("users"), *objects = door_path("objects");
	certificate_make(certificate, key, 3600);
	g_autofree char *line = g_strdup_printf(
		"device:%s\n", crypt("sesame", "$6$rounds=1000$saltsalt$"));
	assert_true(g_file_set_contents_full(
		users, line, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
	assert_int_equal(g_mkdir_with_parents(objects, 0700), 0);
}

int door_start(void **state)
{
	(void)state;
	g_autoptr(GError) error = NULL;
	log_init(false, LOG_LEVEL_ERROR);
	signal(SIGPIPE, SIG_IGN); /* as the gateway does: libuv writes plainly */
	door.directory = g_dir_make_tmp("stowage-smtp-XXXXXX", NULL);
	for (size_t i = 0; i < PORTS; i++)
		door.ports[i] = door_free_port();
	make_files();
	door.conf = door_load_settings();
	door.metrics = metrics_new();
	door.queue = queue_new(&door.conf->queue, &error);
	assert_null(error);
	uv_loop_init(&door.loop);
	uv_async_init(&door.loop, &door.call, on_call);
	door.server =
		smtp_server_new(&door.loop, door.conf, door.queue, door.metrics, &error);
	if (!door.server)
		fail_msg("%s", error->message);
	smtp_server_start(door.server);
	door.thread = g_thread_new("loop", run_loop, NULL);
	return 0;
}

static void free_server(void)
{
	smtp_server_free(&door.server);
	uv_close((uv_handle_t *)&door.call, NULL);
}

int door_stop(void **state)
{
	(void)state;
	door_call(free_server);
	g_thread_join(door.thread);
	assert_int_equal(uv_loop_close(&door.loop), 0); /* every handle is closed */
	queue_free(&door.queue);
	metrics_free(&door.metrics);
	conf_unref(door.conf);
	tree_remove(door.directory);
	g_free(door.directory);
	g_free(door.reload_error);
	return 0;
}
