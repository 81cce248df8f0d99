/* The files of templates that the settings name, read into what mime/ takes. */
#include "conf/templates.h"

#include "conf/files.h"
#include "mime/template.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* All of a file, or one octet more than a template may have; NULL with errno. */
static char *read_template(const char *path, size_t *length)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return NULL;
	char *text = g_malloc(MIME_TEMPLATE_BYTES_MAX + 1);
	ssize_t n = conf_file_read(fd, text, MIME_TEMPLATE_BYTES_MAX + 1);
	int cause = errno;
	close(fd);
	errno = cause;
	if (n < 0) {
		g_free(text);
		return NULL;
	}
	*length = (size_t)n;
	return text;
}

static const struct mime_template *load(struct conf_snapshot *snapshot,
	struct conf_source *source, const char *key, const char *path,
	enum mime_template_kind kind)
{
	g_autoptr(GError) error = NULL;
	size_t length, line = 0;
	if (path == NULL || conf_source_is_bad(source, key))
		return NULL;
	g_autofree char *text = read_template(path, &length);
	if (text == NULL) {
		conf_source_problem(
			source, key, "%s: cannot be read: %s", path, g_strerror(errno));
		return NULL;
	}
	struct mime_template *template =
		mime_template_new(kind, text, length, &line, &error);
	if (template == NULL)
		conf_source_problem(
			source, key, "%s:%zu: %s", path, line, error->message);
	else
		conf_snapshot_template(snapshot, template);
	return template;
}

void conf_templates_load(struct conf_snapshot *snapshot, struct conf_source *source)
{
	struct conf *conf = &snapshot->conf;
	conf->attachments.text_template = load(snapshot, source,
		"attachments.template_text", conf->template_text, MIME_TEMPLATE_TEXT);
	conf->attachments.html_template = load(snapshot, source,
		"attachments.template_html", conf->template_html, MIME_TEMPLATE_HTML);
}
