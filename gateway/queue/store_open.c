/* Opens the queue's database: file, schema and its migrations, checks. Leaves its
 * statements to store.c. */
#include "gateway/queue/store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define APPLICATION_ID  0x53746f77 /* "Stow" */
#define BUSY_TIMEOUT_MS 5000
#define CHECKED_BYTES   (64 * 1024 * 1024) /* a larger file would hold up the start */
#define ROOM_BYTES      (128 * 1024)

/*
 * One script for each step of user_version. Scripts that were released never change.
 *
 * What moves a message on its usual way (received, relaying, sent) touches as few b-trees
 * as can be: no index holds the state of an unfinished message, and the numbers of
 * messages by state stand in totals, so that neither start nor statistics count rows.
 */
static const char *const migrations[] = {
	"CREATE TABLE messages ("
	"  id TEXT PRIMARY KEY NOT NULL,"
	"  state TEXT NOT NULL,"
	"  finished_ms INTEGER NOT NULL,"
	"  next_attempt_ms INTEGER NOT NULL,"
	"  received_ms INTEGER NOT NULL,"
	"  attempts INTEGER NOT NULL,"
	"  size INTEGER NOT NULL,"
	"  body_8bit INTEGER NOT NULL,"
	"  uncertain INTEGER NOT NULL,"
	"  seed BLOB NOT NULL,"
	"  listener TEXT NOT NULL,"
	"  client TEXT NOT NULL,"
	"  helo TEXT,"
	"  user TEXT,"
	"  reverse_path TEXT NOT NULL,"
	"  reason TEXT,"
	"  relay_id TEXT,"
	"  retried_ms INTEGER NOT NULL DEFAULT 0"
	") STRICT, WITHOUT ROWID;"
	"CREATE INDEX unfinished_by_next_attempt ON messages (next_attempt_ms)"
	"  WHERE finished_ms = 0;"
	"CREATE INDEX unfinished_by_id ON messages (id) WHERE finished_ms = 0;"
	"CREATE INDEX purgeable ON messages (finished_ms) WHERE state IN ('sent', "
	"'bounced');"
	"CREATE INDEX dead ON messages (id) WHERE state = 'dead';"
	"CREATE TABLE recipients ("
	"  message TEXT NOT NULL,"
	"  number INTEGER NOT NULL,"
	"  state TEXT NOT NULL,"
	"  reply_code INTEGER NOT NULL,"
	"  original TEXT NOT NULL,"
	"  forward_path TEXT NOT NULL,"
	"  reply TEXT,"
	"  PRIMARY KEY (message, number)"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE attachments ("
	"  message TEXT NOT NULL,"
	"  number INTEGER NOT NULL,"
	"  key TEXT NOT NULL,"
	"  file_name TEXT,"
	"  media_type TEXT,"
	"  size INTEGER NOT NULL,"
	"  sha256 TEXT NOT NULL,"
	"  expires_at_s INTEGER NOT NULL,"
	"  PRIMARY KEY (message, number)"
	") STRICT, WITHOUT ROWID;"
	"CREATE TABLE totals ("
	"  state TEXT PRIMARY KEY NOT NULL,"
	"  messages INTEGER NOT NULL"
	") STRICT, WITHOUT ROWID;"
	"INSERT INTO totals VALUES ('received', 0), ('deferred', 0), ('relaying', 0),"
	"  ('uncertain', 0), ('held', 0), ('sent', 0), ('bounced', 0), ('dead', 0);",
	"ALTER TABLE messages ADD COLUMN smtputf8 INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE messages ADD COLUMN may_bounce INTEGER NOT NULL DEFAULT 0;"
	"ALTER TABLE messages ADD COLUMN ret TEXT;"
	"ALTER TABLE messages ADD COLUMN envid TEXT;"
	"ALTER TABLE recipients ADD COLUMN notify TEXT;"
	"ALTER TABLE recipients ADD COLUMN orcpt TEXT;",
	"ALTER TABLE attachments ADD COLUMN revoked_at_s INTEGER NOT NULL DEFAULT 0;",
	"ALTER TABLE messages ADD COLUMN hold TEXT;"
	"ALTER TABLE messages ADD COLUMN priority INTEGER NOT NULL DEFAULT 1;"
	"ALTER TABLE messages ADD COLUMN journal TEXT;"
	"DROP INDEX unfinished_by_next_attempt;"
	"CREATE INDEX due ON messages (priority, next_attempt_ms)"
	"  WHERE finished_ms = 0;"
	"CREATE INDEX holds ON messages (hold) WHERE hold IS NOT NULL;"
	"CREATE INDEX purgeable_dead ON messages (finished_ms) WHERE state = 'dead';"
	"INSERT INTO totals VALUES ('rewriting', 0), ('uploading', 0);"
	"CREATE TABLE events ("
	"  message TEXT NOT NULL,"
	"  number INTEGER NOT NULL,"
	"  list TEXT NOT NULL,"
	"  PRIMARY KEY (message, number)"
	") STRICT, WITHOUT ROWID;"
	"CREATE VIEW history AS SELECT message, number + key AS number,"
	"  value ->> 'at_ms' AS at_ms, value ->> 'state' AS state,"
	"  value ->> 'recipient' AS recipient, value ->> 'reply_code' AS reply_code,"
	"  value ->> 'text' AS text, value ->> 'peer' AS peer"
	"  FROM events, json_each(events.list);"
	"CREATE TABLE notes ("
	"  name TEXT PRIMARY KEY NOT NULL,"
	"  text TEXT NOT NULL"
	") STRICT, WITHOUT ROWID;",
	/* Told until now: of SUCCESS (2) when it was sent, of a DELAY (8) after four hours. */
	"ALTER TABLE recipients ADD COLUMN told INTEGER NOT NULL DEFAULT 0;"
	"UPDATE recipients SET told = told | 2"
	"  WHERE notify IS NOT NULL AND state = 'sent';"
	"UPDATE recipients SET told = told | 8"
	"  WHERE notify IS NOT NULL AND message IN (SELECT id FROM messages"
	"    WHERE finished_ms = 0 AND attempts > 0"
	"    AND received_ms < unixepoch() * 1000 - 4 * 3600000);",
};
#define VERSION ((int)G_N_ELEMENTS(migrations))

bool store_fail(const struct store *store, enum gateway_error kind, GError **error)
{
	int code = sqlite3_extended_errcode(store->db) & 0xff;
	int number = sqlite3_system_errno(store->db);
	const char *file = sqlite3_db_filename(store->db, NULL);
	bool says_why = number != 0 && (code == SQLITE_IOERR || code == SQLITE_CANTOPEN ||
					       code == SQLITE_FULL);
	if (store->is_visitor && (code == SQLITE_CORRUPT || code == SQLITE_NOTADB))
		kind = GATEWAY_ERROR_MEND;
	else if (store->is_visitor && code == SQLITE_BUSY)
		kind = GATEWAY_ERROR_RETRY;
	bool full = code == SQLITE_FULL ||
		    (says_why && gateway_error_of_errno(number) == GATEWAY_ERROR_FULL);
	if (full && kind == GATEWAY_ERROR_RETRY)
		kind = GATEWAY_ERROR_FULL;
	g_set_error(error, GATEWAY_ERROR, (gint)kind, "%s: %s%s%s",
		file && *file ? file : "queue database", sqlite3_errmsg(store->db),
		says_why ? ": " : "", says_why ? g_strerror(number) : "");
	return false;
}

static bool pragma_number(
	struct store *store, const char *pragma, int64_t *number, GError **error)
{
	sqlite3_stmt *statement = NULL;
	bool ok = sqlite3_prepare_v2(store->db, pragma, -1, &statement, NULL) ==
			  SQLITE_OK &&
		  sqlite3_step(statement) == SQLITE_ROW;
	if (ok)
		*number = sqlite3_column_int64(statement, 0);
	else
		store_fail(store, GATEWAY_ERROR_MEND, error);
	sqlite3_finalize(statement);
	return ok;
}

static bool execute(struct store *store, const char *script, GError **error)
{
	return sqlite3_exec(store->db, script, NULL, NULL, NULL) == SQLITE_OK ||
	       store_fail(store, GATEWAY_ERROR_MEND, error);
}

/* SQLite would make it readable by all that the umask lets; its -wal
 * and -shm take its mode. */
static bool make_file(const char *path, GError **error)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat st = { 0 };
	bool ok = fd >= 0 && fstat(fd, &st) == 0;
	if (ok && !S_ISREG(st.st_mode)) {
		errno = EINVAL;
		ok = false;
	}
	if (ok && (st.st_mode & 077) != 0)
		ok = fchmod(fd, 0600) == 0;
	if (!ok)
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"%s: cannot be opened: %s", path, g_strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

/* SQLite maps an index of the log from a file that it lengthens by single
 * octets: with blocks smaller than pages and no room left, its first write
 * there would be a bus error. */
static bool check_room(const char *path, GError **error)
{
	g_autofree char *directory = g_path_get_dirname(path);
	struct statvfs volume;
	if (statvfs(directory, &volume) ||
		volume.f_bsize >= (size_t)sysconf(_SC_PAGESIZE))
		return true;
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return true; /* not every file system has such files */
	int number = posix_fallocate(fd, 0, ROOM_BYTES);
	close(fd);
	if (gateway_error_of_errno(number) != GATEWAY_ERROR_FULL)
		return true;
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_FULL,
		"%s: no room beside it for %d KiB, without which it cannot be used: %s",
		path, ROOM_BYTES / 1024, g_strerror(number));
	return false;
}

static struct store *open_database(const char *path, int flags, GError **error)
{
	struct store *store = g_new0(struct store, 1);
	if (sqlite3_open_v2(path, &store->db, flags | SQLITE_OPEN_NOMUTEX, NULL) ==
		SQLITE_OK) {
		sqlite3_extended_result_codes(store->db, 1);
		sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
		sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
		sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		return store;
	}
	store_fail(store, GATEWAY_ERROR_MEND, error);
	store_close(&store);
	return NULL;
}

/* *version is 0 for a database just made. */
static bool check_version(struct store *store, int64_t *version, GError **error)
{
	int64_t application = 0, pages = 0;
	if (!pragma_number(store, "PRAGMA application_id", &application, error) ||
		!pragma_number(store, "PRAGMA user_version", version, error) ||
		!pragma_number(store, "PRAGMA page_count", &pages, error))
		return false;
	const char *file = sqlite3_db_filename(store->db, NULL);
	if (pages > 0 && application != APPLICATION_ID) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"%s: is not a queue of this program", file);
		return false;
	}
	if (*version > VERSION) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"%s: was written by a newer version (format %d, known here up to "
			"%d)",
			file, (int)*version, VERSION);
		return false;
	}
	return true;
}

static bool migrate(struct store *store, int64_t version, GError **error)
{
	if (version == VERSION)
		return true;
	g_autofree char *head =
		g_strdup_printf("PRAGMA application_id = %d; PRAGMA user_version = %d",
			APPLICATION_ID, VERSION);
	bool ok = execute(store, "BEGIN IMMEDIATE", error);
	for (int64_t i = version; ok && i < VERSION; i++)
		ok = execute(store, migrations[i], error);
	ok = ok && execute(store, head, error) && execute(store, "COMMIT", error);
	if (!ok)
		store_rollback(store);
	return ok;
}

/* A large database is only looked at where it is used. */
static bool check_content(struct store *store, GError **error)
{
	int64_t pages = 0, page_bytes = 0;
	if (!pragma_number(store, "PRAGMA page_count", &pages, error) ||
		!pragma_number(store, "PRAGMA page_size", &page_bytes, error))
		return false;
	if (pages * page_bytes > CHECKED_BYTES)
		return true;

	sqlite3_stmt *statement = NULL;
	bool ok = sqlite3_prepare_v2(store->db, "PRAGMA quick_check(1)", -1, &statement,
			  NULL) == SQLITE_OK &&
		  sqlite3_step(statement) == SQLITE_ROW;
	if (!ok) {
		store_fail(store, GATEWAY_ERROR_MEND, error);
	} else if (g_strcmp0((const char *)sqlite3_column_text(statement, 0), "ok") !=
		   0) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"%s: is damaged: %s", sqlite3_db_filename(store->db, NULL),
			(const char *)sqlite3_column_text(statement, 0));
		ok = false;
	}
	sqlite3_finalize(statement);
	return ok && store_begin(store, error) && store_recount(store, error) &&
	       store_commit(store, error);
}

struct store *store_open_owner(const char *path, GError **error)
{
	if (!make_file(path, error) || !check_room(path, error))
		return NULL;
	struct store *store = open_database(path, SQLITE_OPEN_READWRITE, error);
	if (!store)
		return NULL;
	int64_t version = 0;
	if (!check_version(store, &version, error) ||
		!execute(store,
			"PRAGMA journal_mode = WAL;"
			"PRAGMA synchronous = FULL;"
			"PRAGMA wal_autocheckpoint = 4000;"
			"PRAGMA journal_size_limit = 67108864;"
			"PRAGMA cache_size = -4096;"
			"PRAGMA temp_store = MEMORY",
			error) ||
		!migrate(store, version, error) || !check_content(store, error))
		store_close(&store);
	return store;
}

struct store *store_open_visitor(const char *path, bool read_only, GError **error)
{
	struct store *store = open_database(
		path, read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE, error);
	if (!store)
		return NULL;
	store->is_visitor = true;
	int64_t version = 0;
	bool ok = check_version(store, &version, error);
	if (ok && version != VERSION) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND, "%s: is %s", path,
			version == 0 ? "empty"
				     : "of an older version: start the gateway once, it "
				       "brings it up to date");
		ok = false;
	}
	if (!ok || !execute(store, "PRAGMA synchronous = FULL", error))
		store_close(&store);
	return store;
}

bool store_is_in_place(const struct store *store, GError **error)
{
	int moved = 0;
	if (sqlite3_file_control(store->db, NULL, SQLITE_FCNTL_HAS_MOVED, &moved) !=
			SQLITE_OK ||
		!moved)
		return true;
	g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_RETRY,
		"%s: was moved or deleted while the gateway runs",
		sqlite3_db_filename(store->db, NULL));
	return false;
}

void store_close(struct store **store)
{
	struct store *s = *store;
	*store = NULL;
	if (!s)
		return;
	for (size_t i = 0; i < STATEMENTS; i++)
		sqlite3_finalize(s->statements[i]);
	sqlite3_close(s->db);
	g_free(s);
}
