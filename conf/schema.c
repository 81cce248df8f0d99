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
static const struct conf_choice inline_choices[] = {
	{ "keep", MIME_INLINE_KEEP },
	{ "link", MIME_INLINE_LINK },
	{ NULL, 0 },
};
static const struct conf_choice forwarded_choices[] = {
	{ "keep", MIME_FORWARDED_KEEP },
	{ "whole", MIME_FORWARDED_WHOLE },
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
	{ "command_timeout", CONF_KIND_SECONDS, "5m", .min = 1, .max = HOUR,
		TO_LISTENER(command_timeout_s),
		.help = "How long a client may be silent between commands." },
	{ "data_timeout", CONF_KIND_SECONDS, "3m", .min = 1, .max = HOUR,
		TO_LISTENER(data_timeout_s),
		.help = "How long a client may be silent within a message." },
};
const struct conf_section conf_schema_listener = SECTION(listener_fields);

static const struct conf_field tls_fields[] = {
	{ "certificate", CONF_KIND_PATH, .example = "/etc/stowage/fullchain.pem",
		TO(tls_certificate),
		.help = "PEM file: the listeners' certificate and its chain. Read again "
			"on SIGHUP." },
	{ "key", CONF_KIND_PATH, .example = "/etc/stowage/key.pem", TO(tls_key),
		.help = "PEM file: the certificate's private key, not encrypted." },
};
static const struct conf_section tls_section = SECTION(tls_fields);

static const struct conf_field auth_fields[] = {
	{ "users", CONF_KIND_PATH, .example = "/etc/stowage/users", TO(users_file),
		.help = "Who may authenticate: lines of NAME:HASH, made by \"stowage "
			"user add\"." },
};
static const struct conf_section auth_section = SECTION(auth_fields);

static const struct conf_field s3_fields[] = {
	{ "bucket", CONF_KIND_TEXT, .example = "acme-mail-attachments", TO(s3.bucket),
		.help = "The bucket. It stays private: links are signed." },
	{ "region", CONF_KIND_WORD, .example = "eu-west-1", TO(s3.region),
		.unset = "us-east-1 where an endpoint is given",
		.help = "The bucket's region." },
	{ "endpoint", CONF_KIND_URL, .example = "https://s3.example.com", TO(s3.endpoint),
		.unset = "Amazon S3 of the region",
		.help = "Another store that speaks S3. http only to loopback." },
	{ "prefix", CONF_KIND_TEXT, .example = "mail", TO(s3.prefix),
		.help = "What all keys begin with, without the slash behind it." },
	{ "path_style", CONF_KIND_BOOL, "false", TO(s3.path_style),
		.help = "/bucket/key instead of bucket.host/key: many stores other than "
			"Amazon's need it." },
	{ "ca_file", CONF_KIND_PATH, .example = "/etc/ssl/certs/ca-certificates.crt",
		TO(s3.ca_file), .unset = "the distribution's bundle",
		.help = "PEM file of the authorities that may vouch for the endpoint." },
	{ "access_key_id", CONF_KIND_TEXT, .example = "AKIAIOSFODNN7EXAMPLE",
		TO(s3.access_key_id),
		.unset = "AWS_ACCESS_KEY_ID and its fellows, then the shared credentials "
			 "file",
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
	{ "directory", CONF_KIND_PATH, .example = "/var/lib/stowage/objects",
		TO(s3.directory),
		.help = "Instead of a bucket: attachments are files here, and the "
			"gateway itself answers their links." },
	{ "directory_url", CONF_KIND_URL, .example = "https://files.example.com",
		TO(s3.directory_url),
		.help = "What links to the directory begin with. http only for loopback: "
			"put a TLS proxy in front of s3.listen." },
	{ "listen", CONF_KIND_ADDRESS, .example = "\"127.0.0.1:8025\"", TO(s3_listen),
		.unset = "not served here",
		.help = "Where the directory's links are answered, over plain HTTP." },
};
static const struct conf_section s3_section = SECTION(s3_fields);

static const struct conf_field links_fields[] = {
	{ "expiry", CONF_KIND_SECONDS, "7d", .min = 60, .max = 7 * DAY, TO(link_expiry_s),
		.help = "How long links work. S3 allows 7 days and ends them with the "
			"credentials that signed them; the mail says the true end." },
};
static const struct conf_section links_section = SECTION(links_fields);

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
		.help = "Messages attached to a message: kept, or linked whole as "
			".eml." },
	{ "position", CONF_KIND_CHOICE, "end", .choices = position_choices,
		TO(attachments.block_position),
		.help = "Where in the body the links stand." },
	{ "max_header_size", CONF_KIND_SIZE, "1MiB", .min = KIB, .max = 16 * MIB,
		TO(attachments.max_header_bytes),
		.help = "A message with a larger header block is not opened: it goes out "
			"as it is." },
	{ "max_parts", CONF_KIND_NUMBER, "2000", .min = 1, .max = 100000,
		TO(attachments.max_parts), .help = "The same for the number of parts." },
	{ "max_depth", CONF_KIND_NUMBER, "64", .min = 1, .max = 200,
		TO(attachments.max_depth), .help = "The same for parts within parts." },
};
static const struct conf_section attachments_section = SECTION(attachments_fields);

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
};
static const struct conf_section sender_section = SECTION(sender_fields);

static const struct conf_field relay_fields[] = {
	{ "host", CONF_KIND_HOST, .example = "email-smtp.eu-west-1.amazonaws.com",
		TO(relay.host), .help = "The SMTP server that all mail goes to." },
	{ "port", CONF_KIND_NUMBER, "587", .min = 1, .max = 65535, TO(relay.port),
		.help = "SES: 587 and 2587, or 465 and 2465 with tls: wrapper." },
	{ "tls", CONF_KIND_CHOICE, "required", .choices = relay_tls_choices,
		TO(relay.tls), .unset = "required; wrapper on the ports 465 and 2465",
		.help = "required (or starttls): STARTTLS before anything else. none: "
			"only to loopback. The certificate is always verified." },
	{ "ca_file", CONF_KIND_PATH, .example = "/etc/ssl/certs/ca-certificates.crt",
		TO(relay.ca_file), .unset = "the distribution's bundle",
		.help = "PEM file of the authorities that may vouch for the host." },
	{ "tls_name", CONF_KIND_DOMAIN, .example = "smtp.example.com", TO(relay.tls_name),
		.unset = "relay.host",
		.help = "The name that its certificate must have." },
	{ "user", CONF_KIND_TEXT, .example = "AKIAIOSFODNN7EXAMPLE", TO(relay.user),
		.help = "SMTP credentials, as SES's console makes them." },
	{ "password", CONF_KIND_SECRET, .example = "BEXAMPLEpasswordOfTheSmtpInterface",
		TO(relay.password), .help = "Better in a file of its own:" },
	{ "password_file", CONF_KIND_PATH, .example = "/etc/stowage/relay-password",
		TO(relay.password_file), .help = "The same, in a file." },
	{ "iam_access_key_id", CONF_KIND_TEXT, .example = "AKIAIOSFODNN7EXAMPLE",
		TO(relay.iam_access_key_id),
		.help = "Instead of user and password: the key of an IAM user that may "
			"ses:SendRawEmail. The SMTP password is derived from it." },
	{ "iam_access_key_id_file", CONF_KIND_PATH,
		.example = "/etc/stowage/ses-access-key-id",
		TO(relay.iam_access_key_id_file), .help = "The same, in a file." },
	{ "iam_secret_access_key", CONF_KIND_SECRET,
		.example = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		TO(relay.iam_secret_access_key), .help = "Better in a file of its own:" },
	{ "iam_secret_access_key_file", CONF_KIND_PATH,
		.example = "/etc/stowage/ses-secret-access-key",
		TO(relay.iam_secret_access_key_file), .help = "The same, in a file." },
	{ "region", CONF_KIND_WORD, .example = "eu-west-1", TO(relay.region),
		.unset = "from SES's host name",
		.help = "For deriving the password where the host name does not tell "
			"it." },
	{ "configuration_set", CONF_KIND_WORD, .example = "gateway",
		TO(relay.configuration_set),
		.help = "SES's configuration set (X-SES-CONFIGURATION-SET)." },
	{ "rate", CONF_KIND_RATE, "0", .max = 100000, TO(relay.rate),
		.help = "Recipients a second at most; stay below SES's limit. 0: as fast "
			"as it goes." },
	{ "connections", CONF_KIND_NUMBER, "8", .min = 1, .max = 256,
		TO(relay.connections), .help = "Connections at a time." },
	{ "messages_per_connection", CONF_KIND_NUMBER, "500", .min = 1, .max = 1000000,
		TO(relay.messages_per_connection), .help = "Then a new one is made." },
	{ "connection_lifetime", CONF_KIND_SECONDS, "5m", .min = 1, .max = DAY,
		TO(relay.connection_lifetime_s), .help = "Then a new one is made." },
	{ "connect_timeout", CONF_KIND_SECONDS, "30s", .min = 1, .max = 300,
		TO(relay.connect_timeout_s), .help = "How long connecting may take." },
	{ "command_timeout", CONF_KIND_SECONDS, "5m", .min = 1, .max = HOUR,
		TO(relay.command_timeout_s), .help = "How long an answer may take." },
	{ "data_timeout", CONF_KIND_SECONDS, "10m", .min = 1, .max = HOUR,
		TO(relay.data_timeout_s),
		.help = "How long the answer to a whole message may take. Giving up "
			"early can send it twice." },
	{ "max_message_size", CONF_KIND_SIZE, "40MB", .min = KIB, .max = TIB,
		TO(relay.max_message_size),
		.help = "What it takes after links replaced the attachments. SES: 40 "
			"MB." },
	{ "max_recipients", CONF_KIND_NUMBER, "50", .min = 1, .max = 10000,
		TO(relay.max_recipients), .help = "In one transaction. SES: 50." },
	{ "delivers", CONF_KIND_DOMAINS, .example = "[ in.example.com ]",
		TO(relay.delivers),
		.help = "Domains that come to this gateway and that the relay delivers "
			"itself, by no MX lookup: their mail may keep its address." },
	{ "maildir", CONF_KIND_PATH, .example = "/var/lib/stowage/maildir",
		TO(relay.maildir),
		.help = "Instead of a host: all mail is written to this Maildir." },
};
static const struct conf_section relay_section = SECTION(relay_fields);

static const struct conf_field queue_fields[] = {
	{ "directory", CONF_KIND_PATH, "/var/lib/stowage", TO(queue.directory),
		.help = "Messages and their records, on a disk that survives power "
			"cuts." },
	{ "workers", CONF_KIND_NUMBER, "8", .min = 1, .max = 256, TO(queue.workers),
		.help = "Deliveries at a time." },
	{ "min_free", CONF_KIND_SIZE, "256MiB", .max = 64 * TIB, TO(queue.min_free_bytes),
		.help = "With less free disk new mail has to wait at its sender (452)." },
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
		.help = "A message not delivered for so long is dead: kept, and tried no "
			"more." },
	{ "history", CONF_KIND_SECONDS, "30d", .max = 3650 * DAY, TO(queue.history_s),
		.help = "How long the record of a finished message is kept." },
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
	{ "listeners", CONF_KIND_LISTENERS, .required = true,
		.section = &conf_schema_listener, TO(listeners),
		.count_offset = offsetof(struct conf, n_listeners),
		.help = "Where mail comes in." },
	{ "tls", CONF_KIND_SECTION, .section = &tls_section,
		.help = "The certificate that listeners show." },
	{ "auth", CONF_KIND_SECTION, .section = &auth_section,
		.help = "Who may authenticate." },
	{ "s3", CONF_KIND_SECTION, .section = &s3_section,
		.help = "Where attachments are stowed." },
	{ "links", CONF_KIND_SECTION, .section = &links_section,
		.help = "The links to them." },
	{ "attachments", CONF_KIND_SECTION, .section = &attachments_section,
		.help = "What is taken out of messages." },
	{ "sender", CONF_KIND_SECTION, .section = &sender_section,
		.help = "In whose name mail is sent." },
	{ "relay", CONF_KIND_SECTION, .section = &relay_section,
		.help = "Where mail goes out." },
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
