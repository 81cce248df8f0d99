/* Domains through libidn2. Whether an address is one, is the caller's matter. */
#include "gateway/idn.h"

#include <idn2.h>
#include <string.h>

char *idn_address(const char *address)
{
	const char *at = strrchr(address, '@');
	if (!at || g_str_is_ascii(at))
		return g_strdup(address);
	char *domain = NULL;
	int status =
		idn2_to_ascii_8z(at + 1, &domain, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (status != IDN2_OK)
		return NULL;
	char *ascii = g_strdup_printf("%.*s@%s", (int)(at - address), address, domain);
	idn2_free(domain);
	return ascii;
}
