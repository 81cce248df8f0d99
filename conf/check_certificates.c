/* The listeners' certificates: that each is there, with its key, and of use. */
#include "conf/check.h"
#include "conf/files.h"
#include <string.h>

/* A certificate and its key, and the paths of both. */
struct pair {
	const char *certificate, *key;
	const char *certificate_path, *key_path;
};

/* Identities of pairs that were looked at, owned, with their paths. */
static void check_identity(
	const struct conf_check *check, const struct pair *pair, GHashTable *identities)
{
	char *identity = conf_file_certificate_identity(pair->certificate);
	const char *other =
		identity != NULL ? g_hash_table_lookup(identities, identity) : NULL;
	if (other != NULL)
		conf_source_warning(check->source, pair->certificate_path,
			"has the names and the kind of key that %s has: only one of them "
			"is ever shown",
			other);
	if (identity != NULL && other == NULL)
		g_hash_table_insert(
			identities, identity, g_strdup(pair->certificate_path));
	else
		g_free(identity);
}

static void check_pair(
	const struct conf_check *check, const struct pair *pair, GHashTable *identities)
{
	g_autoptr(GError) error = NULL;
	conf_check_file(check, pair->certificate_path, pair->certificate,
		conf_file_check_certificates);
	conf_check_file(check, pair->key_path, pair->key, conf_file_check_key);
	if (!check->look_at_files || pair->certificate == NULL || pair->key == NULL ||
		conf_check_any_bad(check, pair->certificate_path, pair->key_path, NULL))
		return;
	if (!conf_file_check_pair(pair->certificate, pair->key, &error))
		conf_source_problem(check->source, pair->key_path, "%s", error->message);
	else
		check_identity(check, pair, identities);
	if (conf_file_certificate_has_expired(pair->certificate))
		conf_source_warning(check->source, pair->certificate_path,
			"the certificate in %s has expired", pair->certificate);
	if (conf_file_is_world_readable(pair->key))
		conf_source_warning(check->source, pair->key_path,
			"%s can be read by every user of this machine: chmod o-r",
			pair->key);
}

static void check_together(const struct conf_check *check)
{
	const struct conf *conf = check->conf;
	if (conf->tls_certificate != NULL && conf->tls_key == NULL &&
		!conf_check_any_bad(check, "tls.key", NULL))
		conf_source_problem(check->source, "tls.key",
			"is missing: the certificate needs its private key");
	if (conf->tls_certificate == NULL && conf->tls_key != NULL &&
		!conf_check_any_bad(check, "tls.certificate", NULL))
		conf_source_problem(check->source, "tls.certificate",
			"is missing: the key needs its certificate");
	if (conf->tls_certificate == NULL && conf->tls_key == NULL &&
		conf->n_tls_additional > 0 &&
		!conf_check_any_bad(check, "tls.certificate", "tls.key", NULL))
		conf_source_problem(check->source, "tls.certificate",
			"is missing: additional certificates stand beside one for "
			"clients that ask for no name");
}

void conf_check_certificates(const struct conf_check *check)
{
	const struct conf *conf = check->conf;
	struct pair first = { conf->tls_certificate, conf->tls_key, "tls.certificate",
		"tls.key" };
	g_autoptr(GHashTable) identities =
		g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	check_together(check);
	check_pair(check, &first, identities);
	for (size_t i = 0; i < conf->n_tls_additional; i++) {
		g_autofree char *certificate =
			g_strdup_printf("tls.additional[%zu].certificate", i);
		g_autofree char *key = g_strdup_printf("tls.additional[%zu].key", i);
		struct pair pair = { conf->tls_additional[i].certificate,
			conf->tls_additional[i].key, certificate, key };
		check_pair(check, &pair, identities);
	}
}
