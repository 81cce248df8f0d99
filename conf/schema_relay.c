/* The settings of relays, and of the routes to them. */
#include "conf/schema_tables.h"

static const struct conf_choice relay_tls_choices[] = {
	{ "none", CONF_TLS_NONE },
	{ "starttls", CONF_TLS_REQUIRED },
	{ "required", CONF_TLS_REQUIRED },
	{ "wrapper", CONF_TLS_WRAPPER },
	{ NULL, 0 },
};
static const struct conf_choice once_choices[] = {
	{ "again", CONF_AT_LEAST_ONCE },
	{ "hold", CONF_AT_MOST_ONCE },
	{ NULL, 0 },
};

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
const struct conf_section conf_schema_relay = { relay_fields + 1,
	G_N_ELEMENTS(relay_fields) - 1 };
const struct conf_section conf_schema_further_relay = SECTION(relay_fields);

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
const struct conf_section conf_schema_route = SECTION(route_fields);
