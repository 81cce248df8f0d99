/* The one GError domain of conf/. */
#include "conf/error.h"

G_DEFINE_QUARK(stowage - conf - error - quark, conf_error)
