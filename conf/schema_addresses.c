/* The settings of who mail is for, where its text says so, and in whose name it goes. */
#include "conf/schema_tables.h"

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
const struct conf_section conf_schema_recipients = SECTION(recipients_fields);

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
const struct conf_section conf_schema_sender = SECTION(sender_fields);
