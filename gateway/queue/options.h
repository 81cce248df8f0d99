/*
 * options - the words behind stowage queue VERB and stowage links VERB. Pure.
 *
 * Internal to gateway/queue/, but for options_ask_for_help(). One table for both, so that
 * an option means the same everywhere; which of them a verb takes is the verb's to say.
 */
#ifndef GATEWAY_QUEUE_OPTIONS_H
#define GATEWAY_QUEUE_OPTIONS_H

#include "gateway/queue/selection.h"

enum option {
	OPTION_STATE = 1u << 0,
	OPTION_FILTERS =
		1u << 1, /* sender, recipient, reason, age, listener, user, hold */
	OPTION_LIMIT = 1u << 2,
	OPTION_ALL = 1u << 3,
	OPTION_JSON = 1u << 4,
	OPTION_DRY_RUN = 1u << 5,
	OPTION_YES = 1u << 6,
	OPTION_AGAIN = 1u << 7,
	OPTION_INTO = 1u << 8, /* directory, maildir */
	OPTION_ENVELOPE = 1u << 9,
	OPTION_OBJECTS = 1u << 10, /* keep objects */
	OPTION_EXPIRING = 1u << 11,
	OPTION_SEND = 1u << 12,
};

struct options {
	unsigned given; /* of enum option */
	struct selection selection;
	bool again;
	bool keep_objects;               /* what is stored of a message that is deleted */
	uint64_t expiring_s;             /* 0: not given */
	const char *directory, *maildir; /* NULL: not given */
	int n_words;
	char **words; /* what is no option; borrowed from argv */
};

/*
 * Reads argv behind the verb, argv[0]; words are moved to the front of what follows it.
 * taken: of enum option. Values are borrowed from argv. False with GATEWAY_ERROR_REJECT,
 * whose text says what is wrong. options_clear() in any case.
 */
bool options_parse(
	struct options *options, unsigned taken, int argc, char **argv, GError **error);
void options_clear(struct options *options);

/* Whether argv, which begins with the verb, asks for help, in its place or
 * of it. argc is 1 or more. */
bool options_ask_for_help(int argc, char **argv);

#endif
