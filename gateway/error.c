/* The one GError domain of gateway/. */
#include "gateway/error.h"

G_DEFINE_QUARK(gateway_error, gateway_error)
