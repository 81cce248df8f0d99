/*
 * schema - the one table of settings: from it come parsing, bounds,
 * defaults and the sample.
 *
 * A section's fields are written relative to the struct that the section fills: struct
 * conf, or that of an element for a list (struct conf_listener for one of listeners).
 */
#ifndef CONF_SCHEMA_H
#define CONF_SCHEMA_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In brackets: what is written. */
enum conf_kind {
	CONF_KIND_BOOL,         /* [bool] */
	CONF_KIND_NUMBER,       /* [unsigned, size_t or uint64_t] */
	CONF_KIND_SIZE,         /* [uint64_t] octets */
	CONF_KIND_SECONDS,      /* [unsigned] */
	CONF_KIND_MILLISECONDS, /* [unsigned] */
	CONF_KIND_RATE,         /* [double] */
	/* [double, and bool at count_offset]: a rate, or "auto" with or without one */
	CONF_KIND_PACE,
	CONF_KIND_CHOICE,      /* [enum] */
	CONF_KIND_TEXT,        /* [const char *] printable, not empty */
	CONF_KIND_USER,        /* [const char *] the same in UTF-8, at most 255 octets */
	CONF_KIND_SECRET,      /* [const char *] never shown */
	CONF_KIND_WORD,        /* [const char *] letters, digits, - and _, at most 64 */
	CONF_KIND_PATH,        /* [const char *] absolute */
	CONF_KIND_ADDRESS,     /* [const char *] numeric HOST:PORT */
	CONF_KIND_ADDRESS_OFF, /* [const char *] the same; "off" is NULL */
	CONF_KIND_MAILBOX,     /* [const char *] local-part@domain */
	CONF_KIND_HOST,        /* [const char *] domain name or numeric address */
	CONF_KIND_DOMAIN,      /* [const char *] domain name */
	CONF_KIND_URL,         /* [const char *] http or https, of an origin: no path */
	CONF_KIND_BASE_URL,    /* [const char *] the same, or with a path */
	CONF_KIND_DOMAINS,     /* [const char *const *] NULL-ended */
	/* [const char *const *] NULL-ended, domains and mailboxes */
	CONF_KIND_IDENTITIES,
	/* [const char *const *] NULL-ended, words of choices, as those write them */
	CONF_KIND_WORDS,
	/* [const char *const *] NULL-ended, numeric HOST or HOST:PORT */
	CONF_KIND_SERVERS,
	CONF_KIND_PAIRS,     /* [const char *const *] NULL-ended, name=value */
	CONF_KIND_WORD_LIST, /* [const char *const *] NULL-ended, each as WORD has it */
	/* [const struct conf_network *], its number at count_offset */
	CONF_KIND_NETWORKS,
	CONF_KIND_RECIPIENTS, /* [struct conf_recipient_map *] */
	CONF_KIND_SECTION,    /* a mapping; its fields fill the struct at offset */
	/* Mappings, each a struct of element_size that section fills: [const pointer to
	 * the first], their number at count_offset; at most max of them */
	CONF_KIND_LIST,
};

struct conf_choice {
	const char *word; /* NULL ends the list */
	unsigned value;
};

struct conf_field {
	const char *key;
	enum conf_kind kind;
	const char *initial; /* the default, as one would write it; NULL: 0 or none */
	const char *example; /* for the sample, where there is no default */
	const char *unset;   /* for the sample: what holds where it is not given */
	const char *help;    /* sentences */
	uint64_t min, max;   /* of numbers, in units of the kind; of LIST's elements */
	bool required;
	size_t offset, width, count_offset, element_size;
	const struct conf_choice *choices;
	const struct conf_section *section;
};

struct conf_section {
	const struct conf_field *fields;
	size_t n_fields;
};

extern const struct conf_section conf_schema;           /* the file */
extern const struct conf_section conf_schema_exception; /* of attachments.exceptions */

/* NULL: no such key. */
const struct conf_field *conf_section_find(
	const struct conf_section *section, const char *key);

/* The field that key is most likely meant to be; NULL: nothing is near. */
const struct conf_field *conf_section_nearest(
	const struct conf_section *section, const char *key);

/* "a, b or c"; g_free(). */
char *conf_section_keys(const struct conf_section *section);
char *conf_choice_words(const struct conf_choice *choices);

#endif
