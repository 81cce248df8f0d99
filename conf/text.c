/* Soundness of single texts: names, paths, hosts, addresses, URLs. Looks nothing up. */
#include "conf/text.h"

#include "conf/error.h"
#include "conf/mailbox.h"
#include "conf/network.h"
#include "conf/value.h"
#include <netinet/in.h>
#include <string.h>

enum { WORD_MAX = 64, USER_MAX = 255, TEXT_MAX = 4096 };

/* What holds for every text, and may be said of a secret. */
static bool check_any(const char *text, GError **error)
{
	const char *what = NULL;
	size_t length = strlen(text);
	if (length == 0)
		what = "is empty: give it a value, or take the line out";
	else if (length > TEXT_MAX)
		what = "is longer than 4096 octets";
	else if (text[0] == ' ' || text[length - 1] == ' ')
		what = "begins or ends with a blank: take it out";
	for (size_t i = 0; i < length && what == NULL; i++)
		if (g_ascii_iscntrl(text[i]))
			what = "holds a control character (line end, tab or the like): "
			       "take it out";
	if (what != NULL)
		g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE, "%s", what);
	return what == NULL;
}

static bool check_ascii(const char *text, GError **error)
{
	return g_str_is_ascii(text) ||
	       conf_value_refuse(text, error, "is not 7-bit ASCII");
}

static bool check_word(const char *text, GError **error)
{
	size_t length = 0;
	while (g_ascii_isalnum(text[length]) || text[length] == '-' ||
		text[length] == '_')
		length++;
	return (text[length] == '\0' && length <= WORD_MAX) ||
	       conf_value_refuse(text, error,
		       "must be at most 64 letters, digits, hyphens and underscores");
}

static bool check_user(const char *text, GError **error)
{
	return strlen(text) <= USER_MAX ||
	       conf_value_refuse(text, error, "is longer than 255 octets");
}

static bool check_path(const char *text, GError **error)
{
	if (text[0] == '/')
		return true;
	/* Not shown: a secret may stand where the name of its file belongs. */
	g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE,
		"is not an absolute path: it must begin with /");
	return false;
}

static bool check_address(const char *text, GError **error)
{
	struct sockaddr_storage address;
	if (!conf_address_parse(text, &address, error))
		return false;
	in_port_t port = address.ss_family == AF_INET
				 ? ((struct sockaddr_in *)&address)->sin_port
				 : ((struct sockaddr_in6 *)&address)->sin6_port;
	return port != 0 ||
	       conf_value_refuse(text, error,
		       "has a wrong port: it must be a number from 1 to 65535");
}

static bool is_numeric_host(const char *text)
{
	struct conf_network network;
	return strchr(text, '/') == NULL && conf_network_parse(text, &network, NULL);
}

static bool check_host(const char *text, GError **error)
{
	return is_numeric_host(text) || conf_domain_check(text, NULL) ||
	       conf_value_refuse(text, error,
		       "is not a host: write a name such as "
		       "email-smtp.eu-west-1.amazonaws.com or a numeric address, without "
		       "port");
}

static bool check_server(const char *text, GError **error)
{
	return is_numeric_host(text) || check_address(text, NULL) ||
	       conf_value_refuse(text, error,
		       "is not a numeric address, with or without port: write one such "
		       "as 192.0.2.53, \"192.0.2.53:53\" or \"[2001:db8::53]:53\"");
}

static bool check_pair(const char *text, GError **error)
{
	const char *equals = strchr(text, '=');
	return (equals != NULL && equals != text) ||
	       conf_value_refuse(text, error, "is not like name=value");
}

static bool check_identity(const char *text, GError **error)
{
	if (text[0] == '@')
		return conf_value_refuse(text, error,
			"is not an identity: write %s for the whole domain", text + 1);
	return strchr(text, '@') != NULL ? conf_mailbox_check(text, error)
					 : conf_domain_check(text, error);
}

/* The same however it is encoded and normalised. */
static bool is_plain_path(const char *path)
{
	static const char plain[] = "/" G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "-._~";
	return path[strspn(path, plain)] == '\0' && strstr(path, "//") == NULL;
}

static bool check_any_url(const char *text, bool may_have_path, GError **error)
{
	g_autoptr(GUri) uri = g_uri_parse(text, G_URI_FLAGS_ENCODED_PATH, NULL);
	if (strchr(text, '@') != NULL) { /* not shown: a password may stand before it */
		g_set_error(error, CONF_ERROR, CONF_ERROR_VALUE,
			"holds an @: write https://HOST or https://HOST:PORT, "
			"credentials have settings of their own");
		return false;
	}
	bool sound = uri != NULL && g_uri_get_host(uri) != NULL && g_str_is_ascii(text) &&
		     check_host(g_uri_get_host(uri), NULL) &&
		     g_uri_get_query(uri) == NULL && g_uri_get_fragment(uri) == NULL &&
		     (may_have_path ? is_plain_path(g_uri_get_path(uri))
				    : *g_uri_get_path(uri) == '\0') &&
		     g_uri_get_port(uri) != 0 &&
		     (strcmp(g_uri_get_scheme(uri), "https") == 0 ||
			     strcmp(g_uri_get_scheme(uri), "http") == 0);
	return sound || conf_value_refuse(text, error,
				"is not such a URL: write https://HOST or "
				"https://HOST:PORT, with %s",
				may_have_path ? "or without a path of letters, digits "
						"and -._~"
					      : "nothing behind it");
}

static bool check_url(const char *text, GError **error)
{
	return check_any_url(text, false, error);
}

static bool check_base_url(const char *text, GError **error)
{
	return check_any_url(text, true, error);
}

bool conf_text_check(enum conf_kind kind, const char *text, GError **error)
{
	static bool (*const checks[])(const char *, GError **) = {
		[CONF_KIND_TEXT] = check_ascii,
		[CONF_KIND_USER] = check_user,
		[CONF_KIND_SECRET] = NULL, /* printable: check_any() */
		[CONF_KIND_WORD] = check_word,
		[CONF_KIND_PATH] = check_path,
		[CONF_KIND_ADDRESS] = check_address,
		[CONF_KIND_ADDRESS_OFF] = check_address,
		[CONF_KIND_MAILBOX] = conf_mailbox_check,
		[CONF_KIND_HOST] = check_host,
		[CONF_KIND_DOMAIN] = conf_domain_check,
		[CONF_KIND_URL] = check_url,
		[CONF_KIND_BASE_URL] = check_base_url,
		[CONF_KIND_IDENTITIES] = check_identity,
		[CONF_KIND_SERVERS] = check_server,
		[CONF_KIND_PAIRS] = check_pair,
		[CONF_KIND_WORD_LIST] = check_word,
	};
	if (!check_any(text, error))
		return false;
	return checks[kind] == NULL || checks[kind](text, error);
}

char *conf_text_url_host(const char *url)
{
	g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
	return uri != NULL ? g_strdup(g_uri_get_host(uri)) : NULL;
}

bool conf_text_url_is_https(const char *url)
{
	return g_ascii_strncasecmp(url, "https://", strlen("https://")) == 0;
}

bool conf_text_host_is_loopback(const char *host)
{
	struct conf_network network;
	if (g_ascii_strcasecmp(host, "localhost") == 0)
		return true;
	return is_numeric_host(host) && conf_network_parse(host, &network, NULL) &&
	       conf_network_is_loopback(&network);
}
