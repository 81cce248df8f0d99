/* An exception is a whole set of settings, made once, when they are loaded. */
#include "conf/exception.h"

#include "conf/account.h"
#include "conf/schema.h"
#include <string.h>

#define LIST "attachments.exceptions"

static void copy_field(const struct conf_field *field, char *to, const char *from)
{
	if (field->kind != CONF_KIND_LIST) {
		memcpy(to + field->offset, from + field->offset, field->width);
		return;
	}
	memcpy(to + field->offset, from + field->offset, sizeof(void *));
	memcpy(to + field->count_offset, from + field->count_offset, sizeof(size_t));
}

static void complete(const struct conf *conf, const struct conf_source *source,
	struct conf_exception *exception, size_t index)
{
	struct conf_exception whole = { .attachments = conf->attachments };
	for (size_t i = 0; i < conf_schema_exception.n_fields; i++) {
		const struct conf_field *field = &conf_schema_exception.fields[i];
		g_autofree char *path =
			g_strdup_printf(LIST "[%zu].%s", index, field->key);
		if (conf_source_is_given(source, path))
			copy_field(field, (char *)&whole, (const char *)exception);
	}
	*exception = whole;
}

static bool is_listener(const struct conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->n_listeners; i++)
		if (conf->listeners[i].name != NULL &&
			strcmp(conf->listeners[i].name, name) == 0)
			return true;
	return false;
}

static void check(const struct conf *conf, struct conf_source *source,
	const struct conf_exception *exception, size_t index)
{
	g_autofree char *path = g_strdup_printf(LIST "[%zu]", index);
	g_autofree char *listener = g_strconcat(path, ".listener", NULL);
	g_autofree char *user = g_strconcat(path, ".user", NULL);
	if (conf_source_is_bad(source, listener) || conf_source_is_bad(source, user))
		return;
	if (exception->listener == NULL && exception->user == NULL)
		conf_source_problem(source, path,
			"says neither listener nor user: what holds for all mail "
			"stands in attachments itself");
	else if (exception->listener != NULL && !is_listener(conf, exception->listener))
		conf_source_problem(source, listener,
			"\"%s\" is not the name of a listener", exception->listener);
}

void conf_exceptions_complete(struct conf *conf, struct conf_source *source)
{
	/* Const for everyone but those who load them. */
	struct conf_exception *exceptions = (struct conf_exception *)conf->exceptions;
	for (size_t i = 0; i < conf->n_exceptions; i++) {
		complete(conf, source, &exceptions[i], i);
		check(conf, source, &exceptions[i], i);
	}
}

static bool fits(
	const struct conf_exception *exception, const char *listener, const char *user)
{
	if (exception->listener != NULL &&
		(listener == NULL || strcmp(exception->listener, listener) != 0))
		return false;
	return exception->user == NULL ||
	       (user != NULL && conf_account_fits(exception->user, user));
}

const struct mime_settings *conf_attachments_for(
	const struct conf *conf, const char *listener, const char *user)
{
	for (size_t i = 0; i < conf->n_exceptions; i++)
		if (fits(&conf->exceptions[i], listener, user))
			return &conf->exceptions[i].attachments;
	return &conf->attachments;
}
