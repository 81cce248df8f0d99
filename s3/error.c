/* The GError domain of s3/. */
#include "s3/error.h"

G_DEFINE_QUARK(stowage - s3 - error - quark, s3_error)

bool s3_fail(GError **error, enum s3_error kind, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	GError *made = g_error_new_valist(S3_ERROR, (int)kind, format, arguments);
	va_end(arguments);
	g_propagate_error(error, made);
	return false;
}
