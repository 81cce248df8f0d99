/* What a listener's clients are offered: versions, ciphers, and the certificate for the
 * name that they ask for. */
#include "gateway/smtp/tls_private.h"

#include "gateway/error.h"

#include <openssl/err.h>
#include <string.h>

static const struct profile {
	const char *name;
	int version_min;
	const char *ciphers; /* up to TLS 1.2; those of 1.3 are OpenSSL's default */
	const char *groups;  /* NULL: OpenSSL's default */
	uint64_t options;
	int dh_auto; /* 1: as strong as the key, 2: 1,024 bits */
} profiles[CONF_TLS_PROFILES] = {
	/* ssl-config.mozilla.org, version 5.7. Whatever the client likes best of these is
	 * good. */
	[CONF_TLS_INTERMEDIATE] = { "intermediate", TLS1_2_VERSION,
		"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
		"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
		"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
		"DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:"
		"DHE-RSA-CHACHA20-POLY1305",
		"X25519:P-256:P-384", 0, 1 },
	[CONF_TLS_MODERN] = { "modern", TLS1_3_VERSION, NULL, "X25519:P-256:P-384", 0,
		1 },
	/* Ours is the choice: old clients put bad ciphers first. Security level 0, since
	 * above it TLS 1.0's SHA-1 signatures are refused. */
	[CONF_TLS_OLD] = { "old", TLS1_VERSION, "ALL:!aNULL:!eNULL:!PSK:!SRP:@SECLEVEL=0",
		NULL, SSL_OP_CIPHER_SERVER_PREFERENCE, 2 },
};

struct tls_context {
	gatomicrefcount references;
	SSL_CTX *unnamed;    /* for who asks for no name that we have */
	GHashTable *by_name; /* folded name, "*.name" too, to SSL_CTX */
};

/* What a context is built from. */
struct building {
	const struct tls_certificates *certificates;
	const struct conf_listener *listener;
	const struct profile *profile;
	struct tls_authorities authorities; /* empty: clients are not asked */
	GHashTable *by_set; /* names of equal certificates share an SSL_CTX */
	struct tls_context *context;
};

/* ---- one SSL_CTX ---- */

static bool set_profile(SSL_CTX *ssl, const struct profile *profile)
{
	SSL_CTX_set_options(ssl, profile->options);
	SSL_CTX_set_dh_auto(ssl, profile->dh_auto);
	return SSL_CTX_set_min_proto_version(ssl, profile->version_min) == 1 &&
	       SSL_CTX_set_max_proto_version(ssl, 0) == 1 &&
	       (!profile->ciphers ||
		       SSL_CTX_set_cipher_list(ssl, profile->ciphers) == 1) &&
	       (!profile->groups || SSL_CTX_set1_groups_list(ssl, profile->groups) == 1);
}

/* The context for name, folded; NULL: no certificate is for it. */
static SSL_CTX *choose(const struct tls_context *context, const char *name)
{
	SSL_CTX *choice = g_hash_table_lookup(context->by_name, name);
	const char *rest = strchr(name, '.');
	if (choice || !rest)
		return choice;
	g_autofree char *wildcard = g_strconcat("*", rest, NULL);
	return g_hash_table_lookup(context->by_name, wildcard);
}

static int on_server_name(SSL *ssl, int *alert, void *pointer)
{
	const struct tls_context *context = pointer;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	char folded[TLS_NAME_BYTES_MAX + 1];
	(void)alert;
	if (!name || !tls_name_fold(name, strlen(name), false, folded))
		return SSL_TLSEXT_ERR_NOACK;
	SSL_CTX *choice = choose(context, folded);
	if (!choice)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_SSL_CTX(ssl, choice);
	return SSL_TLSEXT_ERR_OK;
}

static void set_common(SSL_CTX *ssl, struct tls_context *context)
{
	static const unsigned char session_context[] = "stowage";
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_session_id_context(ssl, session_context, sizeof(session_context) - 1);
	SSL_CTX_set_num_tickets(ssl, 0);
	/* The chain is the file's: none is looked for, in each handshake, among clients'
	 * authorities. */
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_set_options(
		ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
	SSL_CTX_set_tlsext_servername_callback(ssl, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(ssl, context);
}

static bool add_certificate(SSL_CTX *ssl, const struct building *building,
	const struct tls_certificate *certificate, GError **error)
{
	if (SSL_CTX_use_cert_and_key(
		    ssl, certificate->leaf, certificate->key, certificate->chain, 1) == 1)
		return true;
	g_autofree char *what = g_strdup_printf("the certificate does not do for TLS "
						"profile \"%s\" of listener \"%s\":",
		building->profile->name, building->listener->name);
	return tls_fail(error, what, certificate->file);
}

static SSL_CTX *new_ssl(
	const struct building *building, const GPtrArray *set, GError **error)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
	g_assert(ssl);
	ERR_clear_error();
	set_common(ssl, building->context);
	bool good = set_profile(ssl, building->profile);
	if (!good)
		tls_fail(error, "TLS profile", building->profile->name);
	for (guint i = 0; good && i < set->len; i++)
		good = add_certificate(ssl, building, g_ptr_array_index(set, i), error);
	if (!good) {
		SSL_CTX_free(ssl);
		return NULL;
	}
	if (building->authorities.store)
		tls_authorities_use(&building->authorities, ssl,
			building->listener->client_certificates);
	return ssl;
}

/* ---- certificates that go together ---- */

/* Adds certificate unless set has one of its kind. */
static void add_kind(GPtrArray *set, const struct tls_certificate *certificate)
{
	for (guint i = 0; i < set->len; i++) {
		if (tls_certificate_kind(g_ptr_array_index(set, i)) ==
			tls_certificate_kind(certificate))
			return;
	}
	g_ptr_array_add(set, (void *)certificate);
}

/* Those for name: of each kind of key the first that has it, or covers it. */
static GPtrArray *set_for_name(const struct tls_certificates *all, const char *name)
{
	GPtrArray *set = g_ptr_array_new();
	size_t n = tls_certificates_count(all);
	for (size_t i = 0; i < n; i++) {
		if (tls_certificate_has(tls_certificate_at(all, i), name))
			add_kind(set, tls_certificate_at(all, i));
	}
	for (size_t i = 0; i < n; i++) {
		if (tls_certificate_covers(tls_certificate_at(all, i), name))
			add_kind(set, tls_certificate_at(all, i));
	}
	return set;
}

static bool share_a_name(const struct tls_certificate *a, const struct tls_certificate *b)
{
	for (guint i = 0; i < a->names->len; i++) {
		const char *name = g_ptr_array_index(a->names, i);
		if (tls_certificate_has(b, name) || tls_certificate_covers(b, name))
			return true;
	}
	return false;
}

/* The default, and others of its names with other kinds of key: clients that do not say
 * which name they want are the oldest. */
static GPtrArray *set_for_nobody(const struct tls_certificates *all)
{
	GPtrArray *set = g_ptr_array_new();
	const struct tls_certificate *first = tls_certificate_at(all, 0);
	g_ptr_array_add(set, (void *)first);
	for (size_t i = 1; i < tls_certificates_count(all); i++) {
		const struct tls_certificate *other = tls_certificate_at(all, i);
		if (share_a_name(first, other) || share_a_name(other, first))
			add_kind(set, other);
	}
	return set;
}

/* ---- building ---- */

static gint compare_pointers(gconstpointer a, gconstpointer b)
{
	const void *const *left = a, *const *right = b;
	return (*left > *right) - (*left < *right);
}

static GBytes *key_of(const GPtrArray *set)
{
	g_autoptr(GPtrArray) sorted = g_ptr_array_copy((GPtrArray *)set, NULL, NULL);
	g_ptr_array_sort(sorted, compare_pointers);
	return g_bytes_new(sorted->pdata, sorted->len * sizeof(void *));
}

/* Borrowed from by_set; NULL with error. */
static SSL_CTX *ssl_for(struct building *building, const GPtrArray *set, GError **error)
{
	g_autoptr(GBytes) key = key_of(set);
	SSL_CTX *ssl = g_hash_table_lookup(building->by_set, key);
	if (ssl)
		return ssl;
	ssl = new_ssl(building, set, error);
	if (ssl)
		g_hash_table_insert(building->by_set, g_steal_pointer(&key), ssl);
	return ssl;
}

static bool add_name(struct building *building, const char *name, GError **error)
{
	GHashTable *by_name = building->context->by_name;
	if (g_hash_table_contains(by_name, name))
		return true;
	g_autoptr(GPtrArray) set = set_for_name(building->certificates, name);
	SSL_CTX *ssl = ssl_for(building, set, error);
	if (!ssl)
		return false;
	SSL_CTX_up_ref(ssl);
	g_hash_table_insert(by_name, g_strdup(name), ssl);
	return true;
}

static bool add_names(struct building *building, GError **error)
{
	for (size_t i = 0; i < tls_certificates_count(building->certificates); i++) {
		const GPtrArray *names =
			tls_certificate_at(building->certificates, i)->names;
		for (guint j = 0; j < names->len; j++) {
			if (!add_name(building, g_ptr_array_index(names, j), error))
				return false;
		}
	}
	return true;
}

static bool load_authorities(struct building *building, GError **error)
{
	const struct conf_listener *listener = building->listener;
	if (listener->client_certificates == CONF_CLIENT_CERTIFICATES_NONE)
		return true;
	if (listener->client_ca)
		return tls_authorities_load(
			&building->authorities, listener->client_ca, error);
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
		"client_ca is needed: listener \"%s\" asks clients for certificates",
		listener->name);
	return false;
}

static bool build(struct building *building, GError **error)
{
	if (!load_authorities(building, error))
		return false;
	g_autoptr(GPtrArray) set = set_for_nobody(building->certificates);
	SSL_CTX *ssl = ssl_for(building, set, error);
	if (!ssl)
		return false;
	SSL_CTX_up_ref(ssl);
	building->context->unnamed = ssl;
	/* With one certificate there is nothing to choose. */
	return tls_certificates_count(building->certificates) == 1 ||
	       add_names(building, error);
}

static struct tls_context *context_new_empty(void)
{
	struct tls_context *context = g_new0(struct tls_context, 1);
	g_atomic_ref_count_init(&context->references);
	context->by_name = g_hash_table_new_full(
		g_str_hash, g_str_equal, g_free, (GDestroyNotify)SSL_CTX_free);
	return context;
}

struct tls_context *tls_context_new(const struct tls_certificates *certificates,
	const struct conf_listener *listener, GError **error)
{
	struct tls_context *context = context_new_empty();
	struct building building = {
		.certificates = certificates,
		.listener = listener,
		.profile = &profiles[listener->tls_profile],
		.by_set = g_hash_table_new_full(g_bytes_hash, g_bytes_equal,
			(GDestroyNotify)g_bytes_unref, (GDestroyNotify)SSL_CTX_free),
		.context = context,
	};
	if (!build(&building, error))
		tls_context_unref(&context);
	tls_authorities_clear(&building.authorities);
	g_hash_table_unref(building.by_set);
	return context;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
	g_atomic_ref_count_inc(&context->references);
	return context;
}

void tls_context_unref(struct tls_context **context)
{
	struct tls_context *old = *context;
	*context = NULL;
	if (!old || !g_atomic_ref_count_dec(&old->references))
		return;
	SSL_CTX_free(old->unnamed);
	g_hash_table_unref(old->by_name);
	g_free(old);
}

SSL_CTX *tls_context_default(const struct tls_context *context)
{
	return context->unnamed;
}
