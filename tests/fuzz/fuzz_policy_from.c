/* Whatever From says, only whom the account may speak for is let through. */
#include "gateway/policy/policy.h"
#include "tests/fuzz/fuzz.h"

#include <gmime/gmime.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	g_mime_init();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const own[] = { "example.com", "boss@partner.org",
		"xn--bcher-kva.example", NULL };
	static const char *const nobody[] = { NULL };
	const struct conf_account account = { .from = own }, none = { .from = nobody };
	g_autofree char *from = g_strndup((const char *)data, size);
	bool says_nobody = !from[strspn(from, " \t\r\n,")];
	CHECK(policy_from(&none, from) == says_nobody);
	if (!policy_from(&account, from) || says_nobody)
		return 0;
	CHECK(strchr(from, '@'));
	g_autofree char *behind = g_strconcat(from, ", m@evil.org", NULL);
	g_autofree char *before = g_strconcat("m@evil.org, ", from, NULL);
	CHECK(!policy_from(&account, behind));
	CHECK(!policy_from(&account, before));
	return 0;
}
