/* Prints what those who read the files found. Decides nothing. */
#include "gateway/problems.h"

#include "gateway/policy/users.h"
#include "gateway/smtp/settings.h"
#include <stdio.h>

static void print(const GPtrArray *lines, const char *mark)
{
	for (guint i = 0; i < lines->len; i++)
		fprintf(stderr, "%s%s\n", (const char *)g_ptr_array_index(lines, i),
			mark);
}

struct conf *problems_load_conf(const char *path, GPtrArray *warnings)
{
	g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func(g_free);
	struct conf *conf = conf_load(path, problems, warnings ? warnings : found);
	print(problems, "");
	if (!warnings)
		print(found, " (warning)");
	return conf;
}

bool problems_read_files(const struct conf *conf)
{
	g_autoptr(GError) users_error = NULL;
	g_autoptr(GError) tls_error = NULL;
	struct users *users = users_load(conf->users_file, &users_error);
	struct smtp_tls *tls = smtp_tls_load(conf, &tls_error);
	bool good = users && tls;
	if (!users)
		fprintf(stderr, "%s\n", users_error->message);
	else
		users_unref(&users);
	if (!tls)
		fprintf(stderr, "%s\n", tls_error->message);
	smtp_tls_unref(&tls);
	return good;
}
