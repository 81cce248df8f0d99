/*
 * tnef - the files in Outlook's winmail.dat (application/ms-tnef), as stowage-tnef reads
 * them.
 *
 * Trusts nothing that the program writes: a name is bounded text, sizes together are at
 * most the container's. Thread: any.
 */
#ifndef GATEWAY_TNEF_TNEF_H
#define GATEWAY_TNEF_TNEF_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

struct tnef_file {
	char *name;     /* UTF-8, not cleaned; NULL: it has none */
	uint64_t start; /* of its octets in the target */
	uint64_t bytes;
};

/*
 * Reads the container: bytes octets at octets, or where that is NULL at fd (borrowed).
 * The files' octets, one file after the other, are appended to target, a descriptor
 * (borrowed); its offset moves. An array of struct tnef_file, g_array_unref(). NULL with
 * error (a GATEWAY_ERROR) when they cannot be read, all of them. program: stowage-tnef's
 * path; NULL: beside this program. Waits for it, ten seconds at most.
 */
GArray *tnef_read(const char *octets, int fd, uint64_t bytes, int target,
	const char *program, GError **error);

/* Takes what arrives from the program, however it is cut; for tnef_read() and tests. */
struct tnef_parser;

/* most_bytes: of all files together. */
struct tnef_parser *tnef_parser_new(uint64_t most_bytes, int target);

/* False with error: it is not what stowage-tnef writes, or target cannot be written. */
bool tnef_parser_push(
	struct tnef_parser *parser, const char *data, size_t length, GError **error);

/* The files; NULL with error: the end has not come. Once; frees the parser. */
GArray *tnef_parser_finish(struct tnef_parser **parser, GError **error);

void tnef_parser_free(struct tnef_parser **parser);

#endif
