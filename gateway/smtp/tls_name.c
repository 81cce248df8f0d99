/* Names in certificates, of servers and of clients: what in them may be believed to be
 * one. Pure. */
#include "gateway/smtp/tls_private.h"

#include <openssl/x509v3.h>
#include <string.h>

#define CLIENT_NAME_BYTES_MAX 255

static void free_names(GENERAL_NAMES *names)
{
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(GENERAL_NAMES, free_names)

/* ---- of servers ---- */

/* The underscore is no host's, but certificates and devices have it. */
static bool is_host_byte(char c)
{
	return g_ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
}

bool tls_name_fold(const char *name, size_t bytes, bool wildcard,
	char folded[TLS_NAME_BYTES_MAX + 1])
{
	if (bytes && name[bytes - 1] == '.')
		bytes--;
	if (!bytes || bytes > TLS_NAME_BYTES_MAX)
		return false;
	bool is_wildcard = wildcard && bytes > 2 && !memcmp(name, "*.", 2);
	for (size_t i = 0; i < bytes; i++) {
		if (!is_host_byte(name[i]) && !(is_wildcard && i == 0))
			return false;
		if (name[i] == '.' && (i == 0 || name[i - 1] == '.'))
			return false;
		folded[i] = g_ascii_tolower(name[i]);
	}
	folded[bytes] = '\0';
	return true;
}

static void add_name(GPtrArray *names, const ASN1_STRING *string)
{
	char folded[TLS_NAME_BYTES_MAX + 1];
	if (tls_name_fold((const char *)ASN1_STRING_get0_data(string),
		    (size_t)ASN1_STRING_length(string), true, folded))
		g_ptr_array_add(names, g_strdup(folded));
}

/* The most specific one: the last (RFC 4514, 2.1 turns the order round). NULL: none. */
static const ASN1_STRING *common_name(const X509 *certificate)
{
	const X509_NAME *subject = X509_get_subject_name(certificate);
	int last = -1;
	for (int i = -1;
		(i = X509_NAME_get_index_by_NID(subject, NID_commonName, i)) >= 0;)
		last = i;
	return last < 0 ? NULL
			: X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last));
}

GPtrArray *tls_names_of_server(const X509 *certificate)
{
	GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
	g_autoptr(GENERAL_NAMES) alternatives =
		X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	const ASN1_STRING *common = alternatives ? NULL : common_name(certificate);
	if (common)
		add_name(names, common);
	for (int i = 0; alternatives && i < sk_GENERAL_NAME_num(alternatives); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(alternatives, i);
		if (name->type == GEN_DNS)
			add_name(names, name->d.dNSName);
	}
	return names;
}

/* ---- of clients ---- */

/* Not what only looks like another name: no control or direction
 * marks, no other lines. */
static bool is_printable(const char *text)
{
	for (; *text; text = g_utf8_next_char(text)) {
		gunichar c = g_utf8_get_char(text);
		GUnicodeType type = g_unichar_type(c);
		if (!g_unichar_isprint(c) || type == G_UNICODE_LINE_SEPARATOR ||
			type == G_UNICODE_PARAGRAPH_SEPARATOR)
			return false;
	}
	return true;
}

static bool is_ascii(const ASN1_STRING *string)
{
	const unsigned char *bytes = ASN1_STRING_get0_data(string);
	for (int i = 0; i < ASN1_STRING_length(string); i++) {
		if (bytes[i] >= 0x80)
			return false;
	}
	return true;
}

/* NULL: none that may be a user. */
static char *text_of(const ASN1_STRING *string)
{
	unsigned char *utf8 = NULL;
	char *text = NULL;
	int bytes = ASN1_STRING_to_UTF8(&utf8, string);
	if (bytes > 0 && bytes <= CLIENT_NAME_BYTES_MAX &&
		g_utf8_validate((char *)utf8, bytes, NULL)) /* refuses NUL, too */
		text = g_strndup((char *)utf8, (gsize)bytes);
	OPENSSL_free(utf8);
	if (text && !is_printable(text))
		g_clear_pointer(&text, g_free);
	return text;
}

/* The first, whatever it is like: one behind it is not what the authority put first. */
static char *first_alternative(const X509 *certificate, int type)
{
	g_autoptr(GENERAL_NAMES) names =
		X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type == type) /* the three types are IA5String all */
			return is_ascii(name->d.ia5) ? text_of(name->d.ia5) : NULL;
	}
	return NULL;
}

char *tls_name_of_client(const X509 *certificate, enum conf_client_name which)
{
	const ASN1_STRING *common;
	switch (which) {
	case CONF_CLIENT_COMMON_NAME:
		common = common_name(certificate);
		return common ? text_of(common) : NULL;
	case CONF_CLIENT_DNS:
		return first_alternative(certificate, GEN_DNS);
	case CONF_CLIENT_EMAIL:
		return first_alternative(certificate, GEN_EMAIL);
	case CONF_CLIENT_URI:
		return first_alternative(certificate, GEN_URI);
	}
	g_assert_not_reached();
}
