/*
 * error - the kinds of failure in gateway/; the kind decides, the text explains.
 */
#ifndef GATEWAY_ERROR_H
#define GATEWAY_ERROR_H

#include <glib.h>

/*
 * RETRY: passes by itself (disk, network, 4xx). REJECT: will not work with this message
 * (5xx). MEND: works after a person acted (credentials, settings). FULL: as RETRY, and
 * the cause is a disk or quota without room.
 */
enum gateway_error {
	GATEWAY_ERROR_RETRY,
	GATEWAY_ERROR_REJECT,
	GATEWAY_ERROR_MEND,
	GATEWAY_ERROR_FULL,
};
#define GATEWAY_ERROR (gateway_error_quark())
GQuark gateway_error_quark(void);

/* FULL for an errno that says so (ENOSPC, EDQUOT), else RETRY. */
gint gateway_error_of_errno(int number);

#endif
