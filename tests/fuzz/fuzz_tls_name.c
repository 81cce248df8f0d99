/* A certificate that anybody may show: its names, as a server's and as a client's. */
#include "gateway/smtp/tls_private.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

static void check_server(const X509 *certificate)
{
	g_autoptr(GPtrArray) names = tls_names_of_server(certificate);
	for (guint i = 0; i < names->len; i++) {
		const char *name = g_ptr_array_index(names, i);
		char folded[TLS_NAME_BYTES_MAX + 1];
		g_assert_true(tls_name_fold(name, strlen(name), true, folded));
		g_assert_cmpstr(name, ==, folded);
	}
}

static void check_client(const X509 *certificate, enum conf_client_name which)
{
	g_autofree char *name = tls_name_of_client(certificate, which);
	if (!name)
		return;
	g_assert_cmpuint(strlen(name), >, 0);
	g_assert_cmpuint(strlen(name), <=, 255);
	g_assert_true(g_utf8_validate(name, -1, NULL));
	for (const char *at = name; *at; at = g_utf8_next_char(at))
		g_assert_true(g_unichar_isprint(g_utf8_get_char(at)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *at = data;
	X509 *certificate = d2i_X509(NULL, &at, (long)size);
	if (!certificate)
		return 0;
	check_server(certificate);
	check_client(certificate, CONF_CLIENT_COMMON_NAME);
	check_client(certificate, CONF_CLIENT_DNS);
	check_client(certificate, CONF_CLIENT_EMAIL);
	check_client(certificate, CONF_CLIENT_URI);
	X509_free(certificate);
	return 0;
}
