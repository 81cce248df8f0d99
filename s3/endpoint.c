/* Hosts and styles of addressing. Regions are not listed: new ones come every year, so
 * only the partitions' domains are known here. */
#include "s3/endpoint.h"
#include "s3/error.h"
#include "s3/sigv4.h"
#include <string.h>

/* First match by the region's prefix. */
static const struct partition {
	const char *prefix, *domain;
} partitions[] = {
	{ "cn-", "amazonaws.com.cn" }, { "us-iso-", "c2s.ic.gov" },
	{ "us-isob-", "sc2s.sgov.gov" }, { "us-isof-", "csp.hci.ic.gov" },
	{ "eu-isoe-", "cloud.adc-e.uk" }, { "eusc-", "amazonaws.eu" },
	{ "", "amazonaws.com" }, /* aws and aws-us-gov */
};

static const char *domain_of(const char *region)
{
	size_t i = 0;
	while (!g_str_has_prefix(region, partitions[i].prefix))
		i++;
	return partitions[i].domain;
}

const char *s3_endpoint_domain(const char *region)
{
	return domain_of(region);
}

bool s3_endpoint_same_partition(const char *region, const char *other)
{
	bool government = g_str_has_prefix(region, "us-gov-");
	return strcmp(domain_of(region), domain_of(other)) == 0 &&
	       government == g_str_has_prefix(other, "us-gov-");
}

static bool consists_of(const char *text, const char *more)
{
	for (const char *p = text; *p; p++)
		if (!g_ascii_isalnum(*p) && !strchr(more, *p))
			return false;
	return true;
}

static bool check_region(const char *region, GError **error)
{
	if (!region || !*region)
		return s3_fail(
			error, S3_ERROR_CONFIG, "s3: region is missing (like eu-west-1)");
	if (strlen(region) > 64 || !consists_of(region, "-_"))
		return s3_fail(error, S3_ERROR_CONFIG,
			"s3: region \"%s\" is not like eu-west-1", region);
	return true;
}

char *s3_endpoint_amazon(const char *region, bool dual_stack, bool fips, GError **error)
{
	if (!check_region(region, error))
		return NULL;
	if (fips && g_str_has_prefix(region, "cn-")) {
		s3_fail(error, S3_ERROR_CONFIG,
			"s3: there are no FIPS endpoints in region %s", region);
		return NULL;
	}
	return g_strdup_printf("https://s3%s%s.%s.%s", fips ? "-fips" : "",
		dual_stack ? ".dualstack" : "", region, domain_of(region));
}

/* A name that can be a host label: Amazon's rules for new buckets. */
static bool is_host_label(const char *bucket)
{
	size_t length = strlen(bucket);
	if (length < 3 || length > 63 || strstr(bucket, ".."))
		return false;
	if (!g_ascii_isalnum(bucket[0]) || !g_ascii_isalnum(bucket[length - 1]))
		return false;
	for (const char *p = bucket; *p; p++)
		if (g_ascii_isupper(*p) || *p == '_')
			return false;
	return true;
}

/* Other stores, and Amazon long ago, know upper case and
 * underscores: in path style only. */
static bool check_bucket(const char *bucket, bool path_style, GError **error)
{
	if (!bucket || !*bucket)
		return s3_fail(error, S3_ERROR_CONFIG, "s3: bucket is missing");
	if (strlen(bucket) > 255 || !consists_of(bucket, "-._") || bucket[0] == '.')
		return s3_fail(error, S3_ERROR_CONFIG,
			"s3: bucket \"%s\" is not a bucket's name (3 to 63 of a-z, 0-9, "
			"- and .)",
			bucket);
	if (!path_style && !is_host_label(bucket))
		return s3_fail(error, S3_ERROR_CONFIG,
			"s3: bucket \"%s\" cannot be part of a host name: set path_style",
			bucket);
	return true;
}

static bool is_local_name(const char *host)
{
	return g_hostname_is_ip_address(host) ||
	       g_ascii_strcasecmp(host, "localhost") == 0;
}

static int default_port(const char *scheme)
{
	return strcmp(scheme, "https") == 0 ? 443 : 80;
}

static bool check_url(GUri *uri, const char *url, GError **error)
{
	if (!uri || !g_uri_get_host(uri) || !*g_uri_get_host(uri) ||
		(strcmp(g_uri_get_scheme(uri), "https") != 0 &&
			strcmp(g_uri_get_scheme(uri), "http") != 0))
		return s3_fail(error, S3_ERROR_CONFIG,
			"s3: endpoint \"%s\" is not like https://host[:port][/path]",
			url);
	if (g_uri_get_userinfo(uri) || g_uri_get_query(uri) || g_uri_get_fragment(uri))
		return s3_fail(error, S3_ERROR_CONFIG,
			"s3: the endpoint must have no user, query or fragment, only "
			"https://host[:port][/path]");
	if (!g_hostname_is_ip_address(g_uri_get_host(uri)) &&
		!consists_of(g_uri_get_host(uri), "-._"))
		return s3_fail(error, S3_ERROR_CONFIG,
			"s3: endpoint \"%s\": no such host can be", url);
	return true;
}

/* "host", "[address]", either with ":port" where it is not the scheme's own */
static char *host_header(GUri *uri, const char *bucket, bool path_style)
{
	g_autofree char *lower = g_ascii_strdown(g_uri_get_host(uri), -1);
	GString *host = g_string_new(NULL);
	if (!path_style)
		g_string_append_printf(host, "%s.", bucket);
	g_string_append_printf(host, strchr(lower, ':') ? "[%s]" : "%s", lower);
	int port = g_uri_get_port(uri);
	if (port != -1 && port != default_port(g_uri_get_scheme(uri)))
		g_string_append_printf(host, ":%d", port);
	return g_string_free(host, FALSE);
}

static char *base_path(GUri *uri, const char *bucket, bool path_style)
{
	g_autofree char *path = g_strdup(g_uri_get_path(uri));
	size_t length = strlen(path);
	while (length && path[length - 1] == '/')
		path[--length] = '\0';
	return path_style ? g_strconcat(path, "/", bucket, NULL) : g_strdup(path);
}

static bool use_uri(struct s3_endpoint *endpoint, GUri *uri, const char *bucket,
	bool path_style, GError **error)
{
	if (is_local_name(g_uri_get_host(uri)))
		path_style = true;
	if (bucket && strchr(bucket, '.') && strcmp(g_uri_get_scheme(uri), "https") == 0)
		path_style = true;
	if (!check_bucket(bucket, path_style, error))
		return false;
	endpoint->host = host_header(uri, bucket, path_style);
	endpoint->origin =
		g_strconcat(g_uri_get_scheme(uri), "://", endpoint->host, NULL);
	endpoint->base = base_path(uri, bucket, path_style);
	return true;
}

bool s3_endpoint_init(struct s3_endpoint *endpoint, const char *url, const char *region,
	const char *bucket, bool path_style, GError **error)
{
	*endpoint = (struct s3_endpoint){ 0 };
	if (!check_region(region, error))
		return false;
	g_autofree char *amazon =
		g_strdup_printf("https://s3.%s.%s", region, domain_of(region));
	if (!url)
		url = amazon;
	g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
	return check_url(uri, url, error) &&
	       use_uri(endpoint, uri, bucket, path_style, error);
}

bool s3_endpoint_init_base(struct s3_endpoint *endpoint, const char *url, GError **error)
{
	*endpoint = (struct s3_endpoint){ 0 };
	g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
	if (!check_url(uri, url, error))
		return false;
	endpoint->host = host_header(uri, NULL, true);
	endpoint->origin =
		g_strconcat(g_uri_get_scheme(uri), "://", endpoint->host, NULL);
	endpoint->base = base_path(uri, NULL, false);
	return true;
}

static bool is_loopback(const char *host)
{
	return g_ascii_strcasecmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
	       (g_str_has_prefix(host, "127.") && g_hostname_is_ip_address(host));
}

bool s3_endpoint_url_is_private(const char *url)
{
	g_autoptr(GUri) uri = g_uri_parse(url, G_URI_FLAGS_NONE, NULL);
	return check_url(uri, url, NULL) &&
	       (strcmp(g_uri_get_scheme(uri), "https") == 0 ||
		       is_loopback(g_uri_get_host(uri)));
}

bool s3_endpoint_is_amazon(const struct s3_endpoint *endpoint)
{
	const char *after = strstr(endpoint->origin, "://") + 3;
	g_autofree char *host = g_strndup(after, strcspn(after, ":"));
	for (size_t i = 0; i < G_N_ELEMENTS(partitions); i++)
		if (g_str_has_suffix(host, partitions[i].domain) &&
			host[strlen(host) - strlen(partitions[i].domain) - 1] == '.')
			return true;
	return false;
}

void s3_endpoint_deinit(struct s3_endpoint *endpoint)
{
	g_free(endpoint->origin);
	g_free(endpoint->host);
	g_free(endpoint->base);
	*endpoint = (struct s3_endpoint){ 0 };
}

char *s3_endpoint_path(const struct s3_endpoint *endpoint, const char *key)
{
	return g_strconcat(endpoint->base, "/", key, NULL);
}

char *s3_endpoint_url(const struct s3_endpoint *endpoint, const char *key)
{
	g_autofree char *path = s3_endpoint_path(endpoint, key);
	GString *url = g_string_sized_new(256);
	g_string_append(url, endpoint->origin);
	sigv4_append_encoded(url, path, true);
	return g_string_free(url, FALSE);
}
