/* Where attachments go, and whether its names and credentials can work. Asks no store. */
#include "conf/check.h"
#include "conf/files.h"
#include "conf/text.h"
#include "s3/ambient.h"
#include "s3/endpoint.h"
#include "s3/request.h"
#include "s3/sts.h"
#include <arpa/inet.h>
#include <string.h>

/* s3 here and below: what the settings and what surrounds them say. */
static void check_bucket_name(
	const struct conf_check *check, const struct s3_settings *s3)
{
	if (conf_check_any_bad(check, "s3.bucket", "s3.endpoint", "s3.path_style", NULL))
		return;
	size_t length = strlen(s3->bucket);
	bool sound = length >= 3 && length <= 63 && strstr(s3->bucket, "..") == NULL &&
		     g_ascii_isalnum(s3->bucket[0]) &&
		     g_ascii_isalnum(s3->bucket[length - 1]);
	for (const char *c = s3->bucket; *c != '\0' && sound; c++) {
		/* Other stores are less strict than Amazon. */
		bool only_others = g_ascii_isupper(*c) || *c == '_';
		sound = g_ascii_islower(*c) || g_ascii_isdigit(*c) || *c == '-' ||
			*c == '.' || (only_others && s3->endpoint != NULL);
	}
	struct in_addr address;
	if (!sound || inet_pton(AF_INET, s3->bucket, &address) == 1)
		conf_source_problem(check->source, "s3.bucket",
			"\"%.80s\" is no bucket name: it must be 3 to 63 lower-case "
			"letters, digits, hyphens and dots, with a letter or digit at "
			"both ends",
			s3->bucket);
	else if (strchr(s3->bucket, '.') != NULL && s3->endpoint == NULL &&
		 !s3->path_style)
		conf_source_problem(check->source, "s3.path_style",
			"must be true for a bucket with dots in its name: Amazon's "
			"certificate does not cover %s.s3.REGION.amazonaws.com",
			s3->bucket);
}

/* The store's own words, which say what they are about. */
static const char *without_prefix(const char *text)
{
	return g_str_has_prefix(text, "s3: ") ? text + strlen("s3: ") : text;
}

static bool is_region_of_amazon(const char *region)
{
	size_t length = strlen(region);
	size_t hyphens = 0;
	for (const char *c = region; *c != '\0'; c++)
		hyphens += *c == '-';
	return hyphens >= 2 && g_ascii_isdigit(region[length - 1]) &&
	       region[strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

static void check_fips(const struct conf_check *check, const struct s3_settings *s3)
{
	g_autoptr(GError) error = NULL;
	g_autofree char *url =
		s3_endpoint_amazon(s3->region, s3->dual_stack, true, &error);
	if (url == NULL)
		conf_source_problem(
			check->source, "s3.fips", "%s", without_prefix(error->message));
}

static void check_region(const struct conf_check *check, const struct s3_settings *s3)
{
	if (conf_check_any_bad(check, "s3.region", "s3.endpoint", NULL) ||
		s3->endpoint != NULL)
		return;
	if (s3->region == NULL)
		conf_source_problem(check->source, "s3.region",
			"is missing: give the bucket's region, such as eu-west-1, or an "
			"endpoint; AWS_REGION and the profile name none here");
	else if (!is_region_of_amazon(s3->region))
		conf_source_problem(check->source, "s3.region",
			"\"%s\" is no region of Amazon: write one such as eu-west-1",
			s3->region);
	else if (s3->fips)
		check_fips(check, s3);
}

static void check_unsigned(const struct conf_check *check, const struct s3_settings *s3)
{
	if (s3->unsigned_payload && s3->endpoint != NULL &&
		!conf_text_url_is_https(s3->endpoint))
		conf_source_problem(check->source, "s3.unsigned_payload",
			"is for https only: nothing else would protect the content");
}

/* Other stores have accounts of other forms. */
static void check_owner(const struct conf_check *check, const struct s3_settings *s3)
{
	const char *owner = s3->endpoint == NULL ? s3->bucket_owner : NULL;
	if (owner != NULL && (strlen(owner) != 12 || owner[strspn(owner, "0123456789")]))
		conf_source_problem(check->source, "s3.expected_bucket_owner",
			"\"%.80s\" is no account of Amazon: write its 12 digits", owner);
}

/* What AWS's environment variables and profile say has no line of its own. */
static void check_place(const struct conf_check *check)
{
	struct s3_settings filled = check->conf->s3;
	g_autoptr(GError) error = NULL;
	struct s3_ambient *ambient = s3_ambient_new(&filled, &error);
	if (ambient == NULL) {
		conf_source_problem(
			check->source, "s3", "%s", without_prefix(error->message));
		return;
	}
	s3_ambient_apply(ambient, &filled);
	check_bucket_name(check, &filled);
	check_region(check, &filled);
	check_unsigned(check, &filled);
	check_owner(check, &filled);
	conf_check_file(
		check, "s3.ca_file", filled.ca_file, conf_file_check_certificates);
	s3_ambient_free(&ambient);
}

static void check_prefix(const struct conf_check *check)
{
	const char *prefix = check->conf->s3.prefix;
	if (prefix == NULL || conf_check_any_bad(check, "s3.prefix", NULL))
		return;
	bool sound = strlen(prefix) <= 512;
	g_auto(GStrv) segments = g_strsplit(prefix, "/", -1);
	for (size_t i = 0; segments[i] != NULL; i++)
		if (*segments[i] == '\0' || strcmp(segments[i], ".") == 0 ||
			strcmp(segments[i], "..") == 0)
			sound = false;
	for (const char *c = prefix; *c != '\0'; c++)
		sound = sound && (g_ascii_isalnum(*c) || strchr("._/-", *c) != NULL);
	if (!sound)
		conf_source_problem(check->source, "s3.prefix",
			"\"%.80s\" is no prefix for keys: write letters, digits, dots, "
			"underscores and hyphens, with single slashes between, such as "
			"mail/in",
			prefix);
}

static void check_plain_http(
	const struct conf_check *check, const char *key, const char *url)
{
	if (url == NULL || conf_text_url_is_https(url) ||
		conf_check_any_bad(check, key, NULL))
		return;
	g_autofree char *host = conf_text_url_host(url);
	if (!conf_text_host_is_loopback(host))
		conf_source_problem(check->source, key,
			"%s is not encrypted: write https, http is for loopback only",
			url);
}

/* Of two that belong together, in whichever way they are given. */
static void check_together(const struct conf_check *check, const char *key, bool given,
	const char *other, bool other_given)
{
	const char *name = strrchr(other, '.') + 1;
	if (given && !other_given && !conf_check_any_bad(check, key, other, NULL))
		conf_source_problem(check->source, key, "needs %s (or %s_file) beside it",
			name, name);
}

static void check_credentials(const struct conf_check *check)
{
	const struct s3_settings *s3 = &check->conf->s3;
	bool id = s3->access_key_id != NULL || s3->access_key_id_file != NULL;
	bool secret = s3->secret_access_key != NULL || s3->secret_access_key_file != NULL;
	bool token = s3->session_token != NULL || s3->session_token_file != NULL;
	conf_check_secret(
		check, "s3.access_key_id", s3->access_key_id, s3->access_key_id_file);
	conf_check_secret(check, "s3.secret_access_key", s3->secret_access_key,
		s3->secret_access_key_file);
	conf_check_secret(
		check, "s3.session_token", s3->session_token, s3->session_token_file);
	check_together(check,
		s3->access_key_id != NULL ? "s3.access_key_id" : "s3.access_key_id_file",
		id, "s3.secret_access_key", secret);
	check_together(check,
		s3->secret_access_key != NULL ? "s3.secret_access_key"
					      : "s3.secret_access_key_file",
		secret, "s3.access_key_id", id);
	check_together(check,
		s3->session_token != NULL ? "s3.session_token" : "s3.session_token_file",
		token, "s3.access_key_id", id);
	if (id && (s3->profile != NULL || s3->credentials_file != NULL))
		conf_source_warning(check->source,
			s3->profile != NULL ? "s3.profile" : "s3.credentials_file",
			"has no effect beside access_key_id");
	conf_check_file(
		check, "s3.credentials_file", s3->credentials_file, conf_file_check);
}

static void check_role(const struct conf_check *check)
{
	const struct s3_settings *s3 = &check->conf->s3;
	if (conf_check_any_bad(check, "s3.role_arn", NULL))
		return;
	if (s3->role_arn != NULL && !s3_sts_is_role_arn(s3->role_arn))
		conf_source_problem(check->source, "s3.role_arn",
			"\"%.200s\" is no role: write one such as "
			"arn:aws:iam::123456789012:role/mail-uploads",
			s3->role_arn);
	if (s3->role_session_name != NULL &&
		!s3_sts_is_session_name(s3->role_session_name))
		conf_source_problem(check->source, "s3.role_session_name",
			"must be 2 to 64 letters, digits and +=,.@-_");
	if (s3->role_arn == NULL &&
		(s3->external_id != NULL || s3->role_session_name != NULL))
		conf_source_warning(check->source,
			s3->external_id != NULL ? "s3.external_id"
						: "s3.role_session_name",
			"has no effect without role_arn");
}

/* Archives give their objects back after hours only: links would not open. */
static void check_storage_class(const struct conf_check *check)
{
	static const char *const archives[] = { "GLACIER", "DEEP_ARCHIVE" };
	const char *storage_class = check->conf->s3.storage_class;
	for (size_t i = 0; storage_class != NULL && i < G_N_ELEMENTS(archives); i++)
		if (strcmp(storage_class, archives[i]) == 0)
			conf_source_problem(check->source, "s3.storage_class",
				"%s is an archive: links to what is in there do not open",
				archives[i]);
}

static void check_amazon_only(const struct conf_check *check)
{
	const struct s3_settings *s3 = &check->conf->s3;
	if (s3->endpoint == NULL || (!s3->dual_stack && !s3->fips))
		return;
	conf_source_warning(check->source, s3->fips ? "s3.fips" : "s3.dual_stack",
		"has no effect beside endpoint");
}

static void check_encryption(const struct conf_check *check)
{
	const struct s3_settings *s3 = &check->conf->s3;
	const char *key = s3->kms_key_id != NULL    ? "s3.kms_key_id"
			  : s3->kms_context != NULL ? "s3.kms_context"
						    : "s3.bucket_key";
	bool of_kms = s3->kms_key_id != NULL || s3->kms_context != NULL || s3->bucket_key;
	if (of_kms && s3->encryption != S3_ENCRYPTION_KMS &&
		!conf_check_any_bad(check, "s3.encryption", key, NULL))
		conf_source_problem(check->source, key, "needs encryption: kms");
}

static void check_lock(const struct conf_check *check)
{
	const struct s3_settings *s3 = &check->conf->s3;
	if (conf_check_any_bad(check, "s3.object_lock", "s3.object_lock_days", NULL))
		return;
	if (s3->lock != S3_LOCK_NONE && s3->lock_days == 0)
		conf_source_problem(check->source, "s3.object_lock",
			"needs object_lock_days beside it");
	else if (s3->lock == S3_LOCK_NONE && s3->lock_days != 0)
		conf_source_problem(check->source, "s3.object_lock_days",
			"needs object_lock: governance or compliance");
}

/* Of "name=value": each name once. */
static void check_names(
	const struct conf_check *check, const char *key, const char *const *pairs)
{
	for (size_t i = 0; pairs != NULL && pairs[i] != NULL; i++) {
		size_t name = strcspn(pairs[i], "=") + 1;
		bool again = false;
		for (size_t before = 0; before < i; before++)
			again = again || strncmp(pairs[before], pairs[i], name) == 0;
		g_autofree char *path = g_strdup_printf("%s[%zu]", key, i);
		if (again && !conf_check_any_bad(check, path, NULL))
			conf_source_problem(
				check->source, path, "has the name of one before it");
	}
}

static void check_tags(const struct conf_check *check)
{
	const char *const *tags = check->conf->s3.tags;
	for (size_t i = 0; tags != NULL && tags[i] != NULL; i++) {
		g_autoptr(GError) error = NULL;
		g_autofree char *path = g_strdup_printf("s3.tags[%zu]", i);
		if (!conf_check_any_bad(check, path, NULL) &&
			!s3_tag_check(tags[i], &error))
			conf_source_problem(check->source, path, "%s", error->message);
	}
	check_names(check, "s3.tags", tags);
	if (tags != NULL && g_strv_length((char **)tags) > 10)
		conf_source_problem(check->source, "s3.tags", "S3 takes 10 at most");
}

static void check_upload(const struct conf_check *check)
{
	const struct s3_settings *s3 = &check->conf->s3;
	check_storage_class(check);
	check_amazon_only(check);
	check_encryption(check);
	check_lock(check);
	check_tags(check);
	check_names(check, "s3.kms_context", s3->kms_context);
}

/* About those of the section that are given. */
static void warn_of(const struct conf_check *check, const char *const *names, size_t n,
	const char *what)
{
	for (size_t i = 0; i < n; i++) {
		g_autofree char *key = g_strconcat("s3.", names[i], NULL);
		if (conf_source_is_given(check->source, key))
			conf_source_warning(check->source, key, "%s", what);
	}
}

static void check_bucket(const struct conf_check *check)
{
	static const char *const directory_only[] = { "directory_url",
		"directory_max_size", "directory_min_free", "listen", "listen_tls",
		"listen_proxies", "listen_requests_per_minute" };
	const struct s3_settings *s3 = &check->conf->s3;
	check_place(check);
	check_plain_http(check, "s3.endpoint", s3->endpoint);
	check_credentials(check);
	check_role(check);
	check_upload(check);
	warn_of(check, directory_only, G_N_ELEMENTS(directory_only),
		"has no effect without s3.directory");
}

static void check_listen(const struct conf_check *check)
{
	static const char *const listen_only[] = { "listen_tls", "listen_proxies",
		"listen_requests_per_minute" };
	const struct conf *conf = check->conf;
	if (conf_check_any_bad(check, "s3.listen", "s3.listen_tls", "s3.directory_url",
		    "tls", "tls.certificate", "tls.key", NULL))
		return;
	if (conf->downloads.listen == NULL) {
		warn_of(check, listen_only, G_N_ELEMENTS(listen_only),
			"has no effect without s3.listen");
		return;
	}
	if (conf->downloads.tls &&
		(conf->tls_certificate == NULL || conf->tls_key == NULL))
		conf_source_problem(check->source, "s3.listen_tls",
			"needs tls.certificate and tls.key");
	if (conf->downloads.tls && conf->s3.directory_url != NULL &&
		!conf_text_url_is_https(conf->s3.directory_url))
		conf_source_problem(check->source, "s3.directory_url",
			"must begin with https where s3.listen_tls is true");
}

static void check_directory(const struct conf_check *check)
{
	static const char *const unused[] = { "region", "endpoint", "path_style",
		"ca_file", "access_key_id", "access_key_id_file", "secret_access_key",
		"secret_access_key_file", "session_token", "session_token_file",
		"credentials_file", "profile", "role_arn", "external_id",
		"role_session_name", "dual_stack", "fips", "multipart_threshold",
		"checksum", "unsigned_payload", "if_none_match", "encryption",
		"kms_key_id", "kms_context", "bucket_key", "storage_class", "tags",
		"expected_bucket_owner", "object_lock", "object_lock_days" };
	const struct s3_settings *s3 = &check->conf->s3;
	if (s3->bucket != NULL)
		conf_source_problem(check->source, "s3.directory",
			"is given beside bucket: attachments go to one of them");
	if (s3->directory_url == NULL &&
		!conf_check_any_bad(check, "s3.directory_url", NULL))
		conf_source_problem(check->source, "s3.directory_url",
			"is missing: it is what links to the directory begin with, such "
			"as https://files.example.com");
	check_plain_http(check, "s3.directory_url", s3->directory_url);
	conf_check_file(check, "s3.directory", s3->directory, conf_directory_check);
	if (s3->bucket == NULL)
		warn_of(check, unused, G_N_ELEMENTS(unused),
			"has no effect with s3.directory");
	check_listen(check);
}

void conf_check_store(const struct conf_check *check)
{
	const struct s3_settings *s3 = &check->conf->s3;
	check_prefix(check);
	if (s3->directory != NULL)
		check_directory(check);
	else if (s3->bucket != NULL)
		check_bucket(check);
	else if (!conf_check_any_bad(check, "s3", "s3.bucket", "s3.directory", NULL))
		conf_source_problem(check->source, "s3.bucket",
			"is missing: attachments go to a bucket (s3.bucket), or to a "
			"directory (s3.directory)");
}
