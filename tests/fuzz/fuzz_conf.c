/* A settings file of any bytes: refused with reasons, or taken and usable. */
#include "conf/conf.h"
#include "tests/fuzz/fuzz.h"
#include <stdlib.h>
#include <string.h>

/* What is taken must answer, and lead no address of its own back to itself. */
static void use(const struct conf *conf)
{
	static const char *const addresses[] = { "x@a.example", "\"x y\"@b.example", "x",
		"@", "" };
	for (size_t i = 0; i < G_N_ELEMENTS(addresses); i++) {
		conf_relay_delivers(conf, addresses[i]);
		const struct conf_account *account =
			conf_account_find(conf, addresses[i]);
		if (account != NULL && account->from != NULL)
			conf_identities_have(account->from, addresses[i]);
		for (size_t j = 0; j < conf->n_listeners; j++) {
			const struct conf_recipient_map *map =
				conf->listeners[j].recipients;
			g_autofree char *target =
				map != NULL
					? conf_recipient_map_resolve(map, addresses[i])
					: NULL;
			if (target != NULL && strchr(target, '@') == NULL)
				abort();
		}
	}
	for (size_t i = 0; i < conf->n_accounts; i++)
		if (conf_account_find(conf, conf->accounts[i].user) == NULL)
			abort();
	for (size_t i = 0; i < conf->n_tls_additional; i++)
		if (conf->tls_additional[i].certificate == NULL ||
			conf->tls_additional[i].key == NULL)
			abort();
	if (conf->hostname == NULL || conf->n_listeners == 0 ||
		(conf->relay.host == NULL) == (conf->relay.maildir == NULL))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	g_autoptr(GPtrArray) problems = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
	struct conf *conf = conf_load_text(
		"fuzz", (const char *)data, size, false, problems, warnings);
	if ((conf == NULL) != (problems->len > 0))
		abort();
	for (size_t i = 0; i < problems->len; i++)
		if (!g_utf8_validate(problems->pdata[i], -1, NULL))
			abort();
	if (conf != NULL)
		use(conf);
	conf_unref(conf);
	return 0;
}
