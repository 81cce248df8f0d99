/* Opens the queue's record for a person's command, and finds messages by ID. */
#include "gateway/queue/visit.h"

#include "gateway/error.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define PREFIX_SEEN 2 /* more are not needed to know that a prefix is not unique */

int visit_report(const char *who, const GError *error)
{
	fprintf(stderr, "%s: %s\n", who, error->message);
	return error->code == GATEWAY_ERROR_MEND ? EX_DATAERR : EX_TEMPFAIL;
}

int visit_open(
	const char *who, const char *directory, bool read_only, struct store **store)
{
	g_autofree char *path = g_build_filename(directory, "queue.db", NULL);
	g_autoptr(GError) error = NULL;
	if (access(path, read_only ? R_OK : R_OK | W_OK) < 0) {
		if (errno == ENOENT || errno == ENOTDIR) {
			fprintf(stderr,
				"%s: no queue in %s: the gateway has not run yet, or "
				"queue.directory names another place\n",
				who, directory);
			return EX_NOINPUT;
		}
		fprintf(stderr, "%s: %s: %s: run this as the gateway's user\n", who, path,
			g_strerror(errno));
		return EX_NOPERM;
	}
	*store = store_open_visitor(path, read_only, &error);
	return *store ? EX_OK : visit_report(who, error);
}

struct matches {
	unsigned n;
	char id[MESSAGE_ID_BYTES];
};

static bool see_match(void *context, const struct store_glance *glance)
{
	struct matches *matches = context;
	g_strlcpy(matches->id, glance->id, sizeof matches->id);
	return ++matches->n < PREFIX_SEEN;
}

int visit_resolve(const char *who, struct store *store, const char *given,
	char id[MESSAGE_ID_BYTES])
{
	struct matches matches = { 0 };
	g_autofree char *prefix = g_ascii_strdown(given, -1);
	g_autoptr(GError) error = NULL;
	if (!*prefix || strspn(prefix, "0123456789abcdefghijklmnopqrstuvwxyz") !=
				strlen(prefix)) {
		fprintf(stderr, "%s: not an ID: %s\n", who, given);
		return EX_USAGE;
	}
	if (!store_scan_prefix(store, prefix, see_match, &matches, &error))
		return visit_report(who, error);
	if (matches.n == 1) {
		memcpy(id, matches.id, sizeof matches.id);
		return EX_OK;
	}
	fprintf(stderr, "%s: %s: %s\n", who, given,
		matches.n == 0 ? "no such message" : "more than one message begins so");
	return matches.n == 0 ? EX_NOINPUT : EX_USAGE;
}
