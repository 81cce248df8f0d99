/* Certificates and users are read once per reading of the settings. What is in them is
 * tls.c's and policy/'s. */
#include "gateway/smtp/settings.h"

#include "gateway/error.h"
#include "gateway/log.h"

#include <time.h>

static bool load_tls(struct smtp_settings *settings, bool legacy, GError **error)
{
	struct tls_context **context = legacy ? &settings->tls_legacy : &settings->tls;
	const struct conf *conf = settings->conf;
	if (*context)
		return true;
	if (!conf->tls_certificate || !conf->tls_key) {
		g_set_error_literal(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"tls.certificate and tls.key are needed: a listener has TLS");
		return false;
	}
	*context = tls_context_new(conf->tls_certificate, conf->tls_key, legacy, error);
	return *context;
}

static bool load(struct smtp_settings *settings, GError **error)
{
	settings->users = users_load(settings->conf->users_file, error);
	if (!settings->users)
		return false;
	for (size_t i = 0; i < settings->conf->n_listeners; i++) {
		const struct conf_listener *listener = &settings->conf->listeners[i];
		bool legacy = listener->profile == CONF_PROFILE_LEGACY;
		if (listener->tls != CONF_TLS_NONE && !load_tls(settings, legacy, error))
			return false;
	}
	return true;
}

static void report_expiry(const struct smtp_settings *settings, struct metrics *metrics)
{
	const struct tls_context *context =
		settings->tls ? settings->tls : settings->tls_legacy;
	if (!context)
		return;
	int64_t expiry_s = tls_context_expiry_s(context);
	metrics_set(metrics, METRIC_CERTIFICATE_EXPIRY_SECONDS, NULL, (double)expiry_s);
	if (expiry_s < time(NULL))
		log_warning("tls.certificate_expired",
			LOG_TEXT("file", settings->conf->tls_certificate),
			LOG_NUMBER("expired_s", expiry_s),
			LOG_TEXT("reason",
				"the certificate has expired: clients will refuse it"));
}

struct smtp_settings *smtp_settings_new(
	struct conf *conf, struct metrics *metrics, GError **error)
{
	struct smtp_settings *settings = g_new0(struct smtp_settings, 1);
	settings->references = 1;
	settings->conf = conf_ref(conf);
	if (load(settings, error))
		report_expiry(settings, metrics);
	else
		smtp_settings_unref(&settings);
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
	tls_context_free(&old->tls);
	tls_context_free(&old->tls_legacy);
	conf_unref(old->conf);
	g_free(old);
}

struct tls_context *smtp_settings_tls(
	const struct smtp_settings *settings, const struct conf_listener *listener)
{
	bool legacy = listener->profile == CONF_PROFILE_LEGACY;
	return legacy ? settings->tls_legacy : settings->tls;
}
