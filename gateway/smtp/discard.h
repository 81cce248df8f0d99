/*
 * discard - spools that became no message, deleted on libuv's worker threads: to unlink a
 * large file may take a disk a second.
 *
 * Thread: the loop's.
 */
#ifndef GATEWAY_SMTP_DISCARD_H
#define GATEWAY_SMTP_DISCARD_H

#include "gateway/queue/spool.h"
#include <uv.h>

/* spool_free(), elsewhere where it would touch the disk. Takes NULL in *spool; clears it.
 */
void discard(uv_loop_t *loop, struct spool **spool);

#endif
