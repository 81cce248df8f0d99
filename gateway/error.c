/* The one GError domain of gateway/. */
#include "gateway/error.h"

G_DEFINE_QUARK(stowage - gateway - error - quark, gateway_error)
