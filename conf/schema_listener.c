/* The settings of one listener: whom it serves, how, and within which bounds. */
#include "conf/schema_tables.h"

static const struct conf_choice tls_choices[] = {
	{ "none", CONF_TLS_NONE },
	{ "starttls", CONF_TLS_STARTTLS },
	{ "optional", CONF_TLS_STARTTLS },
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
static const struct conf_choice accept_choices[] = {
	{ "queue", CONF_ACCEPT_QUEUE },
	{ "relay", CONF_ACCEPT_RELAY },
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

#define TO_LISTENER(member) MEMBER(struct conf_listener, member)
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
const struct conf_section conf_schema_listener = SECTION(listener_fields);
