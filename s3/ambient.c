/* One table of what may be said where; a function for each way to read it. */
#include "s3/ambient.h"
#include "s3/endpoint.h"
#include "s3/error.h"
#include "s3/provider_kinds.h"
#include <string.h>

enum name { REGION, ENDPOINT, CA_FILE, DUAL_STACK, FIPS, PATH_STYLE, CHECKSUM, N_NAMES };

struct s3_ambient {
	struct {
		char *text; /* NULL: not found, or the settings have it */
		char *source;
	} values[N_NAMES];
	GPtrArray *words; /* NULL-ended */
};

/* NULL-ended, the first that is given counts. */
static const struct rule {
	const char *word; /* for people */
	const char *variables[3];
	const char *profile[3];
} rules[N_NAMES] = {
	[REGION] = { "region", { "AWS_REGION", "AWS_DEFAULT_REGION" }, { "region" } },
	[ENDPOINT] = { "endpoint", { "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL" },
		{ "services.s3.endpoint_url", "endpoint_url" } },
	[CA_FILE] = { "ca_file", { "AWS_CA_BUNDLE" }, { "ca_bundle" } },
	[DUAL_STACK] = { "dual_stack", { "AWS_USE_DUALSTACK_ENDPOINT" },
		{ "use_dualstack_endpoint" } },
	[FIPS] = { "fips", { "AWS_USE_FIPS_ENDPOINT" }, { "use_fips_endpoint" } },
	[PATH_STYLE] = { "addressing style", { NULL }, { "s3.addressing_style" } },
	[CHECKSUM] = { "checksum", { "AWS_REQUEST_CHECKSUM_CALCULATION" },
		{ "request_checksum_calculation" } },
};

/* ---- what is open ---- */

static bool given(const char *text)
{
	return text && *text;
}

static bool is_open(const struct s3_settings *s, enum name name)
{
	switch (name) {
	case REGION:
		return !given(s->region);
	case ENDPOINT:
		return !given(s->endpoint);
	case CA_FILE:
		return !given(s->ca_file);
	case DUAL_STACK:
		return !s->dual_stack && !s->dual_stack_given;
	case FIPS:
		return !s->fips && !s->fips_given;
	case PATH_STYLE:
		return !s->path_style && !s->path_style_given;
	case CHECKSUM:
		return s->checksum == S3_CHECKSUM_AUTO;
	case N_NAMES:
		break;
	}
	return false;
}

/* ---- finding ---- */

static bool take(
	struct s3_ambient *ambient, enum name name, const char *text, const char *source)
{
	if (!given(text))
		return false;
	ambient->values[name].text = g_strdup(text);
	ambient->values[name].source = g_strdup(source);
	return true;
}

static bool find_variable(struct s3_ambient *ambient, enum name name)
{
	for (const char *const *v = rules[name].variables; *v; v++)
		if (take(ambient, name, g_getenv(*v), *v))
			return true;
	return false;
}

static void find_in_profile(struct s3_ambient *ambient, enum name name,
	GHashTable *profile, const char *source)
{
	for (const char *const *key = rules[name].profile; *key; key++)
		if (take(ambient, name, g_hash_table_lookup(profile, *key), source))
			return;
}

static bool says_true(const char *text)
{
	return given(text) && g_ascii_strcasecmp(text, "true") == 0;
}

static bool ignores_endpoints(GHashTable *profile)
{
	const char *variable = g_getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
	return says_true(given(variable) ? variable
					 : g_hash_table_lookup(profile,
						   "ignore_configured_endpoint_urls"));
}

static void find_all(struct s3_ambient *ambient, const struct s3_settings *settings)
{
	g_autofree char *source = NULL;
	g_autoptr(GHashTable) profile = s3_provider_profile_table(settings, &source);
	for (enum name name = 0; name < N_NAMES; name++) {
		if (!is_open(settings, name) ||
			(name == ENDPOINT && ignores_endpoints(profile)))
			continue;
		if (!find_variable(ambient, name))
			find_in_profile(ambient, name, profile, source);
	}
}

/* ---- what it must look like ---- */

static bool is_word_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (g_ascii_strcasecmp(text, *words) == 0)
			return true;
	return false;
}

static bool makes_sense(enum name name, const char *text, const char **like)
{
	static const char *const switches[] = { "true", "false", NULL };
	static const char *const styles[] = { "auto", "virtual", "path", NULL };
	static const char *const checksums[] = { "when_supported", "when_required",
		NULL };
	switch (name) {
	case ENDPOINT:
		*like = "https://host[:port][/path], or http to loopback";
		return s3_endpoint_url_is_private(text);
	case DUAL_STACK:
	case FIPS:
		*like = "true or false";
		return is_word_of(text, switches);
	case PATH_STYLE:
		*like = "auto, virtual or path";
		return is_word_of(text, styles);
	case CHECKSUM:
		*like = "when_supported or when_required";
		return is_word_of(text, checksums);
	case REGION:
	case CA_FILE:
	case N_NAMES:
		break;
	}
	return true; /* the store looks at it */
}

static bool check(const struct s3_ambient *ambient, GError **error)
{
	const char *like = "";
	for (enum name name = 0; name < N_NAMES; name++) {
		const char *text = ambient->values[name].text;
		/* What has an @ may have a password before it. */
		if (text && !makes_sense(name, text, &like))
			return s3_fail(error, S3_ERROR_CONFIG,
				"s3: %s \"%.200s\", from %s, is not like %s",
				rules[name].word, strchr(text, '@') ? "...@..." : text,
				ambient->values[name].source, like);
	}
	return true;
}

static void say(struct s3_ambient *ambient)
{
	for (enum name name = 0; name < N_NAMES; name++)
		if (ambient->values[name].text)
			g_ptr_array_add(ambient->words,
				g_strdup_printf("%s %s (%s)", rules[name].word,
					ambient->values[name].text,
					ambient->values[name].source));
	g_ptr_array_add(ambient->words, NULL);
}

struct s3_ambient *s3_ambient_new(const struct s3_settings *settings, GError **error)
{
	struct s3_ambient *ambient = g_new0(struct s3_ambient, 1);
	ambient->words = g_ptr_array_new_with_free_func(g_free);
	if (!settings->directory)
		find_all(ambient, settings);
	say(ambient);
	if (!check(ambient, error))
		s3_ambient_free(&ambient);
	return ambient;
}

void s3_ambient_free(struct s3_ambient **ambient)
{
	struct s3_ambient *gone = g_steal_pointer(ambient);
	if (!gone)
		return;
	for (enum name name = 0; name < N_NAMES; name++) {
		g_free(gone->values[name].text);
		g_free(gone->values[name].source);
	}
	g_ptr_array_unref(gone->words);
	g_free(gone);
}

const char *const *s3_ambient_words(const struct s3_ambient *ambient)
{
	return (const char *const *)ambient->words->pdata;
}

/* ---- applying ---- */

static void apply_checksum(const char *text, struct s3_settings *settings)
{
	if (given(text) && g_ascii_strcasecmp(text, "when_supported") == 0)
		settings->checksum = S3_CHECKSUM_SHA256;
	else if (given(text))
		settings->checksum_only_required = true;
}

void s3_ambient_apply(const struct s3_ambient *ambient, struct s3_settings *settings)
{
	if (ambient->values[REGION].text)
		settings->region = ambient->values[REGION].text;
	if (ambient->values[ENDPOINT].text)
		settings->endpoint = ambient->values[ENDPOINT].text;
	if (ambient->values[CA_FILE].text)
		settings->ca_file = ambient->values[CA_FILE].text;
	settings->dual_stack |= says_true(ambient->values[DUAL_STACK].text);
	settings->fips |= says_true(ambient->values[FIPS].text);
	const char *style = ambient->values[PATH_STYLE].text;
	settings->path_style |= style && g_ascii_strcasecmp(style, "path") == 0;
	apply_checksum(ambient->values[CHECKSUM].text, settings);
}
