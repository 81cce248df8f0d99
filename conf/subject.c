/* Says where a listener's mistakes are. What is one is for the checks. */
#include "conf/subject.h"

#include <stdarg.h>

static char *path_of(const struct conf_subject *s, const char *key)
{
	return g_strdup_printf("listeners[%zu].%s", s->index, key);
}

void conf_subject_problem(
	const struct conf_subject *s, const char *key, const char *format, ...)
{
	g_autofree char *path = path_of(s, key);
	va_list arguments;
	va_start(arguments, format);
	g_autofree char *text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	conf_source_problem(s->check->source, path, "%s", text);
}

void conf_subject_warning(
	const struct conf_subject *s, const char *key, const char *format, ...)
{
	g_autofree char *path = path_of(s, key);
	va_list arguments;
	va_start(arguments, format);
	g_autofree char *text = g_strdup_vprintf(format, arguments);
	va_end(arguments);
	conf_source_warning(s->check->source, path, "%s", text);
}

bool conf_subject_is_bad(const struct conf_subject *s, const char *key)
{
	g_autofree char *path = path_of(s, key);
	return conf_source_is_bad(s->check->source, path);
}

bool conf_subject_is_given(const struct conf_subject *s, const char *key)
{
	g_autofree char *path = path_of(s, key);
	return conf_source_is_given(s->check->source, path);
}

/* Reached by programs of this machine alone: a proxy would bring others' clients. */
static bool is_for_this_machine(const struct conf_listener *listener)
{
	return listener->n_proxies == 0 &&
	       conf_address_is_loopback(
		       (const struct sockaddr *)&listener->socket_address);
}

bool conf_subject_is_open_to_world(const struct conf_subject *s)
{
	const struct conf_listener *listener = s->listener;
	for (size_t i = 0; i < listener->n_networks; i++)
		if (conf_network_is_world(&listener->networks[i]))
			return !is_for_this_machine(listener);
	return listener->n_networks == 0 && !is_for_this_machine(listener);
}

bool conf_subject_has_private_clients_only(const struct conf_subject *s)
{
	const struct conf_listener *listener = s->listener;
	for (size_t i = 0; i < listener->n_networks; i++)
		if (!conf_network_is_private(&listener->networks[i]))
			return is_for_this_machine(listener);
	return listener->n_networks > 0 || is_for_this_machine(listener);
}
