/* Reads stowage-tnef's records as if an enemy wrote them, for one may: whoever sent the
 * container may have taken that program over. */
#include "gateway/error.h"
#include "gateway/tnef/record.h"
#include "gateway/tnef/tnef.h"
#include "gateway/write.h"
#include <errno.h>
#include <string.h>

/* What is being collected. */
enum state { RECORD, NAME, OCTETS, ENDED };

struct tnef_parser {
	enum state state;
	GArray *files; /* struct tnef_file */
	int target;
	uint64_t most_bytes, bytes; /* of all files */
	struct tnef_record record;
	GString *collected; /* of a record or name */
	uint64_t left;      /* octets of the file yet to come */
};

static void clear_file(void *data)
{
	struct tnef_file *file = data;
	g_free(file->name);
}

struct tnef_parser *tnef_parser_new(uint64_t most_bytes, int target)
{
	struct tnef_parser *parser = g_new0(struct tnef_parser, 1);
	parser->files = g_array_new(false, true, sizeof(struct tnef_file));
	g_array_set_clear_func(parser->files, clear_file);
	parser->target = target;
	parser->most_bytes = most_bytes;
	parser->collected = g_string_new(NULL);
	return parser;
}

static bool refuse(GError **error, const char *why)
{
	g_set_error_literal(error, GATEWAY_ERROR, GATEWAY_ERROR_REJECT, why);
	return false;
}

/* Code pages of Windows have their number in iconv's names as well. */
static char *name_to_utf8(const GString *raw, uint32_t codepage)
{
	g_autofree char *charset = g_strdup_printf("CP%u", codepage);
	if (raw->len == 0 || memchr(raw->str, '\0', raw->len))
		return NULL;
	if (g_utf8_validate(raw->str, (gssize)raw->len, NULL))
		return g_strdup(raw->str);
	if (codepage != 0 && codepage != TNEF_CODEPAGE_UTF8) {
		char *name = g_convert(
			raw->str, (gssize)raw->len, "UTF-8", charset, NULL, NULL, NULL);
		if (name)
			return name;
	}
	return g_utf8_make_valid(raw->str, (gssize)raw->len);
}

static void begin_octets(struct tnef_parser *parser)
{
	struct tnef_file file = {
		.name = name_to_utf8(parser->collected, parser->record.codepage),
		.start = parser->bytes,
		.bytes = parser->record.bytes,
	};
	g_array_append_val(parser->files, file);
	g_string_truncate(parser->collected, 0);
	parser->bytes += file.bytes;
	parser->left = file.bytes;
	parser->state = parser->left > 0 ? OCTETS : RECORD;
}

static bool take_record(struct tnef_parser *parser, GError **error)
{
	struct tnef_record *record = &parser->record;
	memcpy(record, parser->collected->str, sizeof(*record));
	g_string_truncate(parser->collected, 0);
	if (record->magic == TNEF_RECORD_END) {
		parser->state = ENDED;
		return record->name_bytes == parser->files->len ||
		       refuse(error, "the container's reader has lost files");
	}
	if (record->magic != TNEF_RECORD_FILE || record->name_bytes > TNEF_NAME_BYTES ||
		parser->files->len >= TNEF_FILES_MAX ||
		record->bytes > parser->most_bytes - parser->bytes)
		return refuse(error, "the container's reader says what cannot be");
	parser->state = NAME;
	if (record->name_bytes == 0)
		begin_octets(parser);
	return true;
}

/* Collects up to wanted octets; how many of data it took. */
static size_t collect(
	struct tnef_parser *parser, size_t wanted, const char *data, size_t length)
{
	size_t n = MIN(wanted - parser->collected->len, length);
	g_string_append_len(parser->collected, data, (gssize)n);
	return n;
}

static bool write_octets(
	struct tnef_parser *parser, const char *data, size_t length, GError **error)
{
	parser->left -= length;
	if (parser->left == 0)
		parser->state = RECORD;
	if (write_all(parser->target, data, length))
		return true;
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
		"cannot write a file of the container: %s", g_strerror(errno));
	return false;
}

bool tnef_parser_push(
	struct tnef_parser *parser, const char *data, size_t length, GError **error)
{
	while (length > 0) {
		size_t n = 0;
		switch (parser->state) {
		case RECORD:
			n = collect(parser, sizeof(parser->record), data, length);
			if (parser->collected->len == sizeof(parser->record) &&
				!take_record(parser, error))
				return false;
			break;
		case NAME:
			n = collect(parser, parser->record.name_bytes, data, length);
			if (parser->collected->len == parser->record.name_bytes)
				begin_octets(parser);
			break;
		case OCTETS:
			n = (size_t)MIN(parser->left, (uint64_t)length);
			if (!write_octets(parser, data, n, error))
				return false;
			break;
		case ENDED:
			return refuse(
				error, "the container's reader goes on behind its end");
		}
		data += n;
		length -= n;
	}
	return true;
}

GArray *tnef_parser_finish(struct tnef_parser **parser, GError **error)
{
	GArray *files = NULL;
	if ((*parser)->state == ENDED)
		files = g_steal_pointer(&(*parser)->files);
	else
		refuse(error, "the container cannot be read");
	tnef_parser_free(parser);
	return files;
}

void tnef_parser_free(struct tnef_parser **parser)
{
	if (!*parser)
		return;
	g_clear_pointer(&(*parser)->files, g_array_unref);
	g_string_free((*parser)->collected, true);
	g_clear_pointer(parser, g_free);
}
