/* The settings of the links to what is stored. */
#include "conf/schema_tables.h"

static const struct conf_field cloudfront_fields[] = {
	{ "url", CONF_KIND_TEXT, .example = "https://d111111abcdef8.cloudfront.net",
		TO(s3.links.cloudfront_url),
		.help = "What links begin with. Its cache behaviour must pass "
			"response-content-disposition and response-content-type on." },
	{ "key_pair_id", CONF_KIND_WORD, .example = "K2JCJMDEHXQW5F",
		TO(s3.links.cloudfront_key_pair_id),
		.help = "The public key's ID in a trusted key group." },
	{ "private_key_file", CONF_KIND_PATH, .example = "/etc/stowage/cloudfront.pem",
		TO(s3.links.cloudfront_private_key_file),
		.help = "PEM file of the key: RSA with 2048 bits, or ECDSA on P-256." },
};
static const struct conf_section cloudfront_section = SECTION(cloudfront_fields);

static const struct conf_field links_fields[] = {
	{ "expiry", CONF_KIND_SECONDS, "7d", .min = 60, .max = 3650 * DAY,
		TO(link_expiry_s),
		.help = "How long links work. S3 allows 7 days and ends them with the "
			"credentials that signed them, CloudFront allows any time; the "
			"mail says the true end." },
	{ "access_key_id", CONF_KIND_TEXT, .example = "AKIAI44QH8DHBEXAMPLE",
		TO(s3.links.access_key_id), .unset = "the credentials of s3",
		.help = "Credentials of their own for links: they need s3:GetObject "
			"alone, and those of s3 then s3:PutObject alone." },
	{ "access_key_id_file", CONF_KIND_PATH,
		.example = "/etc/stowage/links-access-key-id",
		TO(s3.links.access_key_id_file), .help = "The same, in a file." },
	{ "secret_access_key", CONF_KIND_SECRET,
		.example = "je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
		TO(s3.links.secret_access_key), .help = "Better in a file of its own:" },
	{ "secret_access_key_file", CONF_KIND_PATH,
		.example = "/etc/stowage/links-secret-access-key",
		TO(s3.links.secret_access_key_file), .help = "The same, in a file." },
	{ "session_token", CONF_KIND_SECRET, .example = "AQoEXAMPLEH4aoAH0gNCAPy",
		TO(s3.links.session_token), .help = "Belongs to temporary credentials." },
	{ "session_token_file", CONF_KIND_PATH,
		.example = "/etc/stowage/links-session-token",
		TO(s3.links.session_token_file), .help = "The same, in a file." },
	{ "credentials_file", CONF_KIND_PATH, .example = "/etc/stowage/links-credentials",
		TO(s3.links.credentials_file),
		.unset = "as for s3, once there is a profile",
		.help = "A shared credentials file in AWS's format." },
	{ "profile", CONF_KIND_TEXT, .example = "links", TO(s3.links.profile),
		.unset = "default, once there is a credentials_file",
		.help = "The profile in that file." },
	{ "base_url", CONF_KIND_TEXT, .example = "https://files.example.com",
		TO(s3.links.base_url), .unset = "the bucket's own",
		.help = "What links begin with, where the bucket has another host: a "
			"CNAME, or something in front that passes path and query on. "
			"The key follows its path. Links are signed for this host." },
	{ "signed_for_endpoint", CONF_KIND_BOOL, "false",
		TO(s3.links.signed_for_endpoint),
		.help = "With a base_url: links are signed for the bucket's own host and "
			"path, with which what stands in front asks." },
	{ "cloudfront", CONF_KIND_SECTION, .section = &cloudfront_section,
		.help = "Instead of S3's own links: signed for a CloudFront "
			"distribution, with a key pair of its own." },
};
const struct conf_section conf_schema_links = SECTION(links_fields);
