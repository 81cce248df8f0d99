/* The forms that SES prescribes. Which message is told what is the gateway's matter. */
#include "conf/ses.h"

#include "conf/conf.h"
#include "conf/error.h"
#include "conf/value.h"
#include <string.h>

#define LETTERS_AND_DIGITS                                                               \
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

#define TAG_BYTES_MAX  256
#define SET_BYTES_MAX  64
#define NAME_BYTES_MAX 320

/* Set by name, though a colon marks SES's own ones: they fill the head of Feedback-ID. */
static bool is_feedback_name(const char *tag, size_t bytes)
{
	static const char *const names[] = { "ses:feedback-id-a", "ses:feedback-id-b" };
	for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
		if (bytes == strlen(names[i]) && strncmp(tag, names[i], bytes) == 0)
			return true;
	return false;
}

bool conf_ses_tag_check(const char *tag, GError **error)
{
	size_t name = strcspn(tag, "=");
	const char *value = tag[name] == '=' ? tag + name + 1 : NULL;
	if (name == 0 || value == NULL || *value == '\0')
		return conf_value_refuse(
			tag, error, "is no tag: write it as name=value, such as team=it");
	if (strspn(tag, LETTERS_AND_DIGITS "_-") != name && !is_feedback_name(tag, name))
		return conf_value_refuse(tag, error,
			"has a name that SES does not take: letters, digits, - and _, or "
			"ses:feedback-id-a and ses:feedback-id-b");
	if (value[strspn(value, LETTERS_AND_DIGITS "_-.@")] != '\0')
		return conf_value_refuse(tag, error,
			"has a value that SES does not take: letters, digits, - _ . and "
			"@");
	if (name > TAG_BYTES_MAX || strlen(value) > TAG_BYTES_MAX)
		return conf_value_refuse(tag, error,
			"is too long: name and value have %d characters at most",
			TAG_BYTES_MAX);
	return true;
}

bool conf_ses_set_check(const char *name, GError **error)
{
	size_t bytes = strlen(name);
	if (bytes >= 1 && bytes <= SET_BYTES_MAX &&
		strspn(name, LETTERS_AND_DIGITS "_-") == bytes)
		return true;
	return conf_value_refuse(name, error,
		"is no name of a configuration set: 1 to %d letters, digits, - and _",
		SET_BYTES_MAX);
}

static bool is_run(const char *text, const char *alphabet)
{
	return *text != '\0' && text[strspn(text, alphabet)] == '\0';
}

bool conf_ses_arn_check(const char *arn, GError **error)
{
	g_auto(GStrv) parts = g_strsplit(arn, ":", 6);
	const char *name =
		g_strv_length(parts) == 6 && g_str_has_prefix(parts[5], "identity/")
			? parts[5] + strlen("identity/")
			: NULL;
	if (name != NULL && strcmp(parts[0], "arn") == 0 &&
		(strcmp(parts[1], "aws") == 0 || g_str_has_prefix(parts[1], "aws-")) &&
		is_run(parts[1], LETTERS_AND_DIGITS "-") &&
		strcmp(parts[2], "ses") == 0 &&
		is_run(parts[3], LETTERS_AND_DIGITS "-") && strlen(parts[4]) == 12 &&
		is_run(parts[4], "0123456789") && strlen(name) <= NAME_BYTES_MAX &&
		is_run(name, LETTERS_AND_DIGITS ".!#$%&'*+-/=?^_`{|}~@"))
		return true;
	return conf_value_refuse(arn, error,
		"is not the ARN of an identity, such as "
		"arn:aws:ses:eu-west-1:123456789012:identity/example.com");
}

bool conf_ses_same_tag(const char *a, const char *b)
{
	size_t name = strcspn(a, "=");
	return name == strcspn(b, "=") && strncmp(a, b, name) == 0;
}

/* "email-smtp.REGION.amazonaws.com", its FIPS and VPC endpoints. */
bool conf_ses_is_host(const char *host)
{
	if (host == NULL)
		return false;
	g_autofree char *name = g_ascii_strdown(host, -1);
	const char *at = name;
	if (g_str_has_prefix(at, "vpce-")) {
		at += strcspn(at, ".");
		at += *at == '.';
	}
	return (g_str_has_prefix(at, "email-smtp.") ||
		       g_str_has_prefix(at, "email-smtp-fips.")) &&
	       (strstr(at, ".amazonaws.com") != NULL || strstr(at, ".api.aws") != NULL);
}

static bool is_told(const struct conf_ses *ses)
{
	return ses->configuration_set != NULL || ses->tags != NULL ||
	       ses->source_arn != NULL || ses->from_arn != NULL ||
	       ses->return_path_arn != NULL;
}

bool conf_relay_is_ses(const struct conf_relay *relay)
{
	if (relay->maildir != NULL)
		return false;
	return conf_ses_is_host(relay->host) || relay->region != NULL ||
	       relay->iam_access_key_id != NULL ||
	       relay->iam_access_key_id_file != NULL || is_told(&relay->ses);
}
