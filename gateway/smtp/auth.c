/* The mechanisms that devices speak. Every copy of a password
 * made here is wiped here. */
#include "gateway/smtp/auth.h"

#include <openssl/crypto.h>

static bool split_plain(struct smtp_auth *auth, const char *bytes, size_t n_bytes);
static bool take_login(struct smtp_auth *auth, const char *bytes, size_t n_bytes);
static bool take_external(struct smtp_auth *auth, const char *bytes, size_t n_bytes);

static const struct mechanism {
	const char *name;
	bool (*take)(struct smtp_auth *, const char *bytes, size_t n_bytes);
} mechanisms[] = {
	[AUTH_IDLE] = { "", NULL },
	[AUTH_PLAIN] = { "PLAIN", split_plain },
	[AUTH_LOGIN] = { "LOGIN", take_login },
	[AUTH_EXTERNAL] = { "EXTERNAL", take_external },
};

bool smtp_auth_begin(struct smtp_auth *auth, struct slice mechanism)
{
	smtp_auth_clear(auth);
	for (size_t i = AUTH_PLAIN; i < G_N_ELEMENTS(mechanisms); i++) {
		if (slice_is(mechanism, mechanisms[i].name))
			auth->mechanism = (enum smtp_auth_mechanism)i;
	}
	return auth->mechanism != AUTH_IDLE;
}

const char *smtp_auth_challenge(const struct smtp_auth *auth)
{
	if (auth->mechanism != AUTH_LOGIN)
		return "";
	return auth->user ? "UGFzc3dvcmQ6" /* Password: */
			  : "VXNlcm5hbWU6" /* Username: */;
}

static bool is_base64(struct slice text)
{
	if (text.bytes % 4)
		return false;
	size_t padding = 0;
	while (padding < 2 && padding < text.bytes &&
		text.start[text.bytes - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < text.bytes - padding; i++) {
		char c = text.start[i];
		if (!g_ascii_isalnum(c) && c != '+' && c != '/')
			return false;
	}
	return true;
}

/* NULL: not base64. */
static char *decode(struct slice text, size_t *n_bytes)
{
	*n_bytes = 0;
	if (!text.bytes)
		return g_strdup("");
	if (!is_base64(text))
		return NULL;
	char *bytes = g_strndup(text.start, text.bytes);
	g_base64_decode_inplace(bytes, n_bytes);
	OPENSSL_cleanse(
		bytes + *n_bytes, text.bytes - *n_bytes); /* and ends it with a NUL */
	return bytes;
}

/* [authzid] NUL authcid NUL passwd */
static bool split_plain(struct smtp_auth *auth, const char *bytes, size_t n_bytes)
{
	const char *end = bytes + n_bytes;
	const char *user = memchr(bytes, '\0', n_bytes);
	if (!user++)
		return false;
	const char *password = memchr(user, '\0', (size_t)(end - user));
	if (!password++ || password == user + 1 ||
		memchr(password, '\0', (size_t)(end - password)))
		return false;
	auth->user = g_strdup(user);
	auth->password = g_strdup(password);
	auth->for_another = *bytes && strcmp(bytes, user) != 0;
	return true;
}

static bool take_login(struct smtp_auth *auth, const char *bytes, size_t n_bytes)
{
	if (memchr(bytes, '\0', n_bytes))
		return false;
	if (auth->user)
		auth->password = g_strdup(bytes);
	else
		auth->user = g_strdup(bytes);
	return true;
}

static bool take_external(struct smtp_auth *auth, const char *bytes, size_t n_bytes)
{
	if (memchr(bytes, '\0', n_bytes))
		return false;
	auth->user = g_strdup(bytes);
	return true;
}

enum smtp_auth_step smtp_auth_respond(struct smtp_auth *auth, struct slice base64)
{
	size_t n_bytes;
	char *bytes = decode(base64, &n_bytes);
	if (!bytes)
		return AUTH_STEP_MALFORMED;
	bool good = mechanisms[auth->mechanism].take(auth, bytes, n_bytes);
	OPENSSL_cleanse(bytes, n_bytes);
	g_free(bytes);
	if (!good)
		return AUTH_STEP_MALFORMED;
	bool is_complete = auth->password || auth->mechanism == AUTH_EXTERNAL;
	return is_complete ? AUTH_STEP_COMPLETE : AUTH_STEP_MORE;
}

void smtp_auth_clear(struct smtp_auth *auth)
{
	if (auth->password)
		OPENSSL_cleanse(auth->password, strlen(auth->password));
	g_free(auth->password);
	g_free(auth->user);
	*auth = (struct smtp_auth){ 0 };
}
