/* The one GError domain of conf/. */
#include "conf/error.h"

G_DEFINE_QUARK(stowage_conf_error, conf_error)
