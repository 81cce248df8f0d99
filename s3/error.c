/* The GError domain of s3/. */
#include "s3/error.h"

/* What GLib keeps with each error of the domain. */
typedef struct {
	enum s3_subject subject;
	bool is_throttle;
} S3ErrorPrivate;

static void s3_error_private_init(S3ErrorPrivate *private)
{
	*private = (S3ErrorPrivate){ S3_SUBJECT_SETTINGS, false };
}

static void s3_error_private_copy(const S3ErrorPrivate *from, S3ErrorPrivate *to)
{
	*to = *from;
}

static void s3_error_private_clear(S3ErrorPrivate *private)
{
	(void)private;
}

G_DEFINE_EXTENDED_ERROR(S3Error, s3_error)

static const char *const subjects[] = {
	[S3_SUBJECT_SETTINGS] = "settings",
	[S3_SUBJECT_ACCESS] = "access",
	[S3_SUBJECT_ACCOUNT] = "account",
	[S3_SUBJECT_BUCKET] = "bucket",
	[S3_SUBJECT_CERTIFICATE] = "certificate",
	[S3_SUBJECT_CLOCK] = "clock",
	[S3_SUBJECT_CREDENTIALS] = "credentials",
	[S3_SUBJECT_ENCRYPTION] = "encryption",
	[S3_SUBJECT_ENDPOINT] = "endpoint",
	[S3_SUBJECT_OBJECT] = "object",
	[S3_SUBJECT_QUOTA] = "quota",
	[S3_SUBJECT_REGION] = "region",
};

const char *s3_error_subject(const GError *error)
{
	if (!g_error_matches(error, S3_ERROR, S3_ERROR_MEND))
		return NULL;
	return subjects[s3_error_get_private(error)->subject];
}

void s3_error_set_subject(GError *error, enum s3_subject subject)
{
	s3_error_get_private(error)->subject = subject;
}

void s3_error_set_throttle(GError *error, bool is_throttle)
{
	s3_error_get_private(error)->is_throttle = is_throttle;
}

bool s3_error_is_throttle(const GError *error)
{
	return error->domain == S3_ERROR && s3_error_get_private(error)->is_throttle;
}

bool s3_fail(GError **error, enum s3_error kind, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	GError *made = g_error_new_valist(S3_ERROR, (int)kind, format, arguments);
	va_end(arguments);
	g_propagate_error(error, made);
	return false;
}

bool s3_fail_about(GError **error, enum s3_subject subject, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	GError *made = g_error_new_valist(S3_ERROR, S3_ERROR_MEND, format, arguments);
	va_end(arguments);
	s3_error_set_subject(made, subject);
	g_propagate_error(error, made);
	return false;
}
