/* The settings that all listeners share: certificates, users, name servers. */
#include "conf/schema_tables.h"

static const struct conf_choice account_profile_choices[] = {
	{ "listener", CONF_PROFILE_LISTENER },
	{ "strict", CONF_PROFILE_STRICT },
	{ "standard", CONF_PROFILE_STANDARD },
	{ "legacy", CONF_PROFILE_LEGACY },
	{ NULL, 0 },
};
static const struct conf_choice account_priority_choices[] = {
	{ "listener", CONF_PRIORITY_LISTENER },
	{ "low", CONF_PRIORITY_LOW },
	{ "normal", CONF_PRIORITY_NORMAL },
	{ "high", CONF_PRIORITY_HIGH },
	{ NULL, 0 },
};

static const struct conf_field certificate_fields[] = {
	{ "certificate", CONF_KIND_PATH, .example = "/etc/stowage/rsa-fullchain.pem",
		.required = true, MEMBER(struct conf_certificate, certificate),
		.help = "PEM file: a certificate and its chain." },
	{ "key", CONF_KIND_PATH, .example = "/etc/stowage/rsa-key.pem", .required = true,
		MEMBER(struct conf_certificate, key),
		.help = "PEM file: its private key, not encrypted." },
};
static const struct conf_section certificate_section = SECTION(certificate_fields);

static const struct conf_field tls_fields[] = {
	{ "certificate", CONF_KIND_PATH, .example = "/etc/stowage/fullchain.pem",
		TO(tls_certificate),
		.help = "PEM file: the listeners' certificate and its chain. Read again "
			"when it changes, and on SIGHUP." },
	{ "key", CONF_KIND_PATH, .example = "/etc/stowage/key.pem", TO(tls_key),
		.help = "PEM file: the certificate's private key, not encrypted." },
	{ "additional", CONF_KIND_LIST, .max = 100,
		.example = "- { certificate: /etc/stowage/rsa.pem, key: "
			   "/etc/stowage/rsa-key.pem }",
		LIST_OF(certificate_section, struct conf_certificate, tls_additional,
			n_tls_additional),
		.help = "More certificates. A client is shown the one that has the name "
			"it asks for (SNI), and of several with one name the one of the "
			"kind of key that it knows (RSA for old devices beside ECDSA)." },
};
const struct conf_section conf_schema_tls = SECTION(tls_fields);

#define TO_ACCOUNT(member) MEMBER(struct conf_account, member)
static const struct conf_field account_fields[] = {
	{ "user", CONF_KIND_USER, .example = "\"camera-*\"", .required = true,
		TO_ACCOUNT(user),
		.help = "A user's name, as in auth.users or in a client's certificate. "
			"\"*\" in it stands for any run of characters." },
	{ "networks", CONF_KIND_NETWORKS, .example = "[ 10.1.0.0/16 ]",
		.unset = "from anywhere", TO_ACCOUNT(networks),
		.count_offset = offsetof(struct conf_account, n_networks),
		.help = "Where the user may authenticate from." },
	{ "from", CONF_KIND_IDENTITIES, .example = "[ cameras.example.com ]",
		.unset = "anything", TO_ACCOUNT(from),
		.help = "The domains and addresses that it may give in MAIL and From." },
	{ "recipients", CONF_KIND_IDENTITIES, .example = "[ example.com ]",
		.unset = "anyone", TO_ACCOUNT(recipients),
		.help = "The domains and addresses that it may send to." },
	{ "profile", CONF_KIND_CHOICE, "listener", .choices = account_profile_choices,
		TO_ACCOUNT(profile),
		.help = "How much it may get wrong. A named user may have legacy on any "
			"listener." },
	{ "max_recipients", CONF_KIND_NUMBER, .max = 10000, .example = "10",
		.unset = "the listener's", TO_ACCOUNT(max_recipients),
		.help = "Recipients in one transaction. 0: the listener's." },
	{ "max_message_size", CONF_KIND_SIZE, .max = TIB, .example = "20MiB",
		.unset = "the listener's", TO_ACCOUNT(max_message_size),
		.help = "Larger messages are refused (552). 0: the listener's." },
	{ "messages_per_minute", CONF_KIND_NUMBER, .max = 1000000, .example = "30",
		.unset = "no ceiling", TO_ACCOUNT(messages_per_minute),
		.help = "More have to wait (450). 0: no ceiling." },
	{ "recipients_per_minute", CONF_KIND_NUMBER, .max = 1000000, .example = "60",
		.unset = "no ceiling", TO_ACCOUNT(recipients_per_minute),
		.help = "The same for recipients." },
	{ "recipients_in_text", CONF_KIND_BOOL, "false", TO_ACCOUNT(recipients_in_text),
		.help = "As for a listener, for the user's messages." },
	{ "priority", CONF_KIND_CHOICE, "listener", .choices = account_priority_choices,
		TO_ACCOUNT(priority),
		.help = "Mail of a higher one goes first when there is more than may "
			"leave." },
	{ "tags", CONF_KIND_PAIRS, .example = "[ site=berlin ]", TO_ACCOUNT(tags),
		.help = "SES's message tags (X-SES-MESSAGE-TAGS) of its mail." },
};
static const struct conf_section account_section = SECTION(account_fields);

static const struct conf_field auth_fields[] = {
	{ "users", CONF_KIND_PATH, .example = "/etc/stowage/users", TO(users_file),
		.help = "Who may authenticate: lines of NAME:HASH, made by \"stowage "
			"user add\"." },
	{ "max_failures", CONF_KIND_NUMBER, "10", .min = 1, .max = 1000,
		TO(auth_max_failures),
		.help = "Failures of one address (IPv6: a /64) or one user within "
			"failure_window, before no more tries are taken (421)." },
	{ "failure_window", CONF_KIND_SECONDS, "10m", .min = 1, .max = DAY,
		TO(auth_failure_window_s), .help = "How long a failure counts." },
	{ "accounts", CONF_KIND_LIST, .max = 10000,
		.example = "- { user: \"camera-*\", from: [ cameras.example.com ] }",
		LIST_OF(account_section, struct conf_account, accounts, n_accounts),
		.help = "What single users may do: the first whose pattern fits the name "
			"holds. A user that none fits may do what its listener lets "
			"everyone." },
};
const struct conf_section conf_schema_auth = SECTION(auth_fields);

static const struct conf_field dns_fields[] = {
	{ "servers", CONF_KIND_SERVERS,
		.example = "[ 192.0.2.53, \"[2001:db8::53]:53\" ]",
		.unset = "those of /etc/resolv.conf", TO(dns_servers),
		.help = "Who answers for dnsbl and reverse_dns: numeric addresses, with "
			"or without port." },
	{ "timeout", CONF_KIND_MILLISECONDS, "3s", .min = 100, .max = 30 * SECOND_MS,
		TO(dns_timeout_ms),
		.help = "How long a client's greeting waits for answers." },
};
const struct conf_section conf_schema_dns = SECTION(dns_fields);
