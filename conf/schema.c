/* The table of settings: the file, and what is for the operator. Each other
 * section has a file of its own. How settings are read is the reader's matter,
 * how they fit the checks'. */
#include "conf/schema_tables.h"

static const struct conf_choice log_choices[] = {
	{ "auto", CONF_LOG_AUTO },
	{ "json", CONF_LOG_JSON },
	{ "human", CONF_LOG_HUMAN },
	{ NULL, 0 },
};

static const struct conf_field queue_fields[] = {
	{ "directory", CONF_KIND_PATH, "/var/lib/stowage", TO(queue.directory),
		.help = "Messages and their records, on a disk that survives power "
			"cuts." },
	{ "workers", CONF_KIND_NUMBER, "8", .min = 1, .max = 256, TO(queue.workers),
		.help = "Deliveries at a time; one more is for mail of high priority "
			"alone." },
	{ "min_free", CONF_KIND_SIZE, "256MiB", .max = 64 * TIB, TO(queue.min_free_bytes),
		.help = "With less free disk new mail has to wait at its sender (452). "
			"Half of it is kept for the record of what is queued, so that it "
			"is 3MiB at least. 0: no floor; on a disk that is full nothing "
			"leaves." },
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
		LIST_OF(conf_schema_listener, struct conf_listener, listeners,
			n_listeners),
		.help = "Where mail comes in." },
	{ "tls", CONF_KIND_SECTION, .section = &conf_schema_tls,
		.help = "The certificate that listeners show." },
	{ "auth", CONF_KIND_SECTION, .section = &conf_schema_auth,
		.help = "Who may authenticate." },
	{ "dns", CONF_KIND_SECTION, .section = &conf_schema_dns,
		.help = "For what the DNS says of clients." },
	{ "s3", CONF_KIND_SECTION, .section = &conf_schema_s3,
		.help = "Where attachments are stowed." },
	{ "links", CONF_KIND_SECTION, .section = &conf_schema_links,
		.help = "The links to them." },
	{ "attachments", CONF_KIND_SECTION, .section = &conf_schema_attachments,
		.help = "What is taken out of messages." },
	{ "recipients", CONF_KIND_SECTION, .section = &conf_schema_recipients,
		.help = "For devices that can write to one address only: the text of a "
			"message names its recipients." },
	{ "sender", CONF_KIND_SECTION, .section = &conf_schema_sender,
		.help = "In whose name mail is sent." },
	{ "relay", CONF_KIND_SECTION, .section = &conf_schema_relay,
		.offset = offsetof(struct conf, relay), .help = "Where mail goes out." },
	{ "relays", CONF_KIND_LIST, .max = 64,
		.example = "- { name: second, host: smtp.example.net, user: gateway, "
			   "password_file: /etc/stowage/second-password }",
		LIST_OF(conf_schema_further_relay, struct conf_relay, relays, n_relays),
		.help = "Further relays, each with the options of relay and a name." },
	{ "routes", CONF_KIND_LIST, .max = 1000,
		.example = "- { recipients: [ corp.example.com ], relays: [ second ] }",
		LIST_OF(conf_schema_route, struct conf_route, routes, n_routes),
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
