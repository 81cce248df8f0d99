/*
 * conf - the settings: one YAML file, one table of fields (conf/schema.c), one snapshot.
 *
 * A snapshot is immutable and reference-counted: a session or a delivery keeps the one
 * that it began with, a reload makes another. Threads: conf_ref/unref from any; reading
 * from any.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "conf/network.h"
#include "conf/recipient_map.h"
#include "mime/mime.h"
#include "s3/s3.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum conf_tls {
	CONF_TLS_NONE,
	CONF_TLS_STARTTLS, /* offered; also written "optional" */
	CONF_TLS_REQUIRED, /* STARTTLS before MAIL or AUTH */
	CONF_TLS_WRAPPER,  /* TLS from the first byte (RFC 8314) */
};
enum conf_auth { CONF_AUTH_NONE, CONF_AUTH_OPTIONAL, CONF_AUTH_REQUIRED };
/* Default: strict where strangers connect (auth none and no
 * networks), standard elsewhere. */
enum conf_profile { CONF_PROFILE_STRICT, CONF_PROFILE_STANDARD, CONF_PROFILE_LEGACY };
enum conf_log_format { CONF_LOG_AUTO, CONF_LOG_JSON, CONF_LOG_HUMAN };

struct conf_listener {
	const char *name;
	const char *address; /* as written */
	struct sockaddr_storage socket_address;
	enum conf_tls tls;
	enum conf_auth auth;
	bool auth_without_tls;
	enum conf_profile profile;
	const struct conf_network *networks; /* none given: any client may connect */
	size_t n_networks;
	struct conf_recipient_map *recipients; /* NULL: none given */
	uint64_t max_message_size;             /* octets */
	unsigned max_recipients;
	unsigned max_connections;
	unsigned command_timeout_s; /* between commands (RFC 5321, 4.5.3.2.7) */
	unsigned data_timeout_s;    /* between blocks of DATA */
};

struct conf_sender {
	const char *from; /* address that replaces a From that is not verified */
	/* NULL-ended: domains and addresses SES may send for */
	const char *const *verified;
	/* reverse-path at the relay; NULL: the from address where set,
	 * else the client's own */
	const char *envelope;
};

struct conf_relay {
	const char *host;
	unsigned port;
	enum conf_tls tls;    /* NONE: loopback only; STARTTLS is read as REQUIRED */
	const char *ca_file;  /* NULL: the distribution's bundle */
	const char *tls_name; /* name the certificate must have; NULL: host */
	const char *user, *password, *password_file;
	/* Instead of user and password: an IAM key, from which SES's SMTP
	 * password is derived. */
	const char *iam_access_key_id, *iam_access_key_id_file;
	const char *iam_secret_access_key, *iam_secret_access_key_file;
	const char *region; /* for the derivation; NULL: taken from an SES host name */
	const char *configuration_set; /* X-SES-CONFIGURATION-SET; NULL: none */
	double rate;                   /* recipients per second; 0: unpaced */
	unsigned connections;
	unsigned messages_per_connection;
	unsigned connection_lifetime_s;
	unsigned connect_timeout_s;
	unsigned command_timeout_s;
	unsigned data_timeout_s;   /* for the reply to the final dot (RFC 5321: 10 min) */
	uint64_t max_message_size; /* octets it takes: SES 40 MB */
	unsigned max_recipients;   /* in one transaction: SES 50 */
	/* NULL-ended: domains that the relay delivers itself, by no MX lookup: mail for
	 * them may keep its address */
	const char *const *delivers;
	const char *maildir; /* instead of host: write to this Maildir */
};

struct conf_queue {
	const char *directory;
	unsigned workers;        /* deliveries at a time */
	uint64_t min_free_bytes; /* floor of free disk */
	uint64_t min_free_inodes;
	uint64_t max_messages;  /* queued at most; 452 beyond */
	unsigned retry_first_s; /* the first wait after a failure; it grows */
	unsigned retry_max_s;
	unsigned lifetime_s; /* undelivered for so long: dead */
	unsigned history_s;  /* how long the record of a finished message is kept */
};

struct conf {
	const char *hostname;
	const struct conf_listener *listeners;
	size_t n_listeners;
	const char *tls_certificate, *tls_key; /* PEM files; NULL: no TLS */
	const char *users_file;                /* name:hash lines, crypt(5); NULL: none */
	struct s3_settings s3;
	const char *s3_listen; /* HOST:PORT serving a directory store; NULL: not here */
	unsigned link_expiry_s;
	struct mime_settings attachments;
	struct conf_sender sender;
	struct conf_relay relay;
	struct conf_queue queue;
	const char *admin_listen; /* HOST:PORT of /metrics and the like; NULL: off */
	unsigned shutdown_timeout_s;
	enum conf_log_format log_format;
	bool log_debug;
};

/*
 * Reads and checks path. On any mistake NULL, and problems (of char *, freed by the
 * array) has every one of them as "FILE:LINE:COLUMN: KEY: what is wrong and what would be
 * right". Files that the settings name must be there and readable. Warnings (none fatal)
 * go to warnings in the same form when it is not NULL.
 */
struct conf *conf_load(const char *path, GPtrArray *problems, GPtrArray *warnings);

/* The same for text in memory; name stands for FILE. look_at_files false: files and
 * directories that the settings name are not touched. */
struct conf *conf_load_text(const char *name, const char *text, size_t length,
	bool look_at_files, GPtrArray *problems, GPtrArray *warnings);

struct conf *conf_ref(struct conf *conf);
void conf_unref(struct conf *conf); /* NULL is taken */

/* Whether the relay delivers the address's domain itself
 * (relay.delivers; a Maildir: all). */
bool conf_relay_delivers(const struct conf *conf, const char *address);

/* The sample file: every option with its text, default and bounds, as comments. */
void conf_print_sample(FILE *out);

/* A value given directly or in a file (trailing newline removed). *secret gets a new
 * string (wipe and g_free) or NULL when neither is given; false with error when the file
 * is not readable, empty or over 64 KiB. */
bool conf_secret(const char *value, const char *file, char **secret, GError **error);

#endif
