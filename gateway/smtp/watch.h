/*
 * watch - sees when certificates, authorities or users change on the disk, and loads them
 * anew: nobody has to send SIGHUP after a renewal or "stowage user add".
 *
 * Files are looked at by stat(2), which follows links: a link turned to another file
 * (certbot's live/, Kubernetes' ..data) is a change as is a file written or replaced. No
 * inotify: it sees neither that nor network file systems. Changed files are read when
 * they have been still for a moment; what cannot be loaded (half written, a key that does
 * not belong to its certificate yet) is logged once, leaves what is in force as it is,
 * and is tried again at the next change.
 *
 * Threads: the loop's for every call; the disk is read on libuv's.
 */
#ifndef GATEWAY_SMTP_WATCH_H
#define GATEWAY_SMTP_WATCH_H

#include "gateway/smtp/settings.h"
#include <uv.h>

#define WATCH_INTERVAL_MS 2000

struct watch;

/* fresh is called on the loop with settings (borrowed) that are to replace those that
 * watch follows; it follows the new ones already. Does not keep the loop alive. metrics
 * is borrowed. */
struct watch *watch_new(uv_loop_t *loop, unsigned interval_ms, struct metrics *metrics,
	void (*fresh)(void *context, struct smtp_settings *settings), void *context);

/* From now on the files of these; takes a reference. */
void watch_follow(struct watch *watch, struct smtp_settings *settings);

/* fresh is not called any more. Memory goes with the loop's next turns. Clears the
 * pointer; NULL in it is taken. */
void watch_close(struct watch **watch);

#endif
