/* The settings of the store: a bucket, or a directory. */
#include "conf/schema_tables.h"

static const struct conf_choice checksum_choices[] = {
	{ "auto", S3_CHECKSUM_AUTO },
	{ "sha256", S3_CHECKSUM_SHA256 },
	{ "md5", S3_CHECKSUM_MD5 },
	{ "none", S3_CHECKSUM_NONE },
	{ NULL, 0 },
};
static const struct conf_choice if_none_match_choices[] = {
	{ "auto", S3_IF_NONE_MATCH_AUTO },
	{ "off", S3_IF_NONE_MATCH_OFF },
	{ NULL, 0 },
};
static const struct conf_choice encryption_choices[] = {
	{ "none", S3_ENCRYPTION_NONE },
	{ "aes256", S3_ENCRYPTION_AES256 },
	{ "kms", S3_ENCRYPTION_KMS },
	{ NULL, 0 },
};
static const struct conf_choice object_lock_choices[] = {
	{ "none", S3_LOCK_NONE },
	{ "governance", S3_LOCK_GOVERNANCE },
	{ "compliance", S3_LOCK_COMPLIANCE },
	{ NULL, 0 },
};

static const struct conf_field s3_fields[] = {
	{ "bucket", CONF_KIND_TEXT, .example = "acme-mail-attachments", TO(s3.bucket),
		.help = "The bucket. It stays private: links are signed." },
	{ "region", CONF_KIND_WORD, .example = "eu-west-1", TO(s3.region),
		.unset =
			"AWS_REGION, the profile's, us-east-1 where an endpoint is given",
		.help = "The bucket's region." },
	{ "endpoint", CONF_KIND_BASE_URL, .example = "https://s3.example.com",
		TO(s3.endpoint),
		.unset =
			"AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's, Amazon S3 "
			"of the region",
		.help = "Another store that speaks S3, with the path before its buckets "
			"where it has one. http only to loopback." },
	{ "prefix", CONF_KIND_TEXT, .example = "mail", TO(s3.prefix),
		.help = "What all keys begin with, without the slash behind it." },
	{ "path_style", CONF_KIND_BOOL, "false", TO(s3.path_style),
		.unset = "the profile's addressing_style, false",
		.help = "/bucket/key instead of bucket.host/key: many stores other than "
			"Amazon's need it." },
	{ "ca_file", CONF_KIND_PATH, .example = "/etc/ssl/certs/ca-certificates.crt",
		TO(s3.ca_file),
		.unset = "AWS_CA_BUNDLE, the profile's, the distribution's bundle",
		.help = "PEM file of the authorities that may vouch for the endpoint." },
	{ "access_key_id", CONF_KIND_TEXT, .example = "AKIAIOSFODNN7EXAMPLE",
		TO(s3.access_key_id),
		.unset = "the environment, AWS's files, the role of the container or of "
			 "the instance",
		.help = "Credentials. Those of an IAM user sign links that live for 7 "
			"days; temporary ones end earlier, and the links with them." },
	{ "access_key_id_file", CONF_KIND_PATH,
		.example = "/etc/stowage/s3-access-key-id", TO(s3.access_key_id_file),
		.help = "The same, in a file." },
	{ "secret_access_key", CONF_KIND_SECRET,
		.example = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		TO(s3.secret_access_key), .help = "Better in a file of its own:" },
	{ "secret_access_key_file", CONF_KIND_PATH,
		.example = "/etc/stowage/s3-secret-access-key",
		TO(s3.secret_access_key_file), .help = "The same, in a file." },
	{ "session_token", CONF_KIND_SECRET, .example = "FwoGZXIvYXdzEXAMPLE",
		TO(s3.session_token), .help = "Belongs to temporary credentials." },
	{ "session_token_file", CONF_KIND_PATH,
		.example = "/etc/stowage/s3-session-token", TO(s3.session_token_file),
		.help = "The same, in a file." },
	{ "credentials_file", CONF_KIND_PATH, .example = "/etc/stowage/aws-credentials",
		TO(s3.credentials_file),
		.unset = "AWS_SHARED_CREDENTIALS_FILE, then ~/.aws/credentials",
		.help = "A shared credentials file in AWS's format." },
	{ "profile", CONF_KIND_TEXT, .example = "mail", TO(s3.profile),
		.unset = "AWS_PROFILE, then default",
		.help = "The profile in that file." },
	{ "role_arn", CONF_KIND_TEXT,
		.example = "arn:aws:iam::123456789012:role/mail-uploads", TO(s3.role_arn),
		.unset = "none is assumed",
		.help = "A role to assume (sts:AssumeRole) with whatever credentials "
			"were found." },
	{ "external_id", CONF_KIND_TEXT, .example = "acme-7f3a", TO(s3.external_id),
		.help = "What the role's trust policy asks for, if it does." },
	{ "role_session_name", CONF_KIND_WORD, .example = "mail-in",
		TO(s3.role_session_name), .unset = "stowage",
		.help = "The session's name in CloudTrail." },
	{ "connections", CONF_KIND_NUMBER, "16", .min = 1, .max = 256, TO(s3.connections),
		.help = "Connections to the store at a time." },
	{ "connect_timeout", CONF_KIND_MILLISECONDS, "5s", .min = 100,
		.max = 300 * SECOND_MS, TO(s3.connect_timeout_ms),
		.help = "How long connecting may take." },
	{ "stall_timeout", CONF_KIND_MILLISECONDS, "30s", .min = 1 * SECOND_MS,
		.max = 3600 * SECOND_MS, TO(s3.stall_timeout_ms),
		.help = "An upload without progress for so long has failed." },
	{ "attempts", CONF_KIND_NUMBER, "3", .min = 1, .max = 10, TO(s3.attempts),
		.help = "Tries for each object before the message waits in the queue." },
	{ "dual_stack", CONF_KIND_BOOL, "false", TO(s3.dual_stack),
		.unset = "AWS_USE_DUALSTACK_ENDPOINT, the profile's, false",
		.help = "Amazon's endpoints that answer over IPv6 too." },
	{ "fips", CONF_KIND_BOOL, "false", TO(s3.fips),
		.unset = "AWS_USE_FIPS_ENDPOINT, the profile's, false",
		.help = "Amazon's endpoints with FIPS 140 cryptography." },
	{ "multipart_threshold", CONF_KIND_SIZE, "64MiB", .min = 5 * MIB, .max = 5 * GIB,
		TO(s3.multipart_threshold),
		.help = "Larger objects are sent in parts, side by side." },
	{ "checksum", CONF_KIND_CHOICE, "auto", .choices = checksum_choices,
		TO(s3.checksum),
		.help = "What an upload is compared with, beside the signed hash: sha256 "
			"and md5 are sent along, with md5 the ETag is compared too. "
			"auto: sha256 at Amazon and where a store is found to answer "
			"with it, else the ETag where it is an MD5." },
	{ "unsigned_payload", CONF_KIND_BOOL, "false", TO(s3.unsigned_payload),
		.help = "Content is not part of signatures. https only." },
	{ "if_none_match", CONF_KIND_CHOICE, "auto", .choices = if_none_match_choices,
		TO(s3.if_none_match),
		.help = "No object is overwritten (If-None-Match), unless the store does "
			"not know how: a retry finds what it stored before." },
	{ "encryption", CONF_KIND_CHOICE, .example = "kms", .unset = "none",
		.choices = encryption_choices, TO(s3.encryption),
		.help = "Server-side encryption asked for; none: as the bucket is set." },
	{ "kms_key_id", CONF_KIND_TEXT,
		.example = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd",
		TO(s3.kms_key_id), .unset = "the account's key for S3",
		.help = "The key of encryption: kms." },
	{ "kms_context", CONF_KIND_PAIRS, .example = "[ purpose=mail ]",
		TO(s3.kms_context), .help = "The encryption context, with kms." },
	{ "bucket_key", CONF_KIND_BOOL, "false", TO(s3.bucket_key),
		.help = "A bucket key, with kms: fewer requests to it." },
	{ "storage_class", CONF_KIND_WORD, .example = "STANDARD_IA", TO(s3.storage_class),
		.unset = "the store's own",
		.help = "The objects' storage class. Not one that must be restored "
			"before "
			"it can be read." },
	{ "tags", CONF_KIND_PAIRS, .example = "[ origin=mail, team=it ]", TO(s3.tags),
		.help = "Tags of the objects, 10 at most. Takes s3:PutObjectTagging." },
	{ "expected_bucket_owner", CONF_KIND_WORD, .example = "\"111122223333\"",
		TO(s3.bucket_owner),
		.help = "The account that the bucket must belong to." },
	{ "object_lock", CONF_KIND_CHOICE, .example = "governance", .unset = "none",
		.choices = object_lock_choices, TO(s3.lock),
		.help = "Objects cannot be deleted for object_lock_days. Takes a bucket "
			"with object lock, and s3:PutObjectRetention." },
	{ "object_lock_days", CONF_KIND_NUMBER, .example = "30", .min = 1, .max = 36500,
		TO(s3.lock_days), .unset = "none", .help = "For how long." },
	{ "directory", CONF_KIND_PATH, .example = "/var/lib/stowage/objects",
		TO(s3.directory),
		.help = "Instead of a bucket: attachments are files here, and the "
			"gateway itself answers their links." },
	{ "directory_url", CONF_KIND_URL, .example = "https://files.example.com",
		TO(s3.directory_url),
		.help = "What links to the directory begin with. http only for "
			"loopback." },
	{ "directory_max_size", CONF_KIND_SIZE, .example = "100GiB", .max = 1024 * TIB,
		.min = MIB, .unset = "no ceiling", TO(s3.directory_max_bytes),
		.help = "What the directory's objects may have together. Mail with "
			"attachments waits while there is no room." },
	{ "directory_min_free", CONF_KIND_SIZE, "256MiB", .max = 64 * TIB,
		TO(s3.directory_min_free_bytes),
		.help = "The same while less than this is free on the directory's "
			"disk." },
	{ "listen", CONF_KIND_ADDRESS, .example = "\"127.0.0.1:8025\"",
		TO(downloads.listen), .unset = "not served here",
		.help = "Where the directory's links are answered." },
	{ "listen_tls", CONF_KIND_BOOL, "false", TO(downloads.tls),
		.help = "By HTTPS, with tls.certificate or what of tls.additional has "
			"the name asked for. Else by HTTP, for a proxy in front." },
	{ "listen_proxies", CONF_KIND_NETWORKS, .example = "[ 127.0.0.1 ]",
		.unset = "no proxies", TO(downloads.proxies),
		.count_offset = offsetof(struct conf, downloads.n_proxies),
		.help = "Proxies in front, whose X-Forwarded-For names the client. They "
			"must leave the header field Host as it was sent." },
	{ "listen_requests_per_minute", CONF_KIND_NUMBER, .max = 1000000,
		.example = "600", .unset = "600, loopback excepted",
		TO(downloads.requests_per_minute.n),
		.help = "Requests of one address (IPv6: a /64); more are told to come "
			"later (429). 0: no ceiling." },
	{ "retention", CONF_KIND_SECONDS, .example = "30d", .min = DAY, .max = 3650 * DAY,
		TO(s3_retention_s), .unset = "for ever",
		.help = "How long objects are kept. Those of a directory the gateway "
			"deletes then, unless a link to one is still good; for a bucket "
			"it is what its lifecycle rule says. No link outlives it." },
};
const struct conf_section conf_schema_s3 = SECTION(s3_fields);
