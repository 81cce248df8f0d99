/* The table of settings. How they are read is the reader's matter, how
 * they fit the checks'. */
#include "conf/schema.h"

#include "conf/conf.h"
#include <string.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

enum { SECOND_MS = 1000, HOUR = 3600, DAY = 24 * HOUR };

#define MEMBER(type, member)                                                             \
	.offset = offsetof(type, member), .width = sizeof(((type *)NULL)->member)
#define TO(member)          MEMBER(struct conf, member)
#define TO_LISTENER(member) MEMBER(struct conf_listener, member)
#define TO_ACCOUNT(member)  MEMBER(struct conf_account, member)
#define LIST_OF(elements, type, member, count)                                           \
	.section = &(elements), .element_size = sizeof(type), TO(member),                \
	.count_offset = offsetof(struct conf, count)
#define SECTION(array)                                                                   \
	{                                                                                \
		array, G_N_ELEMENTS(array)                                               \
	}

static const struct conf_choice tls_choices[] = {
	{ "none", CONF_TLS_NONE },
	{ "starttls", CONF_TLS_STARTTLS },
	{ "optional", CONF_TLS_STARTTLS },
	{ "required", CONF_TLS_REQUIRED },
	{ "wrapper", CONF_TLS_WRAPPER },
	{ NULL, 0 },
};
static const struct conf_choice relay_tls_choices[] = {
	{ "none", CONF_TLS_NONE },
	{ "starttls", CONF_TLS_REQUIRED },
	{ "required", CONF_TLS_REQUIRED },
	{ "wrapper", CONF_TLS_WRAPPER },
	{ NULL, 0 },
};
static const struct conf_choice priority_choices[] = {
	{ "low", CONF_PRIORITY_LOW },
	{ "normal", CONF_PRIORITY_NORMAL },
	{ "high", CONF_PRIORITY_HIGH },
	{ NULL, 0 },
};
static const struct conf_choice account_priority_choices[] = {
	{ "listener", CONF_PRIORITY_LISTENER },
	{ "low", CONF_PRIORITY_LOW },
	{ "normal", CONF_PRIORITY_NORMAL },
	{ "high", CONF_PRIORITY_HIGH },
	{ NULL, 0 },
};
static const struct conf_choice accept_choices[] = {
	{ "queue", CONF_ACCEPT_QUEUE },
	{ "relay", CONF_ACCEPT_RELAY },
	{ NULL, 0 },
};
static const struct conf_choice once_choices[] = {
	{ "again", CONF_AT_LEAST_ONCE },
	{ "hold", CONF_AT_MOST_ONCE },
	{ NULL, 0 },
};
static const struct conf_choice auth_choices[] = {
	{ "none", CONF_AUTH_NONE },
	{ "optional", CONF_AUTH_OPTIONAL },
	{ "required", CONF_AUTH_REQUIRED },
	{ NULL, 0 },
};
static const struct conf_choice profile_choices[] = {
	{ "strict", CONF_PROFILE_STRICT },
	{ "standard", CONF_PROFILE_STANDARD },
	{ "legacy", CONF_PROFILE_LEGACY },
	{ NULL, 0 },
};
static const struct conf_choice tls_profile_choices[] = {
	{ "modern", CONF_TLS_MODERN },
	{ "intermediate", CONF_TLS_INTERMEDIATE },
	{ "old", CONF_TLS_OLD },
	{ "legacy", CONF_TLS_OLD },
	{ NULL, 0 },
};
static const struct conf_choice client_certificates_choices[] = {
	{ "none", CONF_CLIENT_CERTIFICATES_NONE },
	{ "optional", CONF_CLIENT_CERTIFICATES_OPTIONAL },
	{ "required", CONF_CLIENT_CERTIFICATES_REQUIRED },
	{ NULL, 0 },
};
static const struct conf_choice client_name_choices[] = {
	{ "common_name", CONF_CLIENT_COMMON_NAME },
	{ "dns", CONF_CLIENT_DNS },
	{ "email", CONF_CLIENT_EMAIL },
	{ "uri", CONF_CLIENT_URI },
	{ NULL, 0 },
};
static const struct conf_choice reverse_dns_choices[] = {
	{ "off", CONF_REVERSE_DNS_OFF },
	{ "log", CONF_REVERSE_DNS_LOG },
	{ "require", CONF_REVERSE_DNS_REQUIRE },
	{ NULL, 0 },
};
static const struct conf_choice account_profile_choices[] = {
	{ "listener", CONF_PROFILE_LISTENER },
	{ "strict", CONF_PROFILE_STRICT },
	{ "standard", CONF_PROFILE_STANDARD },
	{ "legacy", CONF_PROFILE_LEGACY },
	{ NULL, 0 },
};
/* The names of RFC 5321, section 4.1.1.1, with which EHLO's reply shows them. */
static const struct conf_choice extension_choices[] = {
	{ "PIPELINING", 0 },
	{ "SIZE", 0 },
	{ "8BITMIME", 0 },
	{ "STARTTLS", 0 },
	{ "AUTH", 0 },
	{ "CHUNKING", 0 },
	{ "DSN", 0 },
	{ "SMTPUTF8", 0 },
	{ "LIMITS", 0 },
	{ "ENHANCEDSTATUSCODES", 0 },
	{ NULL, 0 },
};
static const struct conf_choice checksum_choices[] = {
	{ "auto", S3_CHECKSUM_AUTO },
	{ "sha256", S3_CHECKSUM_SHA256 },
	{ "md5", S3_CHECKSUM_MD5 },
	{ "none", S3_CHECKSUM_NONE },
	{ NULL, 0 },
};
static const struct conf_choice if_none_match_choices[] = {
	{ "auto", S3_IF_NONE_MATCH_AUTO },
	{ "off", S3_IF_NONE_MATCH_OFF },
	{ NULL, 0 },
};
static const struct conf_choice encryption_choices[] = {
	{ "none", S3_ENCRYPTION_NONE },
	{ "aes256", S3_ENCRYPTION_AES256 },
	{ "kms", S3_ENCRYPTION_KMS },
	{ NULL, 0 },
};
static const struct conf_choice object_lock_choices[] = {
	{ "none", S3_LOCK_NONE },
	{ "governance", S3_LOCK_GOVERNANCE },
	{ "compliance", S3_LOCK_COMPLIANCE },
	{ NULL, 0 },
};
static const struct conf_choice inline_choices[] = {
	{ "keep", MIME_INLINE_KEEP },
	{ "link", MIME_INLINE_LINK },
	{ NULL, 0 },
};
static const struct conf_choice forwarded_choices[] = {
	{ "keep", MIME_FORWARDED_KEEP },
	{ "whole", MIME_FORWARDED_WHOLE },
	{ "inside", MIME_FORWARDED_INSIDE },
	{ NULL, 0 },
};
static const struct conf_choice action_choices[] = {
	{ "keep", MIME_ACTION_KEEP },
	{ "link", MIME_ACTION_LINK },
	{ NULL, 0 },
};
static const struct conf_choice resource_forks_choices[] = {
	{ "link", MIME_FORKS_LINK },
	{ "drop", MIME_FORKS_DROP },
	{ NULL, 0 },
};
static const struct conf_choice tnef_choices[] = {
	{ "link", MIME_TNEF_LINK },
	{ "keep", MIME_TNEF_KEEP },
	{ "extract", MIME_TNEF_EXTRACT },
	{ NULL, 0 },
};
static const struct conf_choice oversized_choices[] = {
	{ "link", MIME_OVERSIZED_LINK },
	{ "keep", MIME_OVERSIZED_KEEP },
	{ NULL, 0 },
};
static const struct conf_choice position_choices[] = {
	{ "end", MIME_BLOCK_END },
	{ "top", MIME_BLOCK_TOP },
	{ NULL, 0 },
};
static const struct conf_choice log_choices[] = {
	{ "auto", CONF_LOG_AUTO },
	{ "json", CONF_LOG_JSON },
	{ "human", CONF_LOG_HUMAN },
	{ NULL, 0 },
};

static const struct conf_field listener_fields[] = {
	{ "name", CONF_KIND_WORD, .example = "mx", .required = true, TO_LISTENER(name),
		.help = "Its name in the log and in metrics." },
	{ "address", CONF_KIND_ADDRESS, .example = "\"[::]:25\"", .required = true,
		TO_LISTENER(address),
		.help = "Where it listens: a numeric address and a port, in quotes. "
			"\"[::]:25\" is every address of the machine." },
	{ "tls", CONF_KIND_CHOICE, "starttls", .choices = tls_choices, TO_LISTENER(tls),
		.help = "none: no TLS. starttls (or optional): offered. required: "
			"nothing before STARTTLS. wrapper: TLS from the first byte (port "
			"465)." },
	{ "auth", CONF_KIND_CHOICE, "none", .choices = auth_choices, TO_LISTENER(auth),
		.help = "Whether clients give a name and a password (auth.users). "
			"Whoever did may send to anyone, unless recipients says "
			"otherwise." },
	{ "auth_without_tls", CONF_KIND_BOOL, "false", TO_LISTENER(auth_without_tls),
		.help = "Take passwords over connections without TLS, for devices that "
			"know no better. Only on loopback or with private networks." },
	{ "profile", CONF_KIND_CHOICE, .choices = profile_choices, .example = "strict",
		.unset = "strict with auth: none and no networks, else standard",
		TO_LISTENER(profile),
		.help = "How much a client may get wrong. legacy is for old devices and "
			"not for a listener that is open to the world." },
	{ "networks", CONF_KIND_NETWORKS, .example = "[ 10.1.0.0/16, \"fd00::/8\" ]",
		.unset = "any client may connect", TO_LISTENER(networks),
		.count_offset = offsetof(struct conf_listener, n_networks),
		.help = "Only clients of these networks may connect. Without recipients "
			"and with auth other than required they may send to anyone." },
	{ "recipients", CONF_KIND_RECIPIENTS,
		.example = "{ \"@in.example.com\": \"%{local}@example.com\" }",
		.unset = "no map: anyone, for those who may relay",
		TO_LISTENER(recipients),
		.help = "The recipients taken, and where their mail goes: an address, "
			"\"@domain\" for all of a domain or \"*\" for all, each with a "
			"target in which %{local}, %{domain} and %{address} stand for "
			"what arrived. A list instead of a mapping leaves the addresses "
			"as they are." },
	{ "max_message_size", CONF_KIND_SIZE, "150MiB", .min = KIB, .max = TIB,
		TO_LISTENER(max_message_size),
		.help = "Larger messages are refused (552). May be far above what the "
			"relay takes, since attachments leave the message." },
	{ "max_recipients", CONF_KIND_NUMBER, "100", .min = 1, .max = 10000,
		TO_LISTENER(max_recipients), .help = "Recipients in one transaction." },
	{ "max_connections", CONF_KIND_NUMBER, "1000", .min = 1, .max = 100000,
		TO_LISTENER(max_connections), .help = "Open connections at a time." },
	{ "command_timeout", CONF_KIND_SECONDS, .min = 1, .max = HOUR, .example = "5m",
		.unset = "5m; 2m with auth: none and no networks",
		TO_LISTENER(command_timeout_s),
		.help = "How long a client may be silent between commands." },
	{ "data_timeout", CONF_KIND_SECONDS, .min = 1, .max = HOUR, .example = "3m",
		.unset = "3m; 2m with auth: none and no networks",
		TO_LISTENER(data_timeout_s),
		.help = "How long a client may be silent within a message." },
	{ "tls_profile", CONF_KIND_CHOICE, .choices = tls_profile_choices,
		.example = "intermediate",
		.unset = "old with profile: legacy, else intermediate",
		TO_LISTENER(tls_profile),
		.help = "Mozilla's names. modern: TLS 1.3. intermediate: TLS 1.2 and "
			"1.3. old: from TLS 1.0, with old ciphers, for devices on "
			"private "
			"networks." },
	{ "client_certificates", CONF_KIND_CHOICE, "none",
		.choices = client_certificates_choices, TO_LISTENER(client_certificates),
		.help = "Whether clients are asked for a certificate of client_ca. The "
			"name in it is a user, authenticated without a password." },
	{ "client_ca", CONF_KIND_PATH, .example = "/etc/stowage/devices-ca.pem",
		TO_LISTENER(client_ca),
		.help = "PEM file of the authorities that may vouch for clients, and "
			"their revocation lists if there are any." },
	{ "client_name", CONF_KIND_CHOICE, "common_name", .choices = client_name_choices,
		TO_LISTENER(client_name),
		.help = "Which name in a client's certificate is the user: the subject's "
			"common name, or the first of a kind of subjectAltName." },
	{ "smtputf8", CONF_KIND_BOOL, "false", TO_LISTENER(smtputf8),
		.help = "Take addresses beyond ASCII. SES does not: mail from or to them "
			"fails there, unless only their domain is beyond ASCII." },
	{ "hide_extensions", CONF_KIND_WORDS, .choices = extension_choices,
		.example = "[ CHUNKING, DSN ]", .unset = "none is hidden",
		TO_LISTENER(hide_extensions),
		.help = "Extensions that are neither shown nor taken, for clients that "
			"break on them." },
	{ "hide_from", CONF_KIND_NETWORKS, .example = "[ 10.1.7.0/24 ]",
		.unset = "from every client", TO_LISTENER(hide_from),
		.count_offset = offsetof(struct conf_listener, n_hide_from),
		.help = "The clients from which hide_extensions hides them." },
	{ "proxies", CONF_KIND_NETWORKS, .example = "[ 10.0.0.0/24 ]",
		.unset = "no proxies", TO_LISTENER(proxies),
		.count_offset = offsetof(struct conf_listener, n_proxies),
		.help = "Load balancers that begin every connection with a PROXY header "
			"(version 1 or 2). Everything else here is about the client "
			"named in it." },
	{ "max_connections_per_client", CONF_KIND_NUMBER, .max = 100000, .example = "50",
		.unset = "50 for strangers, loopback excepted; else none",
		TO_LISTENER(connections_per_client.n),
		.help = "Open connections of one address (IPv6: a /64). 0: no ceiling." },
	{ "max_connections_per_network", CONF_KIND_NUMBER, .max = 100000,
		.example = "200",
		.unset = "200 for strangers, loopback excepted; else none",
		TO_LISTENER(connections_per_network.n),
		.help = "The same for a /24 (IPv6: a /48)." },
	{ "messages_per_minute", CONF_KIND_NUMBER, .max = 1000000, .example = "300",
		.unset = "300 for strangers, loopback excepted; else none",
		TO_LISTENER(messages_per_minute.n),
		.help = "Messages of one address (IPv6: a /64); more have to wait (450). "
			"0: no ceiling." },
	{ "recipients_per_minute", CONF_KIND_NUMBER, .max = 1000000, .example = "3000",
		.unset = "3000 for strangers, loopback excepted; else none",
		TO_LISTENER(recipients_per_minute.n),
		.help = "The same for recipients." },
	{ "max_errors", CONF_KIND_NUMBER, "20", .min = 1, .max = 10000,
		TO_LISTENER(max_errors),
		.help = "Refused commands in a session before it is closed (421), "
			"counted anew with each message." },
	{ "max_idle_commands", CONF_KIND_NUMBER, "100", .min = 1, .max = 1000000,
		TO_LISTENER(max_idle_commands),
		.help = "The same for commands that bring no mail nearer: NOOP, RSET, "
			"EHLO." },
	{ "greeting_delay", CONF_KIND_MILLISECONDS, .max = 60 * SECOND_MS,
		.example = "2s",
		.unset = "40ms with profile: strict and TLS not from the first byte, "
			 "else 0",
		TO_LISTENER(greeting_delay_ms),
		.help = "How long a client waits for the greeting: one that speaks "
			"earlier is a robot, and is turned away (554)." },
	{ "dnsbl", CONF_KIND_DOMAINS, .example = "[ zen.spamhaus.org ]",
		.unset = "none asked", TO_LISTENER(dnsbl),
		.help = "DNS block lists: mail of a client on one of them is refused "
			"(554), other than to postmaster. An answer that does not come "
			"refuses nobody." },
	{ "reverse_dns", CONF_KIND_CHOICE, "off", .choices = reverse_dns_choices,
		TO_LISTENER(reverse_dns),
		.help = "log: look up the client's name for log and Received. require: "
			"take no mail (450) from a client whose address has no name that "
			"leads back to it." },
	{ "recipients_in_text", CONF_KIND_BOOL, "false", TO_LISTENER(recipients_in_text),
		.help = "Recipients named in the text of a message that comes here, see "
			"the section recipients, take the place of those it came for." },
	{ "priority", CONF_KIND_CHOICE, "normal", .choices = priority_choices,
		TO_LISTENER(priority),
		.help = "Mail of a higher one goes first when there is more than may "
			"leave." },
	{ "tags", CONF_KIND_PAIRS, .example = "[ site=berlin ]", TO_LISTENER(tags),
		.help = "SES's message tags (X-SES-MESSAGE-TAGS) of its mail." },
	{ "accept", CONF_KIND_CHOICE, "queue", .choices = accept_choices,
		TO_LISTENER(accept),
		.help = "When 250 is said: queue: the message is safe on this disk. "
			"relay: "
			"the relay has taken it, and its refusal is the client's; for "
			"clients that try again by themselves." },
};
static const struct conf_section listener_section = SECTION(listener_fields);

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
static const struct conf_section tls_section = SECTION(tls_fields);

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
static const struct conf_section auth_section = SECTION(auth_fields);

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
static const struct conf_section dns_section = SECTION(dns_fields);

static const struct conf_field s3_fields[] = {
	{ "bucket", CONF_KIND_TEXT, .example = "acme-mail-attachments", TO(s3.bucket),
		.help = "The bucket. It stays private: links are signed." },
	{ "region", CONF_KIND_WORD, .example = "eu-west-1", TO(s3.region),
		.unset =
			"AWS_REGION, the profile's, us-east-1 where an endpoint is given",
		.help = "The bucket's region." },
	{ "endpoint", CONF_KIND_URL, .example = "https://s3.example.com", TO(s3.endpoint),
		.unset =
			"AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's, Amazon S3 "
			"of the region",
		.help = "Another store that speaks S3. http only to loopback." },
	{ "prefix", CONF_KIND_TEXT, .example = "mail", TO(s3.prefix),
		.help = "What all keys begin with, without the slash behind it." },
	{ "path_style", CONF_KIND_BOOL, "false", TO(s3.path_style),
		.unset = "the profile's addressing_style, false",
		.help = "/bucket/key instead of bucket.host/key: many stores other than "
			"Amazon's need it." },
	{ "ca_file", CONF_KIND_PATH, .example = "/etc/ssl/certs/ca-certificates.crt",
		TO(s3.ca_file),
		.unset = "AWS_CA_BUNDLE, the profile's, the distribution's bundle",
		.help = "PEM file of the authorities that may vouch for the endpoint." },
	{ "access_key_id", CONF_KIND_TEXT, .example = "AKIAIOSFODNN7EXAMPLE",
		TO(s3.access_key_id),
		.unset = "the environment, AWS's files, the role of the container or of "
			 "the instance",
		.help = "Credentials. Those of an IAM user sign links that live for 7 "
			"days; temporary ones end earlier, and the links with them." },
	{ "access_key_id_file", CONF_KIND_PATH,
		.example = "/etc/stowage/s3-access-key-id", TO(s3.access_key_id_file),
		.help = "The same, in a file." },
	{ "secret_access_key", CONF_KIND_SECRET,
		.example = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		TO(s3.secret_access_key), .help = "Better in a file of its own:" },
	{ "secret_access_key_file", CONF_KIND_PATH,
		.example = "/etc/stowage/s3-secret-access-key",
		TO(s3.secret_access_key_file), .help = "The same, in a file." },
	{ "session_token", CONF_KIND_SECRET, .example = "FwoGZXIvYXdzEXAMPLE",
		TO(s3.session_token), .help = "Belongs to temporary credentials." },
	{ "session_token_file", CONF_KIND_PATH,
		.example = "/etc/stowage/s3-session-token", TO(s3.session_token_file),
		.help = "The same, in a file." },
	{ "credentials_file", CONF_KIND_PATH, .example = "/etc/stowage/aws-credentials",
		TO(s3.credentials_file),
		.unset = "AWS_SHARED_CREDENTIALS_FILE, then ~/.aws/credentials",
		.help = "A shared credentials file in AWS's format." },
	{ "profile", CONF_KIND_TEXT, .example = "mail", TO(s3.profile),
		.unset = "AWS_PROFILE, then default",
		.help = "The profile in that file." },
	{ "role_arn", CONF_KIND_TEXT,
		.example = "arn:aws:iam::123456789012:role/mail-uploads", TO(s3.role_arn),
		.unset = "none is assumed",
		.help = "A role to assume (sts:AssumeRole) with whatever credentials "
			"were found." },
	{ "external_id", CONF_KIND_TEXT, .example = "acme-7f3a", TO(s3.external_id),
		.help = "What the role's trust policy asks for, if it does." },
	{ "role_session_name", CONF_KIND_WORD, .example = "mail-in",
		TO(s3.role_session_name), .unset = "stowage",
		.help = "The session's name in CloudTrail." },
	{ "connections", CONF_KIND_NUMBER, "16", .min = 1, .max = 256, TO(s3.connections),
		.help = "Connections to the store at a time." },
	{ "connect_timeout", CONF_KIND_MILLISECONDS, "5s", .min = 100,
		.max = 300 * SECOND_MS, TO(s3.connect_timeout_ms),
		.help = "How long connecting may take." },
	{ "stall_timeout", CONF_KIND_MILLISECONDS, "30s", .min = 1 * SECOND_MS,
		.max = 3600 * SECOND_MS, TO(s3.stall_timeout_ms),
		.help = "An upload without progress for so long has failed." },
	{ "attempts", CONF_KIND_NUMBER, "3", .min = 1, .max = 10, TO(s3.attempts),
		.help = "Tries for each object before the message waits in the queue." },
	{ "dual_stack", CONF_KIND_BOOL, "false", TO(s3.dual_stack),
		.unset = "AWS_USE_DUALSTACK_ENDPOINT, the profile's, false",
		.help = "Amazon's endpoints that answer over IPv6 too." },
	{ "fips", CONF_KIND_BOOL, "false", TO(s3.fips),
		.unset = "AWS_USE_FIPS_ENDPOINT, the profile's, false",
		.help = "Amazon's endpoints with FIPS 140 cryptography." },
	{ "multipart_threshold", CONF_KIND_SIZE, "64MiB", .min = 5 * MIB, .max = 5 * GIB,
		TO(s3.multipart_threshold),
		.help = "Larger objects are sent in parts, side by side." },
	{ "checksum", CONF_KIND_CHOICE, "auto", .choices = checksum_choices,
		TO(s3.checksum),
		.help = "What an upload is compared with, beside the signed hash: sha256 "
			"and md5 are sent along, with md5 the ETag is compared too. "
			"auto: sha256 at Amazon and where a store is found to answer "
			"with it, else the ETag where it is an MD5." },
	{ "unsigned_payload", CONF_KIND_BOOL, "false", TO(s3.unsigned_payload),
		.help = "Content is not part of signatures. https only." },
	{ "if_none_match", CONF_KIND_CHOICE, "auto", .choices = if_none_match_choices,
		TO(s3.if_none_match),
		.help = "No object is overwritten (If-None-Match), unless the store does "
			"not know how: a retry finds what it stored before." },
	{ "encryption", CONF_KIND_CHOICE, .example = "kms", .unset = "none",
		.choices = encryption_choices, TO(s3.encryption),
		.help = "Server-side encryption asked for; none: as the bucket is set." },
	{ "kms_key_id", CONF_KIND_TEXT,
		.example = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd",
		TO(s3.kms_key_id), .unset = "the account's key for S3",
		.help = "The key of encryption: kms." },
	{ "kms_context", CONF_KIND_PAIRS, .example = "[ purpose=mail ]",
		TO(s3.kms_context), .help = "The encryption context, with kms." },
	{ "bucket_key", CONF_KIND_BOOL, "false", TO(s3.bucket_key),
		.help = "A bucket key, with kms: fewer requests to it." },
	{ "storage_class", CONF_KIND_WORD, .example = "STANDARD_IA", TO(s3.storage_class),
		.unset = "the store's own",
		.help = "The objects' storage class. Not one that must be restored "
			"before "
			"it can be read." },
	{ "tags", CONF_KIND_PAIRS, .example = "[ origin=mail, team=it ]", TO(s3.tags),
		.help = "Tags of the objects, 10 at most. Takes s3:PutObjectTagging." },
	{ "expected_bucket_owner", CONF_KIND_WORD, .example = "\"111122223333\"",
		TO(s3.bucket_owner),
		.help = "The account that the bucket must belong to." },
	{ "object_lock", CONF_KIND_CHOICE, .example = "governance", .unset = "none",
		.choices = object_lock_choices, TO(s3.lock),
		.help = "Objects cannot be deleted for object_lock_days. Takes a bucket "
			"with object lock, and s3:PutObjectRetention." },
	{ "object_lock_days", CONF_KIND_NUMBER, .example = "30", .min = 1, .max = 36500,
		TO(s3.lock_days), .unset = "none", .help = "For how long." },
	{ "directory", CONF_KIND_PATH, .example = "/var/lib/stowage/objects",
		TO(s3.directory),
		.help = "Instead of a bucket: attachments are files here, and the "
			"gateway itself answers their links." },
	{ "directory_url", CONF_KIND_URL, .example = "https://files.example.com",
		TO(s3.directory_url),
		.help = "What links to the directory begin with. http only for "
			"loopback." },
	{ "directory_max_size", CONF_KIND_SIZE, .example = "100GiB", .max = 1024 * TIB,
		.min = MIB, .unset = "no ceiling", TO(s3.directory_max_bytes),
		.help = "What the directory's objects may have together. Mail with "
			"attachments waits while there is no room." },
	{ "directory_min_free", CONF_KIND_SIZE, "256MiB", .max = 64 * TIB,
		TO(s3.directory_min_free_bytes),
		.help = "The same while less than this is free on the directory's "
			"disk." },
	{ "listen", CONF_KIND_ADDRESS, .example = "\"127.0.0.1:8025\"",
		TO(downloads.listen), .unset = "not served here",
		.help = "Where the directory's links are answered." },
	{ "listen_tls", CONF_KIND_BOOL, "false", TO(downloads.tls),
		.help = "By HTTPS, with tls.certificate or what of tls.additional has "
			"the name asked for. Else by HTTP, for a proxy in front." },
	{ "listen_proxies", CONF_KIND_NETWORKS, .example = "[ 127.0.0.1 ]",
		.unset = "no proxies", TO(downloads.proxies),
		.count_offset = offsetof(struct conf, downloads.n_proxies),
		.help = "Proxies in front, whose X-Forwarded-For names the client. They "
			"must leave the header field Host as it was sent." },
	{ "listen_requests_per_minute", CONF_KIND_NUMBER, .max = 1000000,
		.example = "600", .unset = "600, loopback excepted",
		TO(downloads.requests_per_minute.n),
		.help = "Requests of one address (IPv6: a /64); more are told to come "
			"later (429). 0: no ceiling." },
	{ "retention", CONF_KIND_SECONDS, .example = "30d", .min = DAY, .max = 3650 * DAY,
		TO(s3_retention_s), .unset = "for ever",
		.help = "How long objects are kept. Those of a directory the gateway "
			"deletes then, unless a link to one is still good; for a bucket "
			"it is what its lifecycle rule says. No link outlives it." },
};
static const struct conf_section s3_section = SECTION(s3_fields);

static const struct conf_field cloudfront_fields[] = {
	{ "url", CONF_KIND_TEXT, .example = "https://d111111abcdef8.cloudfront.net",
		TO(s3.links.cloudfront_url),
		.help = "What links begin with. Its cache behaviour must pass "
			"response-content-disposition and response-content-type on." },
	{ "key_pair_id", CONF_KIND_WORD, .example = "K2JCJMDEHXQW5F",
		TO(s3.links.cloudfront_key_pair_id),
		.help = "The public key's ID in a trusted key group." },
	{ "private_key_file", CONF_KIND_PATH, .example = "/etc/stowage/cloudfront.pem",
		TO(s3.links.cloudfront_private_key_file),
		.help = "PEM file of the key: RSA with 2048 bits, or ECDSA on P-256." },
};
static const struct conf_section cloudfront_section = SECTION(cloudfront_fields);

static const struct conf_field links_fields[] = {
	{ "expiry", CONF_KIND_SECONDS, "7d", .min = 60, .max = 3650 * DAY,
		TO(link_expiry_s),
		.help = "How long links work. S3 allows 7 days and ends them with the "
			"credentials that signed them, CloudFront allows any time; the "
			"mail says the true end." },
	{ "access_key_id", CONF_KIND_TEXT, .example = "AKIAI44QH8DHBEXAMPLE",
		TO(s3.links.access_key_id), .unset = "the credentials of s3",
		.help = "Credentials of their own for links: they need s3:GetObject "
			"alone, and those of s3 then s3:PutObject alone." },
	{ "access_key_id_file", CONF_KIND_PATH,
		.example = "/etc/stowage/links-access-key-id",
		TO(s3.links.access_key_id_file), .help = "The same, in a file." },
	{ "secret_access_key", CONF_KIND_SECRET,
		.example = "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
		TO(s3.links.secret_access_key), .help = "Better in a file of its own:" },
	{ "secret_access_key_file", CONF_KIND_PATH,
		.example = "/etc/stowage/links-secret-access-key",
		TO(s3.links.secret_access_key_file), .help = "The same, in a file." },
	{ "session_token", CONF_KIND_SECRET, .example = "AQoEXAMPLEH4aoAH0gNCAPy",
		TO(s3.links.session_token), .help = "Belongs to temporary credentials." },
	{ "session_token_file", CONF_KIND_PATH,
		.example = "/etc/stowage/links-session-token",
		TO(s3.links.session_token_file), .help = "The same, in a file." },
	{ "credentials_file", CONF_KIND_PATH, .example = "/etc/stowage/links-credentials",
		TO(s3.links.credentials_file),
		.unset = "as for s3, once there is a profile",
		.help = "A shared credentials file in AWS's format." },
	{ "profile", CONF_KIND_TEXT, .example = "links", TO(s3.links.profile),
		.unset = "default, once there is a credentials_file",
		.help = "The profile in that file." },
	{ "base_url", CONF_KIND_TEXT, .example = "https://files.example.com",
		TO(s3.links.base_url), .unset = "the bucket's own",
		.help = "What links begin with, where the bucket has another host: a "
			"CNAME, or something in front that passes path and query on. "
			"The key follows its path. Links are signed for this host." },
	{ "signed_for_endpoint", CONF_KIND_BOOL, "false",
		TO(s3.links.signed_for_endpoint),
		.help = "With a base_url: links are signed for the bucket's own host and "
			"path, with which what stands in front asks." },
	{ "cloudfront", CONF_KIND_SECTION, .section = &cloudfront_section,
		.help = "Instead of S3's own links: signed for a CloudFront "
			"distribution, with a key pair of its own." },
};
static const struct conf_section links_section = SECTION(links_fields);

static const struct conf_field type_fields[] = {
	{ "pattern", CONF_KIND_TEXT, .example = "\"text/*card\"", .required = true,
		MEMBER(struct mime_rule, pattern),
		.help = "A media type; * stands for anything, ? for one character." },
	{ "action", CONF_KIND_CHOICE, "keep", .choices = action_choices,
		MEMBER(struct mime_rule, action), .help = "What becomes of such parts." },
};
static const struct conf_section type_section = SECTION(type_fields);

static const struct conf_field name_fields[] = {
	{ "pattern", CONF_KIND_USER, .example = "\"*.asc\"", .required = true,
		MEMBER(struct mime_rule, pattern),
		.help = "A file name; * stands for anything, ? for one character." },
	{ "action", CONF_KIND_CHOICE, "keep", .choices = action_choices,
		MEMBER(struct mime_rule, action), .help = "What becomes of such files." },
};
static const struct conf_section name_section = SECTION(name_fields);

#define TO_EXCEPTION(member) MEMBER(struct conf_exception, attachments.member)
#define RULES(section_of, list, count)                                                   \
	.section = &(section_of), .element_size = sizeof(struct mime_rule),              \
	TO_EXCEPTION(list),                                                              \
	.count_offset = offsetof(struct conf_exception, attachments.count)
#define AS_ABOVE(key) .unset = "as attachments." key, .help = "For these messages."
static const struct conf_field exception_fields[] = {
	{ "listener", CONF_KIND_WORD, .example = "mx", .unset = "any",
		MEMBER(struct conf_exception, listener),
		.help = "The name of the listener that the mail came by." },
	{ "user", CONF_KIND_USER, .example = "\"camera-*\"",
		.unset = "anyone, authenticated or not",
		MEMBER(struct conf_exception, user),
		.help = "The user that it came from; * stands for anything." },
	{ "min_size", CONF_KIND_SIZE, "0", .max = TIB, TO_EXCEPTION(min_size),
		AS_ABOVE("min_size") },
	{ "inline_images", CONF_KIND_CHOICE, "keep", .choices = inline_choices,
		TO_EXCEPTION(inline_images), AS_ABOVE("inline_images") },
	{ "inline_max", CONF_KIND_SIZE, "1MiB", .max = TIB, TO_EXCEPTION(inline_max),
		AS_ABOVE("inline_max") },
	{ "forwarded", CONF_KIND_CHOICE, "keep", .choices = forwarded_choices,
		TO_EXCEPTION(forwarded), AS_ABOVE("forwarded") },
	{ "forwarded_depth", CONF_KIND_NUMBER, "3", .min = 1, .max = 20,
		TO_EXCEPTION(forwarded_depth), AS_ABOVE("forwarded_depth") },
	{ "types", CONF_KIND_LIST, .max = MIME_RULES_MAX,
		.example = "- { pattern: \"text/*card\", action: keep }",
		RULES(type_section, types, n_types), AS_ABOVE("types") },
	{ "names", CONF_KIND_LIST, .max = MIME_RULES_MAX,
		.example = "- { pattern: \"*.asc\", action: keep }",
		RULES(name_section, names, n_names), AS_ABOVE("names") },
	{ "resource_forks", CONF_KIND_CHOICE, "link", .choices = resource_forks_choices,
		TO_EXCEPTION(resource_forks), AS_ABOVE("resource_forks") },
	{ "tnef", CONF_KIND_CHOICE, "link", .choices = tnef_choices, TO_EXCEPTION(tnef),
		AS_ABOVE("tnef") },
	{ "oversized", CONF_KIND_CHOICE, "link", .choices = oversized_choices,
		TO_EXCEPTION(oversized), AS_ABOVE("oversized") },
	{ "position", CONF_KIND_CHOICE, "end", .choices = position_choices,
		TO_EXCEPTION(block_position), AS_ABOVE("position") },
};
const struct conf_section conf_schema_exception = SECTION(exception_fields);

static const struct conf_choice text_only_choices[] = {
	{ "text", MIME_TEXT_ONLY_TEXT },
	{ "both", MIME_TEXT_ONLY_BOTH },
	{ NULL, 0 },
};

static const struct conf_field attachments_fields[] = {
	{ "min_size", CONF_KIND_SIZE, "0", .max = TIB, TO(attachments.min_size),
		.help = "Smaller attachments stay in the message. 0 links all." },
	{ "inline_images", CONF_KIND_CHOICE, "keep", .choices = inline_choices,
		TO(attachments.inline_images),
		.help = "Images that the HTML body shows." },
	{ "inline_max", CONF_KIND_SIZE, "1MiB", .max = TIB, TO(attachments.inline_max),
		.help = "A kept image above this size is linked after all." },
	{ "forwarded", CONF_KIND_CHOICE, "keep", .choices = forwarded_choices,
		TO(attachments.forwarded),
		.help = "Messages attached to a message: kept, linked whole as .eml, or "
			"rewritten inside, each with its links in its own text." },
	{ "forwarded_depth", CONF_KIND_NUMBER, "3", .min = 1, .max = 20,
		TO(attachments.forwarded_depth),
		.help = "With forwarded: inside, how many messages within one another "
			"are opened." },
	{ "types", CONF_KIND_LIST, .max = MIME_RULES_MAX,
		.example = "- { pattern: \"text/*card\", action: keep }",
		LIST_OF(type_section, struct mime_rule, attachments.types,
			attachments.n_types),
		.help = "Media types that stay or are linked, against what else holds. "
			"The first that fits decides. Bodies, images shown in them, and "
			"what is signed or encrypted stay whatever stands here." },
	{ "names", CONF_KIND_LIST, .max = MIME_RULES_MAX,
		.example = "- { pattern: \"*.asc\", action: keep }",
		LIST_OF(name_section, struct mime_rule, attachments.names,
			attachments.n_names),
		.help = "The same for file names; asked before types." },
	{ "resource_forks", CONF_KIND_CHOICE, "link", .choices = resource_forks_choices,
		TO(attachments.resource_forks),
		.help = "The second half of a Macintosh file (AppleDouble), which stands "
			"beside its data: linked as well, or taken out." },
	{ "tnef", CONF_KIND_CHOICE, "link", .choices = tnef_choices, TO(attachments.tnef),
		.help = "Outlook's winmail.dat: linked, kept, or linked together with "
			"the files in it under their own names (extract)." },
	{ "oversized", CONF_KIND_CHOICE, "link", .choices = oversized_choices,
		TO(attachments.oversized),
		.help = "A message that is still over relay.max_message_size, such as a "
			"signed one: linked as one .eml in a message that says so, or "
			"left to the relay to refuse (keep)." },
	{ "position", CONF_KIND_CHOICE, "end", .choices = position_choices,
		TO(attachments.block_position),
		.help = "Where in the body the links stand." },
	{ "text_only", CONF_KIND_CHOICE, "text", .choices = text_only_choices,
		TO(attachments.text_only),
		.help = "A message whose only body is text: the links stand in that, or "
			"it gets an HTML body of the same words as well (both)." },
	{ "time_zone", CONF_KIND_TEXT, .example = "Europe/Berlin", TO(time_zone),
		.unset = "UTC", .help = "In which the links' end is told." },
	{ "template_text", CONF_KIND_PATH, .example = "/etc/stowage/links.txt",
		TO(template_text), .unset = "in English",
		.help = "How the links are worded in a text body." },
	{ "template_html", CONF_KIND_PATH, .example = "/etc/stowage/links.html",
		TO(template_html), .unset = "a table, in English",
		.help = "The same for an HTML body." },
	{ "max_header_size", CONF_KIND_SIZE, "1MiB", .min = KIB, .max = 16 * MIB,
		TO(attachments.max_header_bytes),
		.help = "A message with a larger header block is not opened: it goes out "
			"as it is." },
	{ "max_parts", CONF_KIND_NUMBER, "2000", .min = 1, .max = 100000,
		TO(attachments.max_parts), .help = "The same for the number of parts." },
	{ "max_depth", CONF_KIND_NUMBER, "64", .min = 1, .max = 200,
		TO(attachments.max_depth), .help = "The same for parts within parts." },
	{ "exceptions", CONF_KIND_LIST, .max = 1000,
		.example = "- { listener: lan, min_size: 100KiB }",
		LIST_OF(conf_schema_exception, struct conf_exception, exceptions,
			n_exceptions),
		.help = "What is different for mail of one listener or user: the first "
			"whose listener and user fit holds." },
};
static const struct conf_section attachments_section = SECTION(attachments_fields);

static const struct conf_choice marker_choices[] = {
	{ "colon", MIME_MARKER_COLON },
	{ "bracket", MIME_MARKER_BRACKET },
	{ NULL, 0 },
};

static const struct conf_field recipients_fields[] = {
	{ "markers", CONF_KIND_WORDS, .choices = marker_choices,
		.example = "[ colon, bracket ]", TO(recipients.markers),
		.help = "How the list is written. colon: \":WORD:a@x.example,"
			"b@x.example:WORD:\". bracket: \"WORD:[a@x.example,b@x.example]"
			":WORD:\". It is taken out of all texts of the message." },
	{ "word", CONF_KIND_WORD, "Email_Rxers_Code", TO(recipients.word),
		.help = "The word in the markers, in any case." },
	{ "addresses", CONF_KIND_IDENTITIES, .example = "[ devices@in.example.com ]",
		TO(recipients.addresses),
		.help = "The domains and addresses for whose mail lists are looked for, "
			"whoever sent it; the list takes the place of these alone." },
	{ "domains", CONF_KIND_IDENTITIES, .example = "[ example.com ]",
		TO(recipients.domains),
		.help = "The domains and addresses that a list may name." },
	{ "max", CONF_KIND_NUMBER, "50", .min = 1, .max = 1000, TO(recipients.max),
		.help = "Recipients that a list may name." },
	{ "fallback", CONF_KIND_MAILBOX, .example = "postmaster@example.com",
		TO(recipients.fallback),
		.help = "Who gets a message without a proper list, with the reason in "
			"front of its text." },
};
static const struct conf_section recipients_section = SECTION(recipients_fields);

static const struct conf_field sender_fields[] = {
	{ "from", CONF_KIND_MAILBOX, .example = "gateway@example.com", TO(sender.from),
		.unset = "From is left as it is, and SES refuses what is not verified",
		.help = "Stands in From, Sender and Return-Path for addresses that are "
			"not verified; the author goes to Reply-To." },
	{ "verified", CONF_KIND_IDENTITIES, .example = "[ example.com ]",
		TO(sender.verified),
		.help = "The domains and addresses that SES has verified: with these "
			"From stays as it is." },
	{ "envelope", CONF_KIND_MAILBOX, .example = "bounces@example.com",
		TO(sender.envelope), .unset = "sender.from, else the client's own",
		.help = "The reverse-path at the relay: bounces go there." },
	{ "envelope_id", CONF_KIND_BOOL, "false", TO(sender.envelope_has_id),
		.help = "Add \"+ID\" to the local part of that reverse-path: what comes "
			"back names its message." },
	{ "display_name", CONF_KIND_TEXT, .example = "\"{name} via {gateway}\"",
		TO(sender.display_name), .unset = "\"{name} via {gateway}\"",
		.help = "The name beside sender.from. {name}, {address} and {domain} are "
			"the author's, {gateway} is the domain of sender.from." },
};
static const struct conf_section sender_section = SECTION(sender_fields);

#define TO_RELAY(member) MEMBER(struct conf_relay, member)
#define SES_FIELDS(type)                                                                 \
	{ "configuration_set", CONF_KIND_WORD, .example = "gateway",                     \
		MEMBER(type, ses.configuration_set),                                     \
		.help = "SES's configuration set (X-SES-CONFIGURATION-SET)." },          \
		{ "tags", CONF_KIND_PAIRS, .example = "[ team=it ]",                     \
			MEMBER(type, ses.tags),                                          \
			.help = "SES's message tags (X-SES-MESSAGE-TAGS)." },            \
		{ "source_arn", CONF_KIND_TEXT,                                          \
			.example = "arn:aws:ses:eu-west-1:123456789012:identity/"        \
				   "example.com",                                        \
			MEMBER(type, ses.source_arn),                                    \
			.help = "The identity of another account that allows to send "   \
				"for it (X-SES-SOURCE-ARN)." },                          \
		{ "from_arn", CONF_KIND_TEXT,                                            \
			.example = "arn:aws:ses:eu-west-1:123456789012:identity/"        \
				   "example.com",                                        \
			MEMBER(type, ses.from_arn),                                      \
			.help = "The same for From (X-SES-FROM-ARN)." },                 \
	{                                                                                \
		"return_path_arn", CONF_KIND_TEXT,                                       \
			.example = "arn:aws:ses:eu-west-1:123456789012:identity/"        \
				   "example.com",                                        \
			MEMBER(type, ses.return_path_arn),                               \
			.help = "The same for the reverse-path "                         \
				"(X-SES-RETURN-PATH-ARN)."                               \
	}

/* The first is of those in relays alone. */
static const struct conf_field relay_fields[] = {
	{ "name", CONF_KIND_WORD, .required = true, .example = "second", TO_RELAY(name),
		.help = "What routes and the log call it. That of relay is default." },
	{ "host", CONF_KIND_HOST, .example = "email-smtp.eu-west-1.amazonaws.com",
		TO_RELAY(host), .help = "The SMTP server that mail goes to." },
	{ "port", CONF_KIND_NUMBER, "587", .min = 1, .max = 65535, TO_RELAY(port),
		.help = "SES: 587 and 2587, or 465 and 2465 with tls: wrapper." },
	{ "tls", CONF_KIND_CHOICE, "required", .choices = relay_tls_choices,
		TO_RELAY(tls), .unset = "required; wrapper on the ports 465 and 2465",
		.help = "required (or starttls): STARTTLS before anything else. none: "
			"only to loopback. The certificate is always verified." },
	{ "ca_file", CONF_KIND_PATH, .example = "/etc/ssl/certs/ca-certificates.crt",
		TO_RELAY(ca_file), .unset = "the distribution's bundle",
		.help = "PEM file of the authorities that may vouch for the host." },
	{ "tls_name", CONF_KIND_DOMAIN, .example = "smtp.example.com", TO_RELAY(tls_name),
		.unset = "the host", .help = "The name that its certificate must have." },
	{ "user", CONF_KIND_TEXT, .example = "AKIAIOSFODNN7EXAMPLE", TO_RELAY(user),
		.help = "SMTP credentials, as SES's console makes them." },
	{ "password", CONF_KIND_SECRET, .example = "BEXAMPLEpasswordOfTheSmtpInterface",
		TO_RELAY(password), .help = "Better in a file of its own:" },
	{ "password_file", CONF_KIND_PATH, .example = "/etc/stowage/relay-password",
		TO_RELAY(password_file), .help = "The same, in a file." },
	{ "iam_access_key_id", CONF_KIND_TEXT, .example = "AKIAIOSFODNN7EXAMPLE",
		TO_RELAY(iam_access_key_id),
		.help = "Instead of user and password: the key of an IAM user that may "
			"ses:SendRawEmail. The SMTP password is derived from it." },
	{ "iam_access_key_id_file", CONF_KIND_PATH,
		.example = "/etc/stowage/ses-access-key-id",
		TO_RELAY(iam_access_key_id_file), .help = "The same, in a file." },
	{ "iam_secret_access_key", CONF_KIND_SECRET,
		.example = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		TO_RELAY(iam_secret_access_key), .help = "Better in a file of its own:" },
	{ "iam_secret_access_key_file", CONF_KIND_PATH,
		.example = "/etc/stowage/ses-secret-access-key",
		TO_RELAY(iam_secret_access_key_file), .help = "The same, in a file." },
	{ "region", CONF_KIND_WORD, .example = "eu-west-1", TO_RELAY(region),
		.unset = "from SES's host name",
		.help = "For deriving the password where the host name does not tell "
			"it." },
	SES_FIELDS(struct conf_relay),
	{ "rate", CONF_KIND_PACE, "0", .max = 100000, TO_RELAY(rate),
		.count_offset = offsetof(struct conf_relay, rate_auto),
		.help = "Recipients a second at most; stay below SES's limit. 0: as fast "
			"as it goes. auto: what SES's API says that the account may "
			"(ses:GetAccount), and what SES's answers teach; auto 14: begin "
			"with 14 where the API says nothing." },
	{ "rate_share", CONF_KIND_RATE, "1", .max = 1, TO_RELAY(rate_share),
		.help = "This gateway's part of rate and quota where several send by one "
			"account: 0.5 for each of two." },
	{ "daily_quota", CONF_KIND_NUMBER, "0", .max = 1000000000, TO_RELAY(daily_quota),
		.help = "Recipients in 24 hours that SES allows the account. 0: not "
			"known here." },
	{ "api_endpoint", CONF_KIND_URL,
		.example = "https://email.eu-west-1.amazonaws.com",
		TO_RELAY(api_endpoint), .unset = "SES's API in the region",
		.help = "Where SES's API is asked for the account's rate and quota." },
	{ "connections", CONF_KIND_NUMBER, "8", .min = 1, .max = 256,
		TO_RELAY(connections), .help = "Connections at a time." },
	{ "messages_per_connection", CONF_KIND_NUMBER, "500", .min = 1, .max = 1000000,
		TO_RELAY(messages_per_connection), .help = "Then a new one is made." },
	{ "connection_lifetime", CONF_KIND_SECONDS, "5m", .min = 1, .max = DAY,
		TO_RELAY(connection_lifetime_s), .help = "Then a new one is made." },
	{ "connect_timeout", CONF_KIND_SECONDS, "30s", .min = 1, .max = 300,
		TO_RELAY(connect_timeout_s), .help = "How long connecting may take." },
	{ "command_timeout", CONF_KIND_SECONDS, "5m", .min = 1, .max = HOUR,
		TO_RELAY(command_timeout_s), .help = "How long an answer may take." },
	{ "data_timeout", CONF_KIND_SECONDS, "10m", .min = 1, .max = HOUR,
		TO_RELAY(data_timeout_s),
		.help = "How long the answer to a whole message may take. Giving up "
			"early can send it twice." },
	{ "max_message_size", CONF_KIND_SIZE, "40MB", .min = KIB, .max = TIB,
		TO_RELAY(max_message_size),
		.help = "What it takes after links replaced the attachments. SES: 40 "
			"MB." },
	{ "max_recipients", CONF_KIND_NUMBER, "50", .min = 1, .max = 10000,
		TO_RELAY(max_recipients), .help = "In one transaction. SES: 50." },
	{ "delivers", CONF_KIND_DOMAINS, .example = "[ in.example.com ]",
		TO_RELAY(delivers),
		.help = "Domains that come to this gateway and that the relay delivers "
			"itself, by no MX lookup: their mail may keep its address." },
	{ "maildir", CONF_KIND_PATH, .example = "/var/lib/stowage/maildir",
		TO_RELAY(maildir),
		.help = "Instead of a host: mail is written to this Maildir." },
};
static const struct conf_section relay_section = { relay_fields + 1,
	G_N_ELEMENTS(relay_fields) - 1 };
static const struct conf_section further_relay_section = SECTION(relay_fields);

static const struct conf_field route_fields[] = {
	{ "listener", CONF_KIND_WORD, .example = "mx", .unset = "any",
		MEMBER(struct conf_route, listener),
		.help = "The name of the listener that the mail came by." },
	{ "user", CONF_KIND_USER, .example = "\"camera-*\"",
		.unset = "anyone, authenticated or not", MEMBER(struct conf_route, user),
		.help = "The user that it came from; * stands for anything." },
	{ "senders", CONF_KIND_IDENTITIES, .example = "[ alarms@example.com ]",
		.unset = "any", MEMBER(struct conf_route, senders),
		.help = "Domains and addresses of the reverse-path." },
	{ "recipients", CONF_KIND_IDENTITIES, .example = "[ corp.example.com ]",
		.unset = "any", MEMBER(struct conf_route, recipients),
		.help = "Domains and addresses that it goes to." },
	{ "relays", CONF_KIND_WORD_LIST, .required = true,
		.example = "[ default, second ]", MEMBER(struct conf_route, relays),
		.help = "The names of the relays, in the order in which they are "
			"tried." },
	SES_FIELDS(struct conf_route),
	{ "preserve_sender", CONF_KIND_BOOL, "false",
		MEMBER(struct conf_route, preserve_sender),
		.help = "Leave From, Sender and reverse-path as they are, for relays "
			"that "
			"take any." },
	{ "uncertain", CONF_KIND_CHOICE, "again", .choices = once_choices,
		MEMBER(struct conf_route, once),
		.help = "A message whose end was sent and never answered: again sends it "
			"once more, so that it may come twice; hold keeps it for you, so "
			"that it comes once at most." },
};
static const struct conf_section route_section = SECTION(route_fields);

static const struct conf_field queue_fields[] = {
	{ "directory", CONF_KIND_PATH, "/var/lib/stowage", TO(queue.directory),
		.help = "Messages and their records, on a disk that survives power "
			"cuts." },
	{ "workers", CONF_KIND_NUMBER, "8", .min = 1, .max = 256, TO(queue.workers),
		.help = "Deliveries at a time; one more is for mail of high priority "
			"alone." },
	{ "min_free", CONF_KIND_SIZE, "256MiB", .max = 64 * TIB, TO(queue.min_free_bytes),
		.help = "With less free disk new mail has to wait at its sender (452). "
			"Half of it is kept for the record of what is queued." },
	{ "min_free_inodes", CONF_KIND_NUMBER, "1000", .max = UINT64_C(1) << 40,
		TO(queue.min_free_inodes), .help = "The same for inodes." },
	{ "max_messages", CONF_KIND_NUMBER, "1000000", .min = 1, .max = 1000000000,
		TO(queue.max_messages), .help = "The same for messages in the queue." },
	{ "retry_first", CONF_KIND_SECONDS, "5s", .min = 1, .max = HOUR,
		TO(queue.retry_first_s),
		.help = "The wait after a first failure; it grows." },
	{ "retry_max", CONF_KIND_SECONDS, "20m", .min = 1, .max = DAY,
		TO(queue.retry_max_s), .help = "The longest wait between tries." },
	{ "lifetime", CONF_KIND_SECONDS, "4d", .min = 1, .max = 60 * DAY,
		TO(queue.lifetime_s),
		.help = "What is not delivered for so long is tried no more: it is "
			"bounced or dead, and kept." },
	{ "history", CONF_KIND_SECONDS, "30d", .max = 3650 * DAY, TO(queue.history_s),
		.help = "How long the record of a finished message is kept, and a "
			"bounced one itself." },
	{ "dead_retention", CONF_KIND_SECONDS, "90d", .max = 3650 * DAY,
		TO(queue.dead_retention_s),
		.help = "How long a dead message is kept, with its record. 0: until you "
			"delete it." },
	{ "bounces", CONF_KIND_BOOL, "true", TO(queue.bounces),
		.help = "Tell senders of mail that cannot be delivered (RFC 3464): those "
			"who authenticated and clients of a listener's networks, never "
			"strangers. false: such mail is dead instead, for you to see "
			"to." },
};
static const struct conf_section queue_section = SECTION(queue_fields);

static const struct conf_field admin_fields[] = {
	{ "listen", CONF_KIND_ADDRESS_OFF, "127.0.0.1:9025", TO(admin_listen),
		.help = "Where /metrics, /healthz and /readyz are answered; or off." },
};
static const struct conf_section admin_section = SECTION(admin_fields);

static const struct conf_field log_fields[] = {
	{ "format", CONF_KIND_CHOICE, "auto", .choices = log_choices, TO(log_format),
		.help = "json: one object a line. human: for reading. auto: human on a "
			"terminal." },
	{ "debug", CONF_KIND_BOOL, "false", TO(log_debug),
		.help = "Log details for finding faults. Never content or secrets." },
};
static const struct conf_section log_section = SECTION(log_fields);

static const struct conf_field file_fields[] = {
	{ "hostname", CONF_KIND_DOMAIN, .example = "mail-in.example.com",
		.required = true, TO(hostname),
		.help = "The name by which this gateway greets, in both directions." },
	{ "postmaster", CONF_KIND_MAILBOX, .example = "ops@example.com", TO(postmaster),
		.unset = "where the listener's first recipient's mail goes",
		.help = "Where mail for postmaster goes that the listener's recipients "
			"do not name: every mail host must take it (RFC 5321)." },
	{ "listeners", CONF_KIND_LIST, .required = true, .max = 64,
		.example = "- { name: mx, address: \"[::]:25\" }",
		LIST_OF(listener_section, struct conf_listener, listeners, n_listeners),
		.help = "Where mail comes in." },
	{ "tls", CONF_KIND_SECTION, .section = &tls_section,
		.help = "The certificate that listeners show." },
	{ "auth", CONF_KIND_SECTION, .section = &auth_section,
		.help = "Who may authenticate." },
	{ "dns", CONF_KIND_SECTION, .section = &dns_section,
		.help = "For what the DNS says of clients." },
	{ "s3", CONF_KIND_SECTION, .section = &s3_section,
		.help = "Where attachments are stowed." },
	{ "links", CONF_KIND_SECTION, .section = &links_section,
		.help = "The links to them." },
	{ "attachments", CONF_KIND_SECTION, .section = &attachments_section,
		.help = "What is taken out of messages." },
	{ "recipients", CONF_KIND_SECTION, .section = &recipients_section,
		.help = "For devices that can write to one address only: the text of a "
			"message names its recipients." },
	{ "sender", CONF_KIND_SECTION, .section = &sender_section,
		.help = "In whose name mail is sent." },
	{ "relay", CONF_KIND_SECTION, .section = &relay_section,
		.offset = offsetof(struct conf, relay), .help = "Where mail goes out." },
	{ "relays", CONF_KIND_LIST, .max = 64,
		.example = "- { name: second, host: smtp.example.net, user: gateway, "
			   "password_file: /etc/stowage/second-password }",
		LIST_OF(further_relay_section, struct conf_relay, relays, n_relays),
		.help = "Further relays, each with the options of relay and a name." },
	{ "routes", CONF_KIND_LIST, .max = 1000,
		.example = "- { recipients: [ corp.example.com ], relays: [ second ] }",
		LIST_OF(route_section, struct conf_route, routes, n_routes),
		.help = "Which relays mail goes by: the first route that fits a "
			"recipient; without one, relay." },
	{ "queue", CONF_KIND_SECTION, .section = &queue_section,
		.help = "What is accepted is kept here until it is delivered." },
	{ "admin", CONF_KIND_SECTION, .section = &admin_section,
		.help = "For operators." },
	{ "log", CONF_KIND_SECTION, .section = &log_section,
		.help = "The log goes to standard error." },
	{ "shutdown_timeout", CONF_KIND_SECONDS, "30s", .max = HOUR,
		TO(shutdown_timeout_s),
		.help = "On SIGTERM sessions and deliveries under way get so long to "
			"finish." },
};
const struct conf_section conf_schema = SECTION(file_fields);

const struct conf_field *conf_section_find(
	const struct conf_section *section, const char *key)
{
	for (size_t i = 0; i < section->n_fields; i++)
		if (strcmp(section->fields[i].key, key) == 0)
			return &section->fields[i];
	return NULL;
}

enum { KEY_MAX = 40 };

/* How many letters are missing, too many, wrong or swapped with their neighbour. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][KEY_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];
	size_t a_length = strlen(a), b_length = strlen(b);
	for (size_t j = 0; j <= b_length; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= a_length; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= b_length; j++) {
			unsigned wrong = last[j - 1] + (a[i - 1] != b[j - 1]);
			row[j] = MIN(wrong, MIN(last[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
				a[i - 2] == b[j - 1])
				row[j] = MIN(row[j], before[j - 2] + 1);
		}
		unsigned *oldest = before;
		before = last;
		last = row;
		row = oldest;
	}
	return last[b_length];
}

const struct conf_field *conf_section_nearest(
	const struct conf_section *section, const char *key)
{
	const struct conf_field *nearest = NULL;
	g_autofree char *lower = g_ascii_strdown(key, -1);
	if (strlen(key) > KEY_MAX)
		return NULL;
	unsigned best = strlen(key) > 4 ? 3 : 2; /* beyond what is taken for a slip */
	for (size_t i = 0; i < section->n_fields; i++) {
		unsigned d = distance(lower, section->fields[i].key);
		if (d >= best)
			continue;
		best = d;
		nearest = &section->fields[i];
	}
	return nearest;
}

/* Joins words: "a, b or c". */
static char *join_words(const GPtrArray *words)
{
	GString *text = g_string_new(NULL);
	for (size_t i = 0; i < words->len; i++) {
		if (i > 0)
			g_string_append(text, i + 1 < words->len ? ", " : " or ");
		g_string_append(text, g_ptr_array_index(words, i));
	}
	return g_string_free(text, FALSE);
}

char *conf_section_keys(const struct conf_section *section)
{
	g_autoptr(GPtrArray) words = g_ptr_array_new();
	for (size_t i = 0; i < section->n_fields; i++)
		g_ptr_array_add(words, (char *)section->fields[i].key);
	return join_words(words);
}

char *conf_choice_words(const struct conf_choice *choices)
{
	g_autoptr(GPtrArray) words = g_ptr_array_new();
	for (; choices->word != NULL; choices++)
		g_ptr_array_add(words, (char *)choices->word);
	return join_words(words);
}
