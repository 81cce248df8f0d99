/* What several checks need. What is right is for each of them to say. */
#include "conf/check.h"

#include "conf/error.h"
#include "conf/ses.h"
#include <openssl/crypto.h>
#include <stdarg.h>
#include <string.h>

bool conf_check_any_bad(const struct conf_check *check, const char *path, ...)
{
	bool bad = false;
	va_list paths;
	va_start(paths, path);
	for (; path != NULL && !bad; path = va_arg(paths, const char *))
		bad = conf_source_is_bad(check->source, path);
	va_end(paths);
	return bad;
}

void conf_check_file(const struct conf_check *check, const char *key, const char *path,
	bool (*test)(const char *path, GError **error))
{
	g_autoptr(GError) error = NULL;
	if (check->look_at_files && path != NULL && !test(path, &error))
		conf_source_problem(check->source, key, "%s", error->message);
}

static bool holds_secret(const char *path, GError **error)
{
	char *secret = NULL;
	bool holds = conf_secret(NULL, path, &secret, error);
	if (secret == NULL)
		return holds;
	if (strpbrk(secret, "\r\n") != NULL) {
		g_set_error(error, CONF_ERROR, CONF_ERROR_FILE,
			"%s holds more than one line: it must be the value alone", path);
		holds = false;
	}
	OPENSSL_cleanse(secret, strlen(secret));
	g_free(secret);
	return holds;
}

void conf_check_secret(const struct conf_check *check, const char *key, const char *value,
	const char *file)
{
	g_autofree char *file_key = g_strconcat(key, "_file", NULL);
	if (value != NULL && file != NULL) {
		const char *name = strrchr(key, '.');
		conf_source_problem(check->source, file_key,
			"is given beside %s: keep one of them",
			name != NULL ? name + 1 : key);
	}
	conf_check_file(check, file_key, file, holds_secret);
}

bool conf_check_is_ses(const char *host)
{
	return conf_ses_is_host(host);
}
