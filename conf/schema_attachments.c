/* The settings of what is taken out of messages, and what is different for some. */
#include "conf/schema_tables.h"

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
static const struct conf_choice text_only_choices[] = {
	{ "text", MIME_TEXT_ONLY_TEXT },
	{ "both", MIME_TEXT_ONLY_BOTH },
	{ NULL, 0 },
};

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
const struct conf_section conf_schema_attachments = SECTION(attachments_fields);
