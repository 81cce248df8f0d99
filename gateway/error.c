/* The one GError domain of gateway/. */
#include "gateway/error.h"

#include <errno.h>

G_DEFINE_QUARK(gateway_error, gateway_error)

gint gateway_error_of_errno(int number)
{
	return number == ENOSPC || number == EDQUOT ? GATEWAY_ERROR_FULL
						    : GATEWAY_ERROR_RETRY;
}
