/* A settings file to a snapshot: read, completed, checked; and
 * questions put to a snapshot. */
#include "conf/conf.h"

#include "conf/check.h"
#include "conf/exception.h"
#include "conf/files.h"
#include "conf/reader.h"
#include "conf/schema.h"
#include "conf/snapshot.h"
#include "conf/source.h"
#include "conf/templates.h"
#include "conf/yaml.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_given(const struct conf_source *source, size_t listener, const char *key)
{
	g_autofree char *path = g_strdup_printf("listeners[%zu].%s", listener, key);
	return conf_source_is_given(source, path);
}

/* Whether clients that nobody knows may send. */
static bool has_strangers(const struct conf_listener *listener)
{
	for (size_t i = 0; i < listener->n_networks; i++)
		if (conf_network_is_world(&listener->networks[i]))
			return listener->auth != CONF_AUTH_REQUIRED;
	return listener->auth != CONF_AUTH_REQUIRED && listener->n_networks == 0;
}

/* Neither a password nor a network is asked of them. */
static bool has_only_strangers(const struct conf_listener *listener)
{
	return listener->auth == CONF_AUTH_NONE && listener->n_networks == 0;
}

static void complete_profiles(
	struct conf_listener *listener, const struct conf_source *source, size_t index)
{
	if (!is_given(source, index, "profile"))
		listener->profile = has_only_strangers(listener) ? CONF_PROFILE_STRICT
								 : CONF_PROFILE_STANDARD;
	if (!is_given(source, index, "tls_profile"))
		listener->tls_profile = listener->profile == CONF_PROFILE_LEGACY
						? CONF_TLS_OLD
						: CONF_TLS_INTERMEDIATE;
}

static void complete_times(
	struct conf_listener *listener, const struct conf_source *source, size_t index)
{
	bool strangers = has_only_strangers(listener);
	if (!is_given(source, index, "command_timeout"))
		listener->command_timeout_s = strangers ? 120 : 300;
	if (!is_given(source, index, "data_timeout"))
		listener->data_timeout_s = strangers ? 120 : 180;
	if (!is_given(source, index, "greeting_delay"))
		listener->greeting_delay_ms =
			listener->profile == CONF_PROFILE_STRICT &&
					listener->tls != CONF_TLS_WRAPPER
				? 40
				: 0;
}

static void complete_ceilings(
	struct conf_listener *listener, const struct conf_source *source, size_t index)
{
	const struct {
		const char *key;
		struct conf_ceiling *ceiling;
		unsigned strangers;
	} ceilings[] = {
		{ "max_connections_per_client", &listener->connections_per_client, 50 },
		{ "max_connections_per_network", &listener->connections_per_network,
			200 },
		{ "messages_per_minute", &listener->messages_per_minute, 300 },
		{ "recipients_per_minute", &listener->recipients_per_minute, 3000 },
	};
	bool strangers = has_strangers(listener);
	for (size_t i = 0; i < G_N_ELEMENTS(ceilings); i++) {
		if (is_given(source, index, ceilings[i].key))
			continue;
		ceilings[i].ceiling->n = strangers ? ceilings[i].strangers : 0;
		ceilings[i].ceiling->spares_loopback = true;
	}
}

static void complete_listener(
	struct conf_listener *listener, const struct conf_source *source, size_t index)
{
	complete_profiles(listener, source, index);
	complete_times(listener, source, index);
	complete_ceilings(listener, source, index);
	if (listener->address != NULL)
		conf_address_parse(listener->address, &listener->socket_address, NULL);
}

static void complete_downloads(
	struct conf_downloads *downloads, const struct conf_source *source)
{
	if (conf_source_is_given(source, "s3.listen_requests_per_minute"))
		return;
	downloads->requests_per_minute =
		(struct conf_ceiling){ .n = 600, .spares_loopback = true };
}

/* A false that is written stands against AWS's environment variables and profile. */
static void complete_store(struct s3_settings *s3, const struct conf_source *source)
{
	s3->path_style_given = conf_source_is_given(source, "s3.path_style");
	s3->dual_stack_given = conf_source_is_given(source, "s3.dual_stack");
	s3->fips_given = conf_source_is_given(source, "s3.fips");
}

/* "mail/" and "/mail" are what people write who know other tools. */
static const char *trim_slashes(struct conf_snapshot *snapshot, const char *prefix)
{
	prefix += strspn(prefix, "/");
	size_t length = strlen(prefix);
	while (length > 0 && prefix[length - 1] == '/')
		length--;
	g_autofree char *trimmed = g_strndup(prefix, length);
	return length > 0 ? conf_snapshot_text(snapshot, trimmed) : NULL;
}

static void complete_relay(
	struct conf_relay *relay, const struct conf_source *source, const char *tls_path)
{
	if (relay->tls == CONF_TLS_REQUIRED && !conf_source_is_given(source, tls_path) &&
		(relay->port == 465 || relay->port == 2465))
		relay->tls = CONF_TLS_WRAPPER;
}

/* What holds where nothing is given, but depends on what is. */
static void complete(struct conf_snapshot *snapshot, const struct conf_source *source)
{
	struct conf *conf = &snapshot->conf;
	/* Const for everyone but the snapshot, whose memory it is. */
	struct conf_listener *listeners = (struct conf_listener *)conf->listeners;
	for (size_t i = 0; i < conf->n_listeners; i++)
		complete_listener(&listeners[i], source, i);
	struct conf_relay *relays = (struct conf_relay *)conf->relays;
	conf->relay.name = CONF_RELAY_DEFAULT;
	complete_relay(&conf->relay, source, "relay.tls");
	for (size_t i = 0; i < conf->n_relays; i++) {
		g_autofree char *tls = g_strdup_printf("relays[%zu].tls", i);
		complete_relay(&relays[i], source, tls);
	}
	complete_downloads(&conf->downloads, source);
	if (conf->s3.prefix != NULL)
		conf->s3.prefix = trim_slashes(snapshot, conf->s3.prefix);
	complete_store(&conf->s3, source);
}

static void check_all(const struct conf_check *check)
{
	conf_check_listeners(check);
	conf_check_certificates(check);
	conf_check_accounts(check);
	conf_check_loops(check);
	conf_check_store(check);
	conf_check_links(check);
	conf_check_relay(check);
	conf_check_routes(check);
	conf_check_sender(check);
	conf_check_queue(check);
	conf_check_attachments(check);
	conf_check_recipients(check);
}

struct conf *conf_load_text(const char *name, const char *text, size_t length,
	bool look_at_files, GPtrArray *problems, GPtrArray *warnings)
{
	struct conf_snapshot *snapshot = conf_snapshot_new();
	struct conf_source *source = conf_source_new(name);
	if (conf_read(snapshot, source, text, length)) {
		struct conf_check check = { &snapshot->conf, source, look_at_files };
		complete(snapshot, source);
		if (look_at_files)
			conf_templates_load(snapshot, source);
		conf_exceptions_complete(&snapshot->conf, source);
		check_all(&check);
	}
	bool sound = !conf_source_has_problems(source);
	conf_source_report(source, problems, warnings);
	conf_source_free(&source);
	if (sound)
		return &snapshot->conf;
	conf_unref(&snapshot->conf);
	return NULL;
}

/* All of a file, or one octet more than allowed; NULL with errno.
 * Wipe before g_free(). */
static char *read_file(int fd, size_t *length)
{
	char *bytes = g_malloc(CONF_YAML_BYTES_MAX + 1);
	ssize_t n = conf_file_read(fd, bytes, CONF_YAML_BYTES_MAX + 1);
	if (n < 0) {
		int cause = errno;
		OPENSSL_cleanse(bytes, CONF_YAML_BYTES_MAX + 1);
		g_free(bytes);
		errno = cause;
		return NULL;
	}
	*length = (size_t)n;
	return bytes;
}

static bool relay_has_secret(const struct conf_relay *relay)
{
	return relay->password != NULL || relay->iam_secret_access_key != NULL;
}

static bool has_secret(const struct conf *conf)
{
	bool has = conf->s3.secret_access_key != NULL || conf->s3.session_token != NULL ||
		   relay_has_secret(&conf->relay);
	for (size_t i = 0; i < conf->n_relays && !has; i++)
		has = relay_has_secret(&conf->relays[i]);
	return has;
}

static void warn_of_readers(
	int fd, const char *path, const struct conf *conf, GPtrArray *warnings)
{
	struct stat status;
	if (warnings != NULL && has_secret(conf) && fstat(fd, &status) == 0 &&
		(status.st_mode & S_IROTH) != 0)
		g_ptr_array_add(warnings,
			g_strdup_printf("%s: holds a secret and can be read by every "
					"user of this machine: chmod o-r, or put the "
					"secret in a file of its own",
				path));
}

struct conf *conf_load(const char *path, GPtrArray *problems, GPtrArray *warnings)
{
	size_t length;
	struct conf *conf = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *bytes = fd >= 0 ? read_file(fd, &length) : NULL;
	if (bytes == NULL) {
		int cause = errno;
		if (problems != NULL)
			g_ptr_array_add(
				problems, g_strdup_printf("%s: cannot be read: %s", path,
						  g_strerror(cause)));
	} else {
		conf = conf_load_text(path, bytes, length, true, problems, warnings);
		OPENSSL_cleanse(bytes, CONF_YAML_BYTES_MAX + 1);
		g_free(bytes);
	}
	if (conf != NULL)
		warn_of_readers(fd, path, conf, warnings);
	if (fd >= 0)
		close(fd);
	return conf;
}
