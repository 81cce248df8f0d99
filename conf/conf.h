/*
 * conf - the settings: one YAML file, one table of fields (conf/schema.h), one snapshot.
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
 * networks), standard elsewhere. LISTENER: of accounts only, the listener's holds. */
enum conf_profile {
	CONF_PROFILE_STRICT,
	CONF_PROFILE_STANDARD,
	CONF_PROFILE_LEGACY,
	CONF_PROFILE_LISTENER,
};
/* Mozilla's names. Default: old with profile legacy, else intermediate. */
enum conf_tls_profile {
	CONF_TLS_INTERMEDIATE, /* TLS 1.2 and 1.3 */
	CONF_TLS_MODERN,       /* TLS 1.3 */
	CONF_TLS_OLD,          /* TLS 1.0 up, every cipher that OpenSSL still has */
	CONF_TLS_PROFILES,
};
enum conf_client_certificates {
	CONF_CLIENT_CERTIFICATES_NONE,
	CONF_CLIENT_CERTIFICATES_OPTIONAL,
	CONF_CLIENT_CERTIFICATES_REQUIRED,
};
/* Which name in a client's certificate is its user. */
enum conf_client_name {
	CONF_CLIENT_COMMON_NAME,
	CONF_CLIENT_DNS, /* the first subjectAltName of the kind */
	CONF_CLIENT_EMAIL,
	CONF_CLIENT_URI,
};
enum conf_reverse_dns {
	CONF_REVERSE_DNS_OFF,
	CONF_REVERSE_DNS_LOG,     /* looked up, for log and Received */
	CONF_REVERSE_DNS_REQUIRE, /* a name that leads back to the address, or 450 */
};
enum conf_log_format { CONF_LOG_AUTO, CONF_LOG_JSON, CONF_LOG_HUMAN };

/* Which mail goes first when there is more than may leave. */
enum conf_priority {
	CONF_PRIORITY_LOW,
	CONF_PRIORITY_NORMAL,
	CONF_PRIORITY_HIGH,
	CONF_PRIORITY_LISTENER, /* of accounts only: the listener's holds */
};
/* When the client of a listener is told 250. */
enum conf_accept {
	CONF_ACCEPT_QUEUE, /* the message is durable here */
	CONF_ACCEPT_RELAY, /* the next hop has taken it; nothing is kept here */
};
/* What becomes of a message whose final dot was sent and never answered. */
enum conf_once {
	CONF_AT_LEAST_ONCE, /* it is sent again: may come twice */
	CONF_AT_MOST_ONCE,  /* it is held for a person: may be lost */
};

/* At most n; 0: no ceiling. */
struct conf_ceiling {
	unsigned n;
	bool spares_loopback; /* it is a default */
};

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
	enum conf_tls_profile tls_profile;
	enum conf_client_certificates client_certificates;
	const char *client_ca; /* PEM file of who may vouch for clients */
	enum conf_client_name client_name;
	bool smtputf8; /* RFC 6531 is offered */
	/* NULL-ended, in upper case: extensions not shown in EHLO's reply, nor taken, for
	 * clients of hide_from; NULL: none. */
	const char *const *hide_extensions;
	const struct conf_network *hide_from; /* none given: from every client */
	size_t n_hide_from;
	/* Clients of these networks are proxies: each connection begins with a PROXY
	 * header (v1 or v2), and the address in it is the client's. */
	const struct conf_network *proxies;
	size_t n_proxies;
	/* For one client address (IPv6: its /64). */
	struct conf_ceiling connections_per_client;
	struct conf_ceiling connections_per_network; /* IPv4: a /24, IPv6: a /48 */
	struct conf_ceiling messages_per_minute;
	struct conf_ceiling recipients_per_minute;
	unsigned max_errors;        /* in a session, without a message; then 421 */
	unsigned max_idle_commands; /* the same for NOOP, RSET and the like */
	/* A client that speaks before it is greeted, so long after it connected, is
	 * turned away; 0: the greeting does not wait. */
	unsigned greeting_delay_ms;
	const char *const *dnsbl; /* NULL-ended: zones; NULL: none */
	enum conf_reverse_dns reverse_dns;
	bool recipients_in_text; /* see struct conf_recipients */
	enum conf_priority priority;
	enum conf_accept accept;
	const char *const *tags; /* see struct conf_ses */
};

/* One certificate and its key: PEM files. */
struct conf_certificate {
	const char *certificate, *key;
};

/* What holds for users whose name fits; the first account that fits. */
struct conf_account {
	const char *user; /* a name; "*" in it stands for any run of octets */
	const struct conf_network *networks; /* none given: from anywhere */
	size_t n_networks;
	/* NULL-ended domains and addresses: what MAIL and From may say; NULL: anything */
	const char *const *from;
	/* the same for recipients, as RCPT has them */
	const char *const *recipients;
	enum conf_profile profile;      /* LISTENER: as there */
	unsigned max_recipients;        /* in one transaction; 0: the listener's */
	uint64_t max_message_size;      /* octets; 0: the listener's */
	unsigned messages_per_minute;   /* 0: no ceiling */
	unsigned recipients_per_minute; /* 0: no ceiling */
	bool recipients_in_text;        /* see struct conf_recipients */
	enum conf_priority priority;    /* LISTENER: as there */
	const char *const *tags;        /* see struct conf_ses */
};

/*
 * For devices that can write to one address only: the text of their mail names its
 * recipients, and they take that address's place. Looked for in mail that came by a
 * listener or from a user with recipients_in_text, and in mail for addresses.
 */
struct conf_recipients {
	const char *const *markers;   /* NULL-ended: "colon", "bracket"; NULL: none */
	const char *word;             /* of the markers */
	const char *const *addresses; /* NULL-ended domains and addresses, as RCPT has */
	const char *const *domains;   /* whom a text may name: domains and addresses */
	unsigned max;                 /* of recipients in a text */
	const char *fallback;         /* gets a message that names nobody properly */
};

/* What holds for attachments in mail of one listener or user; the first that fits. */
struct conf_exception {
	const char *listener; /* its name; NULL: any */
	/* A name; "*" in it stands for any run of octets. NULL: anyone, known or not. */
	const char *user;
	struct mime_settings attachments; /* complete: with what is not given here */
};

/*
 * What SES is told of a message in header fields, each NULL where it is not: the
 * configuration set, tags (NULL-ended "name=value"), and the identities of another
 * account to send for. Of a route, else of its relay; tags of both, and of listener and
 * account, are joined, the nearest to the message first where they share a name.
 */
struct conf_ses {
	const char *configuration_set;                       /* X-SES-CONFIGURATION-SET */
	const char *const *tags;                             /* X-SES-MESSAGE-TAGS */
	const char *source_arn, *from_arn, *return_path_arn; /* X-SES-*-ARN */
};

/* Marks the envelope of reports: what comes back for one must not be passed on like what
 * comes back for others, or two mailboxes that take nothing would never come to rest. */
#define CONF_SENDER_REPORT "-r"

struct conf_sender {
	const char *from; /* address that replaces a From that is not verified */
	/* NULL-ended: domains and addresses SES may send for */
	const char *const *verified;
	/* reverse-path at the relay; NULL: the from address where set,
	 * else the client's own */
	const char *envelope;
	/* The local part of envelope gets "+ID": what comes back can be matched. For mail
	 * with the null reverse-path CONF_SENDER_REPORT follows. */
	bool envelope_has_id;
	/* What a From that is replaced shows as its name: "{name}", "{address}",
	 * "{domain}" and "{gateway}" (the domain of from) stand for what was there;
	 * NULL: "{name} via {gateway}" */
	const char *display_name;
};

#define CONF_RELAY_DEFAULT "default" /* the name of the relay of the section relay */

struct conf_relay {
	const char *name;
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
	struct conf_ses ses;
	/* recipients per second; 0: unpaced; with rate_auto where it begins */
	double rate;
	bool rate_auto;       /* "auto": learnt from SES's API and from its replies */
	double rate_share;    /* this gateway's part of rate and quota, over 0 to 1 */
	uint64_t daily_quota; /* recipients in 24 hours; 0: unknown, or SES's API says */
	const char *api_endpoint; /* of SES's API, https://...; NULL: the region's */
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

/* Which relays mail goes by. The first that fits a recipient; where none does, the relay
 * "default". Conditions that are not given fit all. */
struct conf_route {
	const char *listener;       /* its name */
	const char *user;           /* a name; "*" in it stands for any run of octets */
	const char *const *senders; /* domains and addresses, of the reverse-path */
	const char *const *recipients; /* the same, of the forward-path */
	/* NULL-ended names; a later one is tried where those before cannot be used */
	const char *const *relays;
	struct conf_ses ses;
	bool preserve_sender; /* From, Sender and reverse-path stay as they are */
	enum conf_once once;
};

/* Where the links of a directory store are answered. */
struct conf_downloads {
	const char *listen; /* HOST:PORT; NULL: not here */
	bool tls;           /* with tls.certificate and tls.additional */
	/* of one address (IPv6: its /64) */
	struct conf_ceiling requests_per_minute;
	/* Clients of these networks are proxies: the client is whom X-Forwarded-For
	 * names. */
	const struct conf_network *proxies;
	size_t n_proxies;
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
	/* the same for dead ones, with the message; 0: for ever */
	unsigned dead_retention_s;
	bool bounces; /* senders that may have one get a report of failure */
};

struct conf {
	const char *hostname;
	const char *postmaster; /* NULL: the target of a listener's first recipient */
	const struct conf_listener *listeners;
	size_t n_listeners;
	const char *tls_certificate, *tls_key; /* PEM files; NULL: no TLS */
	/* Shown instead to clients that ask for a name of theirs (SNI), or beside the
	 * one above where they are of another kind of key and share a name with it. */
	const struct conf_certificate *tls_additional;
	size_t n_tls_additional;
	const char *users_file; /* name:hash lines, crypt(5); NULL: none */
	const struct conf_account *accounts;
	size_t n_accounts;
	unsigned auth_max_failures; /* of one client address or one user within: */
	unsigned auth_failure_window_s;
	/* NULL-ended, numeric HOST or HOST:PORT; NULL: resolv.conf's */
	const char *const *dns_servers;
	unsigned dns_timeout_ms;
	struct s3_settings s3;
	struct conf_downloads downloads;
	unsigned s3_retention_s; /* objects are deleted after it; 0: never, or unknown */
	unsigned link_expiry_s;
	struct mime_settings attachments;
	const struct conf_exception *exceptions;
	size_t n_exceptions;
	const char *template_text, *template_html; /* files; NULL: as built in */
	const char *time_zone;                     /* of the links' ends; NULL: UTC */
	struct conf_recipients recipients;
	struct conf_sender sender;
	struct conf_relay relay;
	const struct conf_relay *relays; /* beside it */
	size_t n_relays;
	const struct conf_route *routes;
	size_t n_routes;
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

/* The settings for attachments in mail that came by that listener, from that user (NULL:
 * from nobody known). */
const struct mime_settings *conf_attachments_for(
	const struct conf *conf, const char *listener, const char *user);

/* The account for user; NULL: none fits. */
const struct conf_account *conf_account_find(const struct conf *conf, const char *user);

/* Whether list (domains and addresses, as conf_account.from) has address, or its domain
 * (not one above it); in any case, needless quotes aside. */
bool conf_identities_have(const char *const *list, const char *address);

/* The relay of that name; NULL: there is none. */
const struct conf_relay *conf_relay_find(const struct conf *conf, const char *name);

/* A message on its way to one recipient, as routes see it. */
struct conf_way {
	const char *listener;
	const char *user; /* NULL: nobody known */
	const char *reverse_path, *forward_path;
};

/* The first route that fits; NULL: none, so that it goes by the relay "default". Domains
 * beyond ASCII are compared as A-labels, which the caller has made of them. */
const struct conf_route *conf_route_for(
	const struct conf *conf, const struct conf_way *way);

/* Whether each relay that mail for the address ("@domain": for any of the domain) may go
 * by delivers its domain itself (delivers; a Maildir: all). */
bool conf_relay_delivers(const struct conf *conf, const char *address);

/* Whether the relay is SES: by its host's name, or by an option that only SES knows: keys
 * of IAM, a region, what ses holds. */
bool conf_relay_is_ses(const struct conf_relay *relay);

/* The sample file: every option with its text, default and bounds, as comments. */
void conf_print_sample(FILE *out);

/* A value given directly or in a file (trailing newline removed). *secret gets a new
 * string (wipe and g_free) or NULL when neither is given; false with error when the file
 * is not readable, empty or over 64 KiB. */
bool conf_secret(const char *value, const char *file, char **secret, GError **error);

#endif
