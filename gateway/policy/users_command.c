/* stowage user add|remove|list|verify: changes a users file as a whole, so that a reader
 * sees the old one or the new one. Knows no settings. */
#include "gateway/policy/users.h"

#include "gateway/error.h"
#include "gateway/policy/users_file.h"
#include "gateway/write.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

/* Each means that another process has replaced the file in between. */
#define LOCK_TRIES 100
#define CONTROL_C  '\003'

static const char usage[] =
	"usage: stowage user add FILE NAME     (sets the password of one who is there)\n"
	"       stowage user add --no-password FILE NAME   (a certificate counts only)\n"
	"       stowage user remove FILE NAME\n"
	"       stowage user list FILE\n"
	"       stowage user verify FILE NAME\n"
	"A password is asked for on the terminal, or read as one line of standard "
	"input.\n"
	"verify ends with 0 where it is right, 77 where it is not, 67 where there is no "
	"such user.\n";

static int misused(const char *what)
{
	fprintf(stderr, "stowage user: %s\n%s", what, usage);
	return EX_USAGE;
}

/* --- passwords --- */

/* One line without its end; wiped by the caller. False: none, too long, or Control-C. */
static bool read_line(FILE *from, char line[USERS_PASSWORD_MAX + 2])
{
	size_t n = 0;
	int c;
	while ((c = getc(from)) != EOF && c != '\n' && c != CONTROL_C) {
		if (c == '\0' || n > USERS_PASSWORD_MAX)
			return false;
		line[n++] = (char)c;
	}
	if (c == CONTROL_C || (c == EOF && n == 0))
		return false;
	if (n > 0 && line[n - 1] == '\r')
		n--;
	line[n] = '\0';
	return n <= USERS_PASSWORD_MAX;
}

/* Without echo, and with Control-C as the end of the line, so that the
 * terminal is set back. */
static bool ask(FILE *terminal, const char *prompt, char line[USERS_PASSWORD_MAX + 2])
{
	struct termios before, quiet;
	int fd = fileno(terminal);
	if (tcgetattr(fd, &before) < 0)
		return false;
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
	quiet.c_lflag |= ICANON;
	quiet.c_cc[VEOL] = CONTROL_C;
	/* Before the prompt: what is typed in answer to it must not be flushed. */
	if (tcsetattr(fd, TCSAFLUSH, &quiet) < 0)
		return false;
	fputs(prompt, stderr);
	bool ok = read_line(terminal, line);
	tcsetattr(fd, TCSAFLUSH, &before);
	fputc('\n', stderr);
	return ok;
}

static bool ask_twice(char password[USERS_PASSWORD_MAX + 2])
{
	char again[USERS_PASSWORD_MAX + 2] = "";
	bool ok = ask(stdin, "Password: ", password) && ask(stdin, "Once more: ", again);
	bool same = ok && strcmp(password, again) == 0;
	OPENSSL_cleanse(again, sizeof again);
	if (ok && !same)
		fputs("stowage user: the two are not the same\n", stderr);
	return same;
}

static int get_password(bool twice, char password[USERS_PASSWORD_MAX + 2])
{
	bool terminal = isatty(STDIN_FILENO);
	bool ok;
	setvbuf(stdin, NULL, _IONBF, 0); /* no second copy that nobody wipes */
	if (terminal && twice)
		ok = ask_twice(password);
	else if (terminal)
		ok = ask(stdin, "Password: ", password);
	else
		ok = read_line(stdin, password);
	if (ok && *password)
		return EX_OK;
	fputs("stowage user: no password was given (1 to 511 bytes, on one line)\n",
		stderr);
	return EX_DATAERR;
}

/* --- changing the file --- */

struct edit {
	const char *path;
	const char *name;
	const char *hash; /* NULL: remove */
	bool found;
	GString *text; /* the new file */
};

static bool fail(GError **error, const char *path, const char *what)
{
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND, "%s: %s: %s", path, what,
		g_strerror(errno));
	return false;
}

/* A descriptor of the file with its lock; made if wanted. -1 with error. */
static int lock_file(const char *path, bool make, GError **error)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		struct stat held, named;
		int fd = open(path,
			O_RDWR | O_CLOEXEC | O_NONBLOCK | (make ? O_CREAT : 0), 0600);
		if (fd < 0 || flock(fd, LOCK_EX) < 0 || fstat(fd, &held) < 0) {
			fail(error, path, "cannot be opened");
			if (fd >= 0)
				close(fd);
			return -1;
		}
		/* Whoever had the lock before may have put a new file in its place. */
		if (stat(path, &named) == 0 && held.st_dev == named.st_dev &&
			held.st_ino == named.st_ino)
			return fd;
		close(fd);
	}
	errno = EBUSY;
	fail(error, path, "cannot be locked");
	return -1;
}

static void append_entry(struct edit *edit)
{
	if (edit->hash)
		g_string_append_printf(edit->text, "%s:%s\n", edit->name, edit->hash);
}

static bool edit_line(
	void *context, const char *line, const struct users_entry *entry, GError **error)
{
	struct edit *edit = context;
	(void)error;
	if (!entry->name || strcmp(entry->name, edit->name) != 0) {
		g_string_append_printf(edit->text, "%s\n", line);
		return true;
	}
	if (!edit->found)
		append_entry(edit);
	edit->found = true;
	return true;
}

static bool sync_directory_of(const char *path)
{
	g_autofree char *directory = g_path_get_dirname(path);
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

/* The new text takes the old one's place, with its owner and mode. */
static bool replace_file(const struct edit *edit, int old_fd, GError **error)
{
	struct stat st;
	/* A link is followed: its target is replaced, not the link. */
	g_autofree char *path = realpath(edit->path, NULL);
	if (!path || fstat(old_fd, &st) < 0)
		return fail(error, edit->path, "cannot be examined");
	g_autofree char *temporary = g_strconcat(path, ".new", NULL);
	unlink(temporary); /* left by a crash: whoever holds the lock owns it */
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(error, temporary, "cannot be made");
	bool own = (st.st_uid == geteuid() && st.st_gid == getegid()) ||
		   fchown(fd, st.st_uid, st.st_gid) == 0;
	bool ok = own && fchmod(fd, st.st_mode & 07777) == 0 &&
		  write_all(fd, edit->text->str, edit->text->len) && fsync(fd) == 0;
	ok = close(fd) == 0 && ok;
	if (ok && rename(temporary, path) == 0 && sync_directory_of(path))
		return true;
	fail(error, edit->path, "cannot be written");
	unlink(temporary);
	return false;
}

/* Whether the name was there is in edit->found. */
static bool edit_file(struct edit *edit, GError **error)
{
	int fd = lock_file(edit->path, edit->hash != NULL, error);
	if (fd < 0)
		return false;
	size_t bytes = 0;
	char *text = users_file_read(edit->path, &bytes, error);
	edit->text = g_string_new(NULL);
	bool ok =
		text && users_file_parse(edit->path, text, bytes, edit_line, edit, error);
	if (ok && !edit->found)
		append_entry(edit);
	if (ok && (edit->found || edit->hash))
		ok = replace_file(edit, fd, error);
	if (text)
		OPENSSL_cleanse(text, bytes);
	g_free(text);
	OPENSSL_cleanse(edit->text->str, edit->text->len);
	g_string_free(edit->text, TRUE);
	close(fd);
	return ok;
}

static int report(const GError *error)
{
	fprintf(stderr, "stowage user: %s\n", error->message);
	return EX_CONFIG;
}

/* --- the verbs --- */

/* Asks for a password; its hash for the caller to wipe and g_free(). */
static int make_hash(char **hash)
{
	char password[USERS_PASSWORD_MAX + 2] = "";
	g_autoptr(GError) error = NULL;
	int code = get_password(true, password);
	*hash = code == EX_OK ? users_hash_new(password, &error) : NULL;
	OPENSSL_cleanse(password, sizeof password);
	return code == EX_OK && !*hash ? report(error) : code;
}

static int put_user(
	const char *path, const char *name, const char *hash, const char *news)
{
	g_autoptr(GError) error = NULL;
	struct edit edit = { .path = path, .name = name, .hash = hash };
	if (!edit_file(&edit, &error))
		return report(error);
	printf("%s: the user \"%s\" %s\n", path, name, edit.found ? news : "was added");
	return EX_OK;
}

static int add(const char *path, const char *name)
{
	char *hash = NULL;
	int code = make_hash(&hash);
	if (code == EX_OK)
		code = put_user(path, name, hash, "has a new password");
	if (hash)
		OPENSSL_cleanse(hash, strlen(hash));
	g_free(hash);
	return code;
}

static int add_without_password(const char *path, const char *name)
{
	return put_user(path, name, USERS_NO_PASSWORD, "has no password any more");
}

static int no_such_user(const char *path, const char *name)
{
	fprintf(stderr, "stowage user: %s: there is no user \"%s\"\n", path, name);
	return EX_NOUSER;
}

static int remove_user(const char *path, const char *name)
{
	g_autoptr(GError) error = NULL;
	struct edit edit = { .path = path, .name = name };
	if (!edit_file(&edit, &error))
		return report(error);
	if (!edit.found)
		return no_such_user(path, name);
	printf("%s: the user \"%s\" was removed\n", path, name);
	return EX_OK;
}

static bool list_line(
	void *context, const char *line, const struct users_entry *entry, GError **error)
{
	(void)context;
	(void)line;
	(void)error;
	if (entry->name)
		printf("%s  %s\n", entry->name, users_hash_method(entry->hash));
	return true;
}

static int list(const char *path, const char *name)
{
	(void)name;
	size_t bytes = 0;
	g_autoptr(GError) error = NULL;
	char *text = users_file_read(path, &bytes, &error);
	bool ok = text && users_file_parse(path, text, bytes, list_line, NULL, &error);
	if (text)
		OPENSSL_cleanse(text, bytes);
	g_free(text);
	return ok ? EX_OK : report(error);
}

static int verify(const char *path, const char *name)
{
	char password[USERS_PASSWORD_MAX + 2] = "";
	g_autoptr(GError) error = NULL;
	struct users *users = users_load(path, &error);
	if (!users)
		return report(error);
	int code = users_has(users, name) ? get_password(false, password)
					  : no_such_user(path, name);
	if (code == EX_OK && users_verify(users, name, password)) {
		puts("The password is right.");
	} else if (code == EX_OK) {
		fputs("stowage user: the password is wrong, or the user has none\n",
			stderr);
		code = EX_NOPERM;
	}
	OPENSSL_cleanse(password, sizeof password);
	users_unref(&users);
	return code;
}

int users_command(int argc, char **argv)
{
	static const struct {
		const char *name;
		int arguments;
		int (*run)(const char *path, const char *name);
	} verbs[] = {
		{ "add", 2, add },
		{ "add --no-password", 2, add_without_password },
		{ "remove", 2, remove_user },
		{ "list", 1, list },
		{ "verify", 2, verify },
	};
	if (argc < 1)
		return misused("add, remove, list or verify?");
	bool option = argc > 1 && g_str_has_prefix(argv[1], "--");
	g_autofree char *verb = g_strjoin(" ", argv[0], option ? argv[1] : NULL, NULL);
	argc -= option;
	argv += option;
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
		if (strcmp(verb, verbs[i].name) != 0)
			continue;
		if (argc - 1 != verbs[i].arguments)
			return misused("wrong number of arguments");
		const char *name = verbs[i].arguments > 1 ? argv[2] : NULL;
		const char *problem = name ? users_name_problem(name) : NULL;
		if (problem)
			return misused(problem);
		return verbs[i].run(argv[1], name);
	}
	return misused(option ? "no such option" : "not a verb");
}
