/* One piece of work per file; nobody waits for it, and the loop ends after it. */
#include "gateway/smtp/discard.h"

struct discarded {
	uv_work_t work;
	struct spool *spool;
};

static void work(uv_work_t *request)
{
	struct discarded *discarded = request->data;
	spool_free(&discarded->spool);
}

static void worked(uv_work_t *request, int status)
{
	struct discarded *discarded = request->data;
	(void)status; /* nothing cancels it */
	g_free(discarded);
}

/* A spool that was never full was never flushed: it has no file. */
static bool may_have_file(const struct spool *spool)
{
	return spool_bytes(spool) >= SPOOL_BUFFER_BYTES / 2;
}

void discard(uv_loop_t *loop, struct spool **spool)
{
	if (!*spool || !may_have_file(*spool)) {
		spool_free(spool);
		return;
	}
	struct discarded *discarded = g_new0(struct discarded, 1);
	discarded->work.data = discarded;
	discarded->spool = *spool;
	*spool = NULL;
	uv_queue_work(loop, &discarded->work, work, worked);
}
