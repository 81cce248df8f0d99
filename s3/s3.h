/*
 * s3 - where attachments are stowed: an S3 bucket, or a directory served by the gateway.
 *
 * Owner:   who called s3_store_new(); the store may be used by many.
 * Threads: every call here may be made from any thread; s3_store_put() blocks its caller,
 *          all network traffic runs on the store's own loop and thread (libuv,
 *          curl_multi_socket_action).
 */
#ifndef S3_S3_H
#define S3_S3_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * S3_ERROR_RETRY: network, 5xx, SlowDown: may work by itself later. S3_ERROR_MEND: key,
 * bucket, region, clock or policy: works after a person acted; the text says which.
 * S3_ERROR_CONFIG: from s3_store_new().
 */
enum s3_error { S3_ERROR_RETRY, S3_ERROR_MEND, S3_ERROR_CONFIG };
#define S3_ERROR (s3_error_quark())
GQuark s3_error_quark(void);

/*
 * What a person has to mend, one word for all errors that end once that is done:
 * "access", "account", "bucket", "certificate", "clock", "credentials", "encryption",
 * "endpoint", "object", "quota", "region", "settings". Of an S3_ERROR_MEND, else NULL.
 * Static. Copies and g_prefix_error() keep it.
 */
const char *s3_error_subject(const GError *error);

/* Whether the store asked for less (SlowDown, 429, 503): it is there, and busy. */
bool s3_error_is_throttle(const GError *error);

/* Who signs links and for which host, where that differs from uploads. NULL: as there. */
struct s3_link_settings {
	const char *access_key_id, *access_key_id_file;
	const char *secret_access_key, *secret_access_key_file;
	const char *session_token, *session_token_file;
	const char *credentials_file, *profile;
	/* "https://host[:port][/path]": links are this, "/" and the key. */
	const char *base_url;
	/* What stands between asks the bucket's endpoint under that one's own host and
	 * path: links are signed for those instead of base_url's. */
	bool signed_for_endpoint;
	/* Instead of all that: links are signed for this CloudFront distribution, and may
	 * live for any time. */
	const char *cloudfront_url; /* as base_url */
	const char *cloudfront_key_pair_id, *cloudfront_private_key_file;
};

/* What the store is told to compare uploads with, beside the hash that is signed.
 * AUTO: at Amazon's its SHA-256; elsewhere nothing, but an ETag that comes back is
 * compared with the content's MD5 (of parts: until the store was seen to refuse what
 * is not as signed). */
enum s3_checksum {
	S3_CHECKSUM_AUTO,
	S3_CHECKSUM_SHA256, /* x-amz-checksum-sha256 */
	S3_CHECKSUM_MD5,    /* Content-MD5, and the ETag compared */
	S3_CHECKSUM_NONE,
};
enum s3_if_none_match { S3_IF_NONE_MATCH_AUTO, S3_IF_NONE_MATCH_OFF };
enum s3_encryption { S3_ENCRYPTION_NONE, S3_ENCRYPTION_AES256, S3_ENCRYPTION_KMS };
enum s3_lock { S3_LOCK_NONE, S3_LOCK_GOVERNANCE, S3_LOCK_COMPLIANCE };

/* Filled by conf/; strings belong to the settings' owner and must outlive the store. NULL
 * or 0 where not given: numbers then have the defaults said. */
struct s3_settings {
	const char *bucket;
	/* What is NULL or false of region, endpoint, ca_file, path_style, dual_stack and
	 * fips is looked for in the environment and the profile (ambient.h). */
	const char *region;   /* "eu-west-1" */
	const char *endpoint; /* "https://host[:port][/path]"; NULL: Amazon's */
	const char *prefix;   /* of keys, without slashes at the ends; may be NULL */
	bool path_style;      /* /bucket/key instead of bucket.host/key */
	const char *ca_file;  /* PEM; NULL: the distribution's bundle */
	/* Static credentials; each *_file is read when NULL stands in the value,
	 * and again when it changes. Without them: the sources that
	 * credentials.h lists, in its order. One that is configured but unusable is an
	 * error, the next one is not asked. */
	const char *access_key_id, *access_key_id_file;
	const char *secret_access_key, *secret_access_key_file;
	const char *session_token, *session_token_file;
	/* NULL: AWS_SHARED_CREDENTIALS_FILE, ~/.aws/credentials */
	const char *credentials_file;
	const char *profile; /* NULL: AWS_PROFILE, "default" */
	/* A role to assume with what was found; NULL: none. The others may be NULL. */
	const char *role_arn, *external_id, *role_session_name;
	unsigned connections;        /* at most, 1..256; 8 */
	unsigned connect_timeout_ms; /* 10 s */
	/* an upload without progress for so long (in whole seconds, and up to 5 s
	 * more) has failed; 30 s */
	unsigned stall_timeout_ms;
	unsigned attempts;     /* per object within one s3_store_put(), 1..10; 3 */
	bool dual_stack, fips; /* which of Amazon's endpoints: not with endpoint */
	/* Whether these three are the settings' own word even where they are false: what
	 * is not may come from the environment or the profile (ambient.h). */
	bool path_style_given, dual_stack_given, fips_given;
	/* With checksum AUTO: none is sent unless the request cannot do without. */
	bool checksum_only_required;
	/* Larger objects go in parts, 5 MiB to 5 GiB; 64 MiB. */
	uint64_t multipart_threshold;
	enum s3_checksum checksum;
	bool unsigned_payload; /* content is not part of signatures; TLS only */
	/* AUTO: an object is not overwritten ("If-None-Match: *", where the store has
	 * it), and one with the same content counts as stored. */
	enum s3_if_none_match if_none_match;
	enum s3_encryption encryption;  /* NONE: the bucket's own */
	const char *kms_key_id;         /* NULL: the account's key for S3 */
	const char *const *kms_context; /* NULL-ended "name=value"; NULL: none */
	bool bucket_key;
	const char *storage_class; /* NULL: the store's own */
	const char *const *tags;   /* NULL-ended "name=value"; NULL: none */
	const char *bucket_owner;  /* account that the bucket must belong to */
	enum s3_lock lock;         /* the bucket must have object lock */
	unsigned lock_days;
	/* The store without S3: objects are files under directory, their links
	 * point to directory_url (where the gateway's object listener answers).
	 * Bucket, region and credentials are then local: the key pair is made once
	 * and kept in the directory. */
	const char *directory;
	const char *directory_url;         /* "http://127.0.0.1:8025" */
	uint64_t directory_max_bytes;      /* of all objects; 0: no ceiling */
	uint64_t directory_min_free_bytes; /* of its disk; nothing is stored below */
	struct s3_link_settings links;
};

/* Of a directory store, where the settings name none: needed to check its links. */
#define S3_DIRECTORY_BUCKET "stowage"
#define S3_DIRECTORY_REGION "local"

struct s3_object {
	const char *key;    /* characters [A-Za-z0-9._/-] only, with the prefix */
	const char *octets; /* the content, borrowed; NULL: it is at fd */
	int fd;             /* borrowed; read with pread from 0 */
	uint64_t size;
	uint8_t sha256[32]; /* of the content: the payload hash that is signed */
	const char *media_type;
	const char *file_name;  /* UTF-8, cleaned */
	const char *message_id; /* the gateway's own ID, for x-amz-meta-message-id */
};

struct s3_store;

/* Copies nothing from settings but checks them, credentials included. NULL with
 * S3_ERROR_CONFIG; S3_ERROR_RETRY when no thread can be started. */
struct s3_store *s3_store_new(const struct s3_settings *settings, GError **error);
/* When no call is under way; clears *store. NULL in it is taken. */
void s3_store_free(struct s3_store **store);

/*
 * Stores all objects, several at a time; true when each is stored whole. Putting the same
 * key with the same content again is no error; with other content it is, as far as the
 * store can tell (see if_none_match). On false some may be stored.
 */
bool s3_store_put(struct s3_store *store, const struct s3_object *objects,
	size_t n_objects, GError **error);

/*
 * A link to key, valid from now_s (Unix time) for expiry_s seconds or less:
 * *expires_at_s gets the true end = min(asked, 7 days, life of the credentials that
 * sign; 36 hours, STS's longest, for a session token whose end is not known); with
 * CloudFront what was asked. The download is named file_name (always an attachment;
 * ASCII filename and UTF-8 filename*), its type is media_type unless that is active
 * content (HTML, SVG, XML, scripts), then application/octet-stream. g_free() the result.
 * NULL with error: no usable credentials.
 */
char *s3_store_presign(struct s3_store *store, const char *key, const char *file_name,
	const char *media_type, int64_t now_s, unsigned expiry_s, int64_t *expires_at_s,
	GError **error);

/* Why links signed at now_s cannot live for expiry_s, for people; g_free(). NULL: they
 * can, or nothing is known. */
char *s3_store_link_warning(struct s3_store *store, int64_t now_s, unsigned expiry_s);

/*
 * How long objects are kept, where the bucket's lifecycle rules may be asked for
 * (s3:GetLifecycleConfiguration for links or uploads): watch asks in the background, now
 * and every few hours, and warns in the log where links that live for expiry_s would
 * outlive their objects; ask does it once and blocks, some seconds at most.
 */
void s3_store_watch_lifecycle(struct s3_store *store, unsigned expiry_s);
void s3_store_ask_lifecycle(struct s3_store *store);
/* For how long at least the object of key is kept after it was stored at stored_s (Unix
 * time), in seconds; 0: not known to end. Waits for what watch is told first, ten seconds
 * from its start at most. */
int64_t s3_store_kept_s(struct s3_store *store, const char *key, int64_t stored_s);

/*
 * Deletes the object of key, with the credentials of uploads; one that is not there
 * is no error. Blocks. S3_ERROR_MEND where it is denied: it takes s3:DeleteObject,
 * which uploads do not need.
 */
bool s3_store_delete(struct s3_store *store, const char *key, GError **error);

/* What settings leave open and AWS's environment variables or profile say, for
 * people: "region eu-west-1 (AWS_REGION)". g_strfreev(). NULL with
 * S3_ERROR_CONFIG. Asks nobody. */
char **s3_settings_ambient(const struct s3_settings *settings, GError **error);
/* The same, as the store has taken it; borrowed. */
const char *const *s3_store_ambient(const struct s3_store *store);

/*
 * Whether the object of key is there, asked with the credentials of links, or, where
 * those are CloudFront's, of uploads. Blocks. UNKNOWN with error: it could not be asked,
 * or may not be (s3:GetObject, s3:ListBucket).
 */
enum s3_presence { S3_PRESENT, S3_ABSENT, S3_UNKNOWN };
enum s3_presence s3_store_find(struct s3_store *store, const char *key, GError **error);

/* What the store works with, defaults included; valid as long as the store. The region is
 * the one it was found in, once that is known. */
const char *s3_store_bucket(const struct s3_store *store);
const char *s3_store_region(const struct s3_store *store);

/*
 * The key pair of a directory store, made at its first use and kept in DIR/credentials
 * (mode 0600, AWS's shared credentials format): what signs its links is what checks them.
 * g_free() both, the secret wiped. S3_ERROR_CONFIG.
 */
bool s3_directory_credentials(const char *directory, char **access_key_id,
	char **secret_access_key, GError **error);

/* Deletes an object of a directory store, what stands beside it, and directories that are
 * empty then. One that is not there is no error. */
bool s3_directory_delete(const char *directory, const char *key, GError **error);

/* For a message's n-th attachment:
 * PREFIX/YYYY/MM/DD/MESSAGE_ID/N-RANDOM[.ext], the random part derived from
 * seed, so that a retry names it alike and nobody can guess it. g_free(). */
char *s3_object_key(const char *prefix, const char *message_id, const uint8_t seed[16],
	int64_t received_s, size_t number, const char *file_name);

#endif
