/* Delivery into a Maildir, as its inventor describes it. Reading it is for others. */
#include "gateway/relay/maildir.h"

#include "gateway/error.h"
#include "gateway/relay/client.h"
#include "gateway/write.h"
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES 65536

bool maildir_prepare(const char *directory, GError **error)
{
	static const char *const folders[] = { "tmp", "new", "cur" };
	for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
		g_autofree char *path = g_build_filename(directory, folders[i], NULL);
		if (g_mkdir_with_parents(path, 0700) || access(path, W_OK | X_OK)) {
			g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
				"relay.maildir: %s: %s", path, g_strerror(errno));
			return false;
		}
	}
	return true;
}

/* Unique by the random part alone; time first, so that files sort as they came. */
static char *make_name(const char *hostname)
{
	int64_t now_us = g_get_real_time();
	g_autofree char *host = g_strdup(hostname);
	g_strdelimit(host, "/:", '_');
	return g_strdup_printf("%" G_GINT64_FORMAT ".M%06" G_GINT64_FORMAT
			       "P%dR%08x%08x.%s",
		now_us / G_USEC_PER_SEC, now_us % G_USEC_PER_SEC, (int)getpid(),
		g_random_int(), g_random_int(), host);
}

static bool fail_errno(GError **error, const char *what)
{
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY, "Maildir: %s: %s", what,
		g_strerror(errno));
	return false;
}

static bool write_header(int fd, const struct relay_message *m,
	struct relay_recipient *const *recipients, size_t n, GError **error)
{
	g_autoptr(GString) header = g_string_new(NULL);
	g_string_printf(header, "Return-Path: <%s>\r\n", m->reverse_path);
	for (size_t i = 0; i < n; i++)
		g_string_append_printf(
			header, "Delivered-To: %s\r\n", recipients[i]->forward_path);
	return write_all(fd, header->str, header->len) || fail_errno(error, "write");
}

static bool write_content(int fd, const struct relay_message *m, GError **error)
{
	g_autofree char *block = g_malloc(BLOCK_BYTES);
	struct splice_reader reader;
	splice_reader_init(&reader, m->content, m->fd);
	ssize_t n;
	while ((n = splice_read(&reader, block, BLOCK_BYTES, error)) > 0) {
		if (!write_all(fd, block, (size_t)n))
			return fail_errno(error, "write");
	}
	return n == 0;
}

static bool sync_folder(const char *path, GError **error)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;
	if (!ok)
		fail_errno(error, "fsync of new/");
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool write_file(const char *path, const struct relay_message *m,
	struct relay_recipient *const *recipients, size_t n, GError **error)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_errno(error, "cannot make a file in tmp/");
	bool ok =
		write_header(fd, m, recipients, n, error) && write_content(fd, m, error);
	if (ok && fsync(fd))
		ok = fail_errno(error, "fsync");
	close(fd);
	return ok;
}

static bool store(const char *directory, const char *name, struct relay_message *m,
	struct relay_recipient *const *recipients, size_t n, GError **error)
{
	g_autofree char *from = g_build_filename(directory, "tmp", name, NULL);
	g_autofree char *folder = g_build_filename(directory, "new", NULL);
	g_autofree char *to = g_build_filename(folder, name, NULL);
	bool ok = write_file(from, m, recipients, n, error) &&
		  (!m->before_final_dot || m->before_final_dot(m->context, error));
	if (ok && rename(from, to))
		ok = fail_errno(error, "rename into new/");
	if (!ok)
		unlink(from);
	if (ok && !sync_folder(folder, error)) {
		unlink(to); /* it will come again: not twice */
		ok = false;
	}
	return ok;
}

void maildir_deliver(const char *directory, const char *hostname, struct relay_message *m,
	struct relay_recipient *const *recipients, size_t n)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *name = make_name(hostname);
	bool ok = store(directory, name, m, recipients, n, &error);
	g_autofree char *text = ok ? g_strdup_printf("2.0.0 stored as %s", name)
				   : g_strdup(error ? error->message : "given up");
	for (size_t i = 0; i < n; i++)
		client_set_verdict(recipients[i], ok ? RELAY_SENT : RELAY_DEFERRED,
			ok ? 250 : 0, text);
	if (ok) {
		g_free(m->relay_id);
		m->relay_id = g_steal_pointer(&name);
	}
}
