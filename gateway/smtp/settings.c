/* Certificates, authorities and users are read once per reading of the settings. What is
 * in them is tls's and policy/'s. */
#include "gateway/smtp/settings.h"

#include "gateway/error.h"
#include "gateway/log.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* ---- TLS ---- */

static void context_free(void *pointer)
{
	struct tls_context *context = pointer;
	tls_context_unref(&context);
}

static bool want_the_same(const struct conf_listener *a, const struct conf_listener *b)
{
	return a->tls_profile == b->tls_profile &&
	       a->client_certificates == b->client_certificates &&
	       (a->client_certificates == CONF_CLIENT_CERTIFICATES_NONE ||
		       !g_strcmp0(a->client_ca, b->client_ca));
}

/* NULL: none of the listeners before index has what it wants. */
static struct tls_context *find_context(
	const struct smtp_tls *tls, const struct conf *conf, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		struct tls_context *context = g_ptr_array_index(tls->contexts, i);
		if (context &&
			want_the_same(&conf->listeners[i], &conf->listeners[index]))
			return context;
	}
	return NULL;
}

static bool add_context(
	struct smtp_tls *tls, const struct conf *conf, size_t index, GError **error)
{
	if (conf->listeners[index].tls == CONF_TLS_NONE) {
		g_ptr_array_add(tls->contexts, NULL);
		return true;
	}
	if (!tls->certificates)
		tls->certificates = tls_certificates_load(conf, error);
	if (!tls->certificates)
		return false;
	struct tls_context *context = find_context(tls, conf, index);
	context = context ? tls_context_ref(context)
			  : tls_context_new(
				    tls->certificates, &conf->listeners[index], error);
	g_ptr_array_add(tls->contexts, context);
	return context;
}

struct smtp_tls *smtp_tls_load(const struct conf *conf, GError **error)
{
	struct smtp_tls *tls = g_new0(struct smtp_tls, 1);
	g_atomic_ref_count_init(&tls->references);
	tls->contexts = g_ptr_array_new_with_free_func(context_free);
	for (size_t i = 0; i < conf->n_listeners; i++) {
		if (!add_context(tls, conf, i, error)) {
			smtp_tls_unref(&tls);
			break;
		}
	}
	return tls;
}

static struct smtp_tls *ref(struct smtp_tls *tls)
{
	g_atomic_ref_count_inc(&tls->references);
	return tls;
}

void smtp_tls_unref(struct smtp_tls **tls)
{
	struct smtp_tls *old = *tls;
	*tls = NULL;
	if (!old || !g_atomic_ref_count_dec(&old->references))
		return;
	g_ptr_array_unref(old->contexts);
	tls_certificates_free(&old->certificates);
	g_free(old);
}

/* ---- files ---- */

static void look_at(GString *look, const char *path)
{
	struct stat status;
	if (!path)
		return;
	if (stat(path, &status)) {
		g_string_append_printf(look, "%s: %d\n", path, errno);
		return;
	}
	g_string_append_printf(look, "%s: %ju %ju %ju %jd.%09ld %jd.%09ld\n", path,
		(uintmax_t)status.st_dev, (uintmax_t)status.st_ino,
		(uintmax_t)status.st_size, (intmax_t)status.st_mtim.tv_sec,
		status.st_mtim.tv_nsec, (intmax_t)status.st_ctim.tv_sec,
		status.st_ctim.tv_nsec);
}

static void look_at_tls(GString *look, const struct conf *conf)
{
	bool any = conf->downloads.tls;
	for (size_t i = 0; i < conf->n_listeners; i++) {
		const struct conf_listener *listener = &conf->listeners[i];
		any |= listener->tls != CONF_TLS_NONE;
		if (listener->tls != CONF_TLS_NONE &&
			listener->client_certificates != CONF_CLIENT_CERTIFICATES_NONE)
			look_at(look, listener->client_ca);
	}
	if (!any)
		return;
	look_at(look, conf->tls_certificate);
	look_at(look, conf->tls_key);
	for (size_t i = 0; i < conf->n_tls_additional; i++) {
		look_at(look, conf->tls_additional[i].certificate);
		look_at(look, conf->tls_additional[i].key);
	}
}

char *smtp_files_look(const struct conf *conf, enum smtp_files files)
{
	GString *look = g_string_new(NULL);
	if (files == SMTP_FILES_TLS)
		look_at_tls(look, conf);
	else
		look_at(look, conf->users_file);
	return g_string_free(look, FALSE);
}

/* Looks are lines of "FILE: how it is", in the order of the settings. */
char *smtp_files_changed(const char *before, const char *now)
{
	g_auto(GStrv) old = g_strsplit(before, "\n", -1);
	g_auto(GStrv) new = g_strsplit(now, "\n", -1);
	size_t i = 0;
	while (new[i] && !g_strcmp0(old[i], new[i]))
		i++;
	const char *colon = new[i] ? strrchr(new[i], ':') : NULL;
	return colon ? g_strndup(new[i], (gsize)(colon - new[i])) : NULL;
}

/* ---- settings ---- */

static void warn_if_expired(int64_t expiry_s, const char *file)
{
	if (expiry_s >= time(NULL))
		return;
	log_warning("tls.certificate_expired", LOG_TEXT("file", file),
		LOG_NUMBER("expired_s", expiry_s),
		LOG_TEXT(
			"reason", "the certificate has expired: clients will refuse it"));
}

/* To the metric, the one that ends first. */
static void report_expiry(
	const struct tls_certificates *certificates, struct metrics *metrics)
{
	int64_t first_s = INT64_MAX;
	for (size_t i = 0; i < tls_certificates_count(certificates); i++) {
		const char *file;
		int64_t expiry_s = tls_certificates_expiry_s(certificates, i, &file);
		warn_if_expired(expiry_s, file);
		first_s = MIN(first_s, expiry_s);
	}
	metrics_set(metrics, METRIC_CERTIFICATE_EXPIRY_SECONDS, NULL, (double)first_s);
}

static struct smtp_settings *settings_new_empty(struct conf *conf)
{
	struct smtp_settings *settings = g_new0(struct smtp_settings, 1);
	settings->references = 1;
	settings->conf = conf_ref(conf);
	return settings;
}

/* Looks first: what changes meanwhile will be seen to have changed. */
static bool load(struct smtp_settings *settings, GError **error)
{
	for (unsigned i = 0; i < SMTP_FILES; i++)
		settings->looks[i] = smtp_files_look(settings->conf, (enum smtp_files)i);
	settings->users = users_load(settings->conf->users_file, error);
	if (settings->users)
		settings->tls = smtp_tls_load(settings->conf, error);
	return settings->tls;
}

struct smtp_settings *smtp_settings_new(
	struct conf *conf, struct metrics *metrics, GError **error)
{
	struct smtp_settings *settings = settings_new_empty(conf);
	if (!load(settings, error))
		smtp_settings_unref(&settings);
	else if (settings->tls->certificates)
		report_expiry(settings->tls->certificates, metrics);
	return settings;
}

struct smtp_settings *smtp_settings_with(const struct smtp_settings *old,
	struct smtp_tls *tls, struct users *users, struct metrics *metrics)
{
	struct smtp_settings *settings = settings_new_empty(old->conf);
	for (unsigned i = 0; i < SMTP_FILES; i++)
		settings->looks[i] = g_strdup(old->looks[i]);
	settings->tls = ref(tls ? tls : old->tls);
	settings->users = users_ref(users ? users : old->users);
	if (tls && tls->certificates)
		report_expiry(tls->certificates, metrics);
	return settings;
}

struct smtp_settings *smtp_settings_ref(struct smtp_settings *settings)
{
	settings->references++;
	return settings;
}

void smtp_settings_unref(struct smtp_settings **settings)
{
	struct smtp_settings *old = *settings;
	*settings = NULL;
	if (!old || --old->references)
		return;
	if (old->users)
		users_unref(&old->users);
	smtp_tls_unref(&old->tls);
	for (unsigned i = 0; i < SMTP_FILES; i++)
		g_free(old->looks[i]);
	conf_unref(old->conf);
	g_free(old);
}

struct tls_context *smtp_settings_tls(
	const struct smtp_settings *settings, const struct conf_listener *listener)
{
	size_t index = (size_t)(listener - settings->conf->listeners);
	g_assert(index < settings->conf->n_listeners);
	return g_ptr_array_index(settings->tls->contexts, index);
}
