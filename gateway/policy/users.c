/* Loaded users and the check of a password. Leaves the file's form to users_file.c, its
 * changes to users_command.c. */
#include "gateway/policy/users.h"

#include "gateway/error.h"
#include "gateway/policy/users_file.h"
#include <openssl/crypto.h>
#include <string.h>

struct users {
	int references;
	GHashTable *hashes; /* name to hash */
	/* what an unknown name is checked against; NULL: nobody is known */
	const char *decoy;
};

static void wipe(void *hash)
{
	OPENSSL_cleanse(hash, strlen(hash));
	g_free(hash);
}

static struct users *users_new(void)
{
	struct users *users = g_new0(struct users, 1);
	users->references = 1;
	users->hashes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, wipe);
	return users;
}

struct users *users_ref(struct users *users)
{
	g_atomic_int_inc(&users->references);
	return users;
}

void users_unref(struct users **users)
{
	struct users *u = *users;
	*users = NULL;
	if (!u || !g_atomic_int_dec_and_test(&u->references))
		return;
	g_hash_table_unref(u->hashes);
	g_free(u);
}

static bool add_user(
	void *context, const char *line, const struct users_entry *entry, GError **error)
{
	struct users *users = context;
	(void)line;
	if (!entry->name)
		return true;
	if (g_hash_table_contains(users->hashes, entry->name)) {
		g_set_error(error, GATEWAY_ERROR, GATEWAY_ERROR_MEND,
			"the user \"%s\" is there already: remove one of the lines",
			entry->name);
		return false;
	}
	g_hash_table_insert(users->hashes, g_strdup(entry->name), g_strdup(entry->hash));
	return true;
}

/* A hash of the method that most users have: then an unknown name is checked as long as
 * most known ones, and only a site that mixes methods tells some of them apart. */
static const char *choose_decoy(GHashTable *hashes)
{
	g_autoptr(GHashTable) votes = g_hash_table_new(g_str_hash, g_str_equal);
	const char *decoy = NULL;
	guint most = 0;
	GHashTableIter iterator;
	void *hash;
	g_hash_table_iter_init(&iterator, hashes);
	while (g_hash_table_iter_next(&iterator, NULL, &hash)) {
		if (!users_hash_is_password(hash))
			continue;
		char *method =
			(char *)users_hash_method(hash); /* a key is not written to */
		guint n = GPOINTER_TO_UINT(g_hash_table_lookup(votes, method)) + 1;
		g_hash_table_insert(votes, method, GUINT_TO_POINTER(n));
		if (n > most) {
			most = n;
			decoy = hash;
		}
	}
	return decoy;
}

struct users *users_load(const char *path, GError **error)
{
	struct users *users = users_new();
	if (!path)
		return users;
	size_t bytes = 0;
	char *text = users_file_read(path, &bytes, error);
	if (!text || !users_file_parse(path, text, bytes, add_user, users, error))
		users_unref(&users);
	else
		users->decoy = choose_decoy(users->hashes);
	if (text)
		OPENSSL_cleanse(text, bytes);
	g_free(text);
	return users;
}

bool users_has(const struct users *users, const char *name)
{
	return g_hash_table_contains(users->hashes, name);
}

bool users_verify(const struct users *users, const char *name, const char *password)
{
	const char *hash = g_hash_table_lookup(users->hashes, name);
	bool has_password = hash && users_hash_is_password(hash);
	if (!users->decoy)
		return false;
	bool equal = users_hash_verify(has_password ? hash : users->decoy, password);
	return has_password && equal;
}
