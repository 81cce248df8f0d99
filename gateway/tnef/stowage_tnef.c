/*
 * stowage-tnef: the files in Outlook's winmail.dat. A program of its own, since the
 * library that reads them was not written for hostile input: it gets the octets as
 * descriptor 0 and a pipe as descriptor 1, and before it looks at the first octet it
 * gives up all system calls but read, write and exit. Whatever it then does, it can only
 * write to that pipe, or die. See record.h for what it writes.
 */
#include "gateway/tnef/record.h"
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <ytnef.h>

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true /* it needs system calls of its own */
#else
#define SANITIZED false
#endif

enum { OUT_FD = 3, CPU_SECONDS = 5, EXIT_FAILED = 1 };

/* The library copies each attachment once or twice. */
static const size_t heap_factor = 3, heap_spare = 16 << 20;

/* MAPI, [MS-OXPROPS]: PidTagAttachDataBinary, -LongFilename, -Filename, DisplayName. */
enum { TAG_DATA = 0x3701, TAG_LONG_NAME = 0x3707, TAG_NAME = 0x3704, TAG_TITLE = 0x3001 };

/* Not exit(), which would flush and look at standard output. */
static _Noreturn void leave(int code)
{
	syscall(SYS_exit, code);
	__builtin_trap();
}

static void put(const void *octets, size_t n)
{
	const char *p = octets;

	while (n > 0) {
		ssize_t written = write(OUT_FD, p, n);

		if (written <= 0)
			leave(EXIT_FAILED);
		p += written;
		n -= (size_t)written;
	}
}

static void put_file(const variableLength *name, bool is_utf8, uint32_t codepage,
	const variableLength *data)
{
	size_t name_bytes =
		name != NULL ? strnlen((const char *)name->data, (size_t)name->size) : 0;
	struct tnef_record record = {
		.magic = TNEF_RECORD_FILE,
		.codepage = is_utf8 ? TNEF_CODEPAGE_UTF8 : codepage,
		.bytes = (uint64_t)data->size,
	};

	if (name_bytes > TNEF_NAME_BYTES)
		name_bytes = TNEF_NAME_BYTES;
	record.name_bytes = (uint32_t)name_bytes;
	put(&record, sizeof(record));
	if (name_bytes > 0)
		put(name->data, name_bytes);
	put(data->data, (size_t)data->size);
}

static variableLength *property(Attachment *attachment, ULONG type, ULONG id)
{
	variableLength *found = MAPIFindProperty(&attachment->MAPI, PROP_TAG(type, id));

	if (found == MAPI_UNDEFINED || found == NULL || found->data == NULL)
		return NULL;
	return found->size > 0 ? found : NULL;
}

static const variableLength *find_name(Attachment *attachment, bool *is_utf8)
{
	static const ULONG ids[] = { TAG_LONG_NAME, TAG_TITLE, TAG_NAME };

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		const variableLength *name = property(attachment, PT_UNICODE, ids[i]);

		*is_utf8 = name != NULL;
		if (name == NULL)
			name = property(attachment, PT_STRING8, ids[i]);
		if (name != NULL)
			return name;
	}
	*is_utf8 = false;
	return attachment->Title.size > 0 ? &attachment->Title : NULL;
}

/* An attached item of Outlook's, which is no file, has its content as an object. */
static const variableLength *find_data(Attachment *attachment)
{
	if (property(attachment, PT_OBJECT, TAG_DATA) != NULL)
		return NULL;
	if (attachment->FileData.data != NULL && attachment->FileData.size >= 0)
		return &attachment->FileData;
	return property(attachment, PT_BINARY, TAG_DATA);
}

static uint32_t codepage_of(const TNEFStruct *tnef)
{
	uint32_t codepage = 0;

	if (tnef->CodePage.data != NULL && tnef->CodePage.size >= (int)sizeof(codepage))
		memcpy(&codepage, tnef->CodePage.data, sizeof(codepage));
	return codepage;
}

static void put_files(TNEFStruct *tnef)
{
	uint32_t n = 0;

	for (Attachment *a = tnef->starting_attach.next; a != NULL; a = a->next) {
		bool is_utf8;
		const variableLength *name = find_name(a, &is_utf8);
		const variableLength *data = find_data(a);

		if (data == NULL)
			continue;
		if (++n > TNEF_FILES_MAX)
			leave(EXIT_FAILED);
		put_file(name, is_utf8, codepage_of(tnef), data);
	}
	put(&(struct tnef_record){ .magic = TNEF_RECORD_END, .name_bytes = n },
		sizeof(struct tnef_record));
}

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "which architecture's system calls are these?"
#endif

#define LOAD(field)                                                                      \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define UNLESS(value, skipped) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped)
#define RETURN(what)           BPF_STMT(BPF_RET | BPF_K, what)
#define ALLOW(number)          UNLESS(number, 1), RETURN(SECCOMP_RET_ALLOW)

/* Only read, write and the end. A filter, for the strict mode cannot be had under one. */
static bool forbid_calls(void)
{
	static struct sock_filter filter[] = {
		LOAD(arch),
		UNLESS(ARCHITECTURE, 7),
		LOAD(nr),
		ALLOW(__NR_read),
		ALLOW(__NR_write),
		ALLOW(__NR_exit),
		RETURN(SECCOMP_RET_KILL_PROCESS),
	};
	const struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = filter,
	};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* A second wall, which a sandbox around this program may not let it build. */
static void limit(int what, rlim_t most)
{
	const struct rlimit both = { most, most };

	(void)setrlimit((__rlimit_resource_t)what, &both);
}

/* The pipe moves out of the way of the library, which prints to standard output; it
 * would look at that before its first octet, were there no buffer. */
static bool move_output(void)
{
	static char buffer[BUFSIZ];
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	return null >= 0 && dup2(STDOUT_FILENO, OUT_FD) == OUT_FD &&
	       dup2(null, STDOUT_FILENO) >= 0 && dup2(null, STDERR_FILENO) >= 0 &&
	       close_range(OUT_FD + 1, ~0U, 0) == 0;
}

/* All memory is taken beforehand: nothing more can be had in there. */
static bool lock_in(size_t bytes)
{
	size_t heap = heap_factor * bytes + heap_spare;
	void *all;

	limit(RLIMIT_CPU, CPU_SECONDS);
	limit(RLIMIT_CORE, 0);
	if (SANITIZED)
		return true;
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_TRIM_THRESHOLD, -1);
	all = malloc(heap);
	if (all == NULL)
		return false;
	free(all);
	limit(RLIMIT_NOFILE, 0);
	return forbid_calls();
}

int main(void)
{
	TNEFStruct tnef;
	struct stat status;
	BYTE *octets;

	if (fstat(STDIN_FILENO, &status) != 0 || status.st_size <= 0 ||
		status.st_size > TNEF_INPUT_BYTES)
		return EXIT_FAILED;
	octets = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE,
		STDIN_FILENO, 0);
	memset(&tnef, 0, sizeof(tnef));
	TNEFInitialize(&tnef);
	if (octets == MAP_FAILED || !move_output() || !lock_in((size_t)status.st_size))
		return EXIT_FAILED;
	/* Files before an error are whole: each has had its checksum compared. */
	if (TNEFParseMemory(octets, (long)status.st_size, &tnef) < 0 &&
		tnef.starting_attach.next == NULL)
		leave(EXIT_FAILED);
	put_files(&tnef);
	leave(0);
}
