/* An identity like any other. */
#include "certificate.h"

#include "identity.h"

void certificate_make(const char *certificate, const char *key, int64_t lifetime_s)
{
	const struct identity_request request = { .common_name = "mx.example",
		.ends_s = lifetime_s };
	struct identity *identity = identity_new(&request);
	identity_write(identity, certificate, key);
	identity_free(identity);
}
