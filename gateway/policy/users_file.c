/* Lines of a users file and the hashes in them, through libxcrypt. Writes no file. */
#include "gateway/policy/users_file.h"

#include "conf/files.h"
#include "gateway/error.h"
#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS_MAX      5000000 /* SHA-2: seconds for one password */
#define BCRYPT_COST_MAX 16

#define CRYPT_BASE64 "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* Formats of crypt(5) that resist guessing. */
static const struct method {
	const char *prefix;
	const char *name;
	size_t hash_chars; /* behind the last "$" */
} methods[] = {
	{ "$y$", "yescrypt", 43 },
	{ "$2b$", "bcrypt", 53 },
	{ "$2y$", "bcrypt", 53 },
	{ "$2a$", "bcrypt", 53 },
	{ "$6$", "SHA-512", 86 },
	{ "$7$", "scrypt", 43 },
	{ "$5$", "SHA-256", 43 },
};

static const struct method *find_method(const char *hash)
{
	for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
		if (g_str_has_prefix(hash, methods[i].prefix))
			return &methods[i];
	}
	return NULL;
}

bool users_hash_is_password(const char *hash)
{
	return strcmp(hash, USERS_NO_PASSWORD) != 0 && strcmp(hash, "!") != 0;
}

const char *users_hash_method(const char *hash)
{
	if (!users_hash_is_password(hash))
		return "no password";
	const struct method *method = find_method(hash);
	return method ? method->name : NULL;
}

/* Whether the digit c stands for at most what the digit most stands for. */
static bool at_most(char c, char most)
{
	const char *digit = c ? strchr(CRYPT_BASE64, c) : NULL;
	return digit && digit <= strchr(CRYPT_BASE64, most);
}

/* A hash whose check takes minutes or gigabytes would stop the gateway. The memory-hard
 * ones are taken up to 1 GiB, the most that crypt_gensalt(3) makes. */
static bool is_affordable(const struct method *method, const char *hash)
{
	const char *parameters = hash + strlen(method->prefix);
	switch (method->prefix[1]) {
	case '2':
		return strtoul(parameters, NULL, 10) <= BCRYPT_COST_MAX;
	case '5':
	case '6':
		return !g_str_has_prefix(parameters, "rounds=") ||
		       strtoul(parameters + strlen("rounds="), NULL, 10) <= ROUNDS_MAX;
	case '7': /* N, five digits of r (32 here), five of p (1 here) */
		return at_most(parameters[0], 'G') && at_most(parameters[1], 'U') &&
		       g_str_has_prefix(parameters + 2, "..../....");
	default: /* the flavour, N, r; more would set further parameters */
		return parameters[0] == 'j' && at_most(parameters[1], 'F') &&
		       at_most(parameters[2], 'T') && parameters[3] == '$';
	}
}

/* "Legacy" to crypt(3), which would not make new ones, are bcrypt's older prefixes and
 * SHA-256 too; the table above has said what is. */
static bool is_known_to_crypt(const char *hash)
{
	int verdict = crypt_checksalt(hash);
	return verdict == CRYPT_SALT_OK || verdict == CRYPT_SALT_METHOD_LEGACY;
}

static const char *hash_problem(const char *hash)
{
	if (!users_hash_is_password(hash))
		return NULL;
	const struct method *method = find_method(hash);
	if (!method)
		return "the hash is of no method accepted here: yescrypt, bcrypt, "
		       "scrypt, SHA-512 or SHA-256 (stowage user add makes one), nor * "
		       "for no password";
	const char *last = strrchr(hash, '$') + 1;
	if (strlen(hash) >= CRYPT_OUTPUT_SIZE ||
		(size_t)(last - hash) <= strlen(method->prefix) ||
		strlen(last) != method->hash_chars ||
		strspn(last, CRYPT_BASE64) != method->hash_chars ||
		!is_known_to_crypt(hash))
		return "the hash is damaged: set the password anew with stowage user add";
	if (!is_affordable(method, hash))
		return "the hash costs too much time or memory to check: set the "
		       "password anew with stowage user add";
	return NULL;
}

const char *users_name_problem(const char *name)
{
	size_t bytes = strlen(name);
	if (bytes == 0)
		return "the name is empty";
	if (bytes > USERS_NAME_BYTES_MAX)
		return "the name is longer than 255 bytes";
	if (name[0] == '#')
		return "a name cannot begin with #";
	if (name[0] == ' ' || name[bytes - 1] == ' ')
		return "a name cannot begin or end with a space";
	if (strchr(name, ':'))
		return "a name cannot have a colon";
	if (!g_utf8_validate(name, -1, NULL))
		return "the name is not UTF-8";
	for (const char *p = name; *p; p = g_utf8_next_char(p)) {
		if (!g_unichar_isprint(g_utf8_get_char(p)))
			return "the name has a character that cannot be seen";
	}
	return NULL;
}

char *users_file_read(const char *path, size_t *text_bytes, GError **error)
{
	struct stat st = { 0 };
	char *text = NULL;
	const char *problem = NULL;
	/* Not blocked by what is no file. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		problem = g_strerror(errno);
	else if (!S_ISREG(st.st_mode))
		problem = "not a regular file";
	else if (st.st_size > USERS_FILE_BYTES_MAX)
		problem = "larger than 16 MiB: not a users file";
	if (!problem) {
		text = g_malloc((size_t)st.st_size + 1);
		ssize_t n = conf_file_read(fd, text, (size_t)st.st_size);
		if (n < 0) {
			problem = g_strerror(errno);
			g_clear_pointer(&text, g_free);
		}
		*text_bytes = (size_t)MAX(n, 0);
	}
	if (fd >= 0)
		close(fd);
	if (problem)
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"%s: cannot be read: %s", path, problem);
	return text;
}

static bool is_blank(const char *line)
{
	return line[0] == '#' || line[strspn(line, " \t")] == '\0';
}

/* Cuts line at its colon. The problem, or NULL. */
static const char *split_line(char *line, struct users_entry *entry)
{
	char *colon = strchr(line, ':');
	if (!colon)
		return "a line is NAME:HASH, and here is no colon";
	*colon = '\0';
	entry->name = line;
	entry->hash = colon + 1;
	const char *problem = users_name_problem(entry->name);
	return problem ? problem : hash_problem(entry->hash);
}

static bool parse_line(const char *path, size_t number, const char *line, users_line see,
	void *context, GError **error)
{
	struct users_entry entry = { 0 };
	GError *own = NULL;
	char *copy = g_strdup(line);
	const char *problem = is_blank(line) ? NULL : split_line(copy, &entry);
	if (problem)
		g_set_error(&own, GATEWAY_ERROR, GATEWAY_ERROR_MEND, "%s", problem);
	bool ok = !problem && see(context, line, &entry, &own);
	OPENSSL_cleanse(copy, strlen(line));
	g_free(copy);
	if (own) {
		g_prefix_error(&own, "%s:%zu: ", path, number);
		g_propagate_error(error, own);
	}
	return ok;
}

bool users_file_parse(const char *path, const char *text, size_t text_bytes,
	users_line see, void *context, GError **error)
{
	const char *end = text + text_bytes;
	size_t number = 1;
	for (const char *at = text; at < end; number++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t bytes = (size_t)((newline ? newline : end) - at);
		const char *next = at + bytes + 1;
		if (memchr(at, '\0', bytes)) {
			g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
				"%s:%zu: has a NUL: not a text file", path, number);
			return false;
		}
		if (bytes > 0 && at[bytes - 1] == '\r')
			bytes--;
		g_autofree char *line = g_strndup(at, bytes);
		if (!parse_line(path, number, line, see, context, error))
			return false;
		if (!newline)
			break;
		at = next;
	}
	return true;
}

bool users_hash_verify(const char *hash, const char *password)
{
	struct crypt_data *data = g_new0(struct crypt_data, 1);
	size_t bytes = strlen(hash);
	const char *made = crypt_r(password, hash, data);
	bool equal =
		made && strlen(made) == bytes && CRYPTO_memcmp(made, hash, bytes) == 0;
	OPENSSL_cleanse(data, sizeof *data);
	g_free(data);
	return equal;
}

char *users_hash_new(const char *password, GError **error)
{
	struct crypt_data *data = g_new0(struct crypt_data, 1);
	char *setting = crypt_gensalt_ra("$y$", 0, NULL, 0);
	const char *made = setting ? crypt_r(password, setting, data) : NULL;
	char *hash = made && made[0] == '$' ? g_strdup(made) : NULL;
	if (!hash)
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"the password cannot be hashed: %s", g_strerror(errno));
	free(setting);
	OPENSSL_cleanse(data, sizeof *data);
	g_free(data);
	return hash;
}
