/*
 * parting - the end of the process in time, even if what is freed last hangs: connections
 * to a relay that does not answer QUIT, a disk that does not come back.
 */
#ifndef GATEWAY_PARTING_H
#define GATEWAY_PARTING_H

#include <stdint.h>

struct parting;

/* At that monotonic time (us) the process ends with EX_OK and a line in the log, in
 * whatever state: only when all that was promised is durable. */
struct parting *parting_new(int64_t until_us);
/* It is over before. Clears the pointer; NULL in it is taken. */
void parting_free(struct parting **parting);

#endif
