/* Syntax, quoting and comparison of mail addresses that settings name. What clients send
 * is read in gateway/smtp/. */
#include "conf/mailbox.h"

#include "conf/error.h"
#include "conf/value.h"
#include <string.h>

/* RFC 5321, section 4.5.3.1; RFC 1035, section 2.3.4. */
enum { LOCAL_PART_MAX = 64, DOMAIN_MAX = 253, LABEL_MAX = 63, ADDRESS_MAX = 254 };

/* Beyond ASCII by RFC 6531, section 3.3: only what clients send comes here with such. */
static bool is_atext(char c)
{
	return g_ascii_isalnum(c) || (unsigned char)c > 127 ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static bool is_dot_string(const char *text, size_t length)
{
	bool in_atom = false;
	for (size_t i = 0; i < length; i++) {
		if (text[i] == '.' && !in_atom)
			return false;
		if (text[i] != '.' && !is_atext(text[i]))
			return false;
		in_atom = text[i] != '.';
	}
	return in_atom;
}

static bool is_quoted_string(const char *text, size_t length)
{
	if (length < 2 || text[0] != '"' || text[length - 1] != '"')
		return false;
	for (size_t i = 1; i + 1 < length; i++) {
		bool escaped = text[i] == '\\';
		if (escaped && ++i + 1 >= length)
			return false;
		if (text[i] < ' ' || text[i] > '~' || (text[i] == '"' && !escaped))
			return false;
	}
	return true;
}

static bool is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text > 127)
			return false;
	return true;
}

static bool is_label(const char *label, size_t length)
{
	if (length == 0 || length > LABEL_MAX || label[0] == '-' ||
		label[length - 1] == '-')
		return false;
	for (size_t i = 0; i < length; i++)
		if (!g_ascii_isalnum(label[i]) && label[i] != '-')
			return false;
	return true;
}

bool conf_domain_check(const char *domain, GError **error)
{
	if (!is_ascii(domain))
		return conf_value_refuse(domain, error,
			"is not 7-bit ASCII: write the domain's xn--... form");
	bool sound = strlen(domain) <= DOMAIN_MAX;
	const char *label = domain;
	for (size_t length; sound; label += length + 1) {
		length = strcspn(label, ".");
		sound = is_label(label, length);
		if (label[length] == '\0')
			break;
	}
	/* A last label of digits is a mistyped IPv4 address (RFC 1123, section 2.1). */
	sound = sound && label[strspn(label, "0123456789")] != '\0';
	return sound || conf_value_refuse(domain, error,
				"is not a domain name: write one such as example.com");
}

const char *conf_mailbox_at(const char *address)
{
	/* A domain holds no @, so that the last one is it, whatever a
	 * quoted local-part holds. */
	const char *at = strrchr(address, '@');
	return at == NULL || at == address || at[1] == '\0' ? NULL : at;
}

bool conf_mailbox_check(const char *address, GError **error)
{
	const char *at = conf_mailbox_at(address);
	if (at == NULL)
		return conf_value_refuse(address, error,
			"is not a mail address: write one such as ops@example.com");
	size_t length = (size_t)(at - address);
	if (!is_ascii(address))
		return conf_value_refuse(address, error,
			"is not 7-bit ASCII: SES takes ASCII addresses only (a domain in "
			"its xn--... form)");
	if (length > LOCAL_PART_MAX || strlen(address) > ADDRESS_MAX ||
		(!is_dot_string(address, length) && !is_quoted_string(address, length)))
		return conf_value_refuse(address, error,
			"is not a mail address: write local-part@domain, such as "
			"ops@example.com, without name, angle brackets or blanks");
	return conf_domain_check(at + 1, error);
}

char *conf_local_part_unquote(const char *local_part, size_t length)
{
	if (!is_quoted_string(local_part, length))
		return g_strndup(local_part, length);
	GString *meaning = g_string_sized_new(length);
	for (size_t i = 1; i + 1 < length; i++) {
		if (local_part[i] == '\\')
			i++;
		g_string_append_c(meaning, local_part[i]);
	}
	return g_string_free(meaning, FALSE);
}

char *conf_local_part_quote(const char *meaning)
{
	if (is_dot_string(meaning, strlen(meaning)))
		return g_strdup(meaning);
	GString *quoted = g_string_new("\"");
	for (; *meaning != '\0'; meaning++) {
		if (*meaning == '"' || *meaning == '\\')
			g_string_append_c(quoted, '\\');
		g_string_append_c(quoted, *meaning);
	}
	g_string_append_c(quoted, '"');
	return g_string_free(quoted, FALSE);
}

char *conf_mailbox_canonical(const char *address)
{
	const char *at = conf_mailbox_at(address);
	if (at == NULL)
		return NULL;
	g_autofree char *meaning =
		conf_local_part_unquote(address, (size_t)(at - address));
	g_autofree char *local_part = conf_local_part_quote(meaning);
	g_autofree char *whole = g_strconcat(local_part, at, NULL);
	return g_ascii_strdown(whole, -1);
}
