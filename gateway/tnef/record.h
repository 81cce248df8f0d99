/*
 * record - what stowage-tnef writes into its pipe: for each file a struct tnef_record,
 * its name and its octets; at the end one of magic TNEF_RECORD_END, with the number of
 * files. In the machine's own byte order: both ends run on it.
 */
#ifndef GATEWAY_TNEF_RECORD_H
#define GATEWAY_TNEF_RECORD_H

#include <stdint.h>

enum {
	TNEF_RECORD_FILE = 0x454c4946,
	TNEF_RECORD_END = 0x20444e45,
	TNEF_NAME_BYTES = 1024,
	TNEF_FILES_MAX = 200,
	TNEF_INPUT_BYTES = 24 * 1024 * 1024, /* larger ones are not opened */
	TNEF_CODEPAGE_UTF8 = 65001,
};

struct tnef_record {
	uint32_t magic;
	uint32_t name_bytes; /* END: the number of files */
	uint32_t codepage;   /* Windows' number; 0: not said */
	uint32_t unused;
	uint64_t bytes;
};

#endif
