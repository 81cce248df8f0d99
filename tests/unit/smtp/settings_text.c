/* A store, a relay and a queue that nobody uses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "settings_text.h"
#include <string.h>

static const char rest[] =
	"hostname: mx.example\n"
	"s3: { directory: /nonexistent/store, directory_url: 'http://127.0.0.1:1', "
	"access_key_id: a, secret_access_key: b }\n"
	"relay: { maildir: /nonexistent/maildir }\n"
	"queue: { directory: /nonexistent/queue }\n"
	"admin: { listen: off }\n";

struct conf *settings_text_load(const char *text)
{
	g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
	g_autofree char *whole = g_strconcat(text, rest, NULL);
	struct conf *conf =
		conf_load_text("test", whole, strlen(whole), false, problems, NULL);
	if (!conf)
		fail_msg("%s", (const char *)g_ptr_array_index(problems, 0));
	return conf;
}
