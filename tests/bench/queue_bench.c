/* The queue alone, at any depth: what a start and a message cost with so many queued, and
 * what sharing syncs is worth.
 *
 *	queue_bench fill DIRECTORY MESSAGES    writes that many deferred messages
 *	queue_bench depth DIRECTORY MESSAGES   opens it and sends so many new ones through
 *	queue_bench group DIRECTORY MESSAGES   so many one by one, and so many at once
 *
 * depth and group print JSON. */
#include "gateway/log.h"
#include "gateway/queue/store_private.h"
#include "gateway/queue/writer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_MS    (24 * 3600 * 1000LL)
#define DUE       60   /* of those queued, at high priority */
#define PER_BATCH 1000 /* in one transaction of fill */
#define IN_FLIGHT 50   /* submissions at a time */

static const char body[] = "Subject: x\r\n\r\nbody\r\n";

static struct conf_queue settings_of(const char *directory)
{
	return (struct conf_queue){
		.directory = directory,
		.workers = 4,
		.max_messages = 10000000,
		.retry_first_s = 5,
		.retry_max_s = 86400, /* or what fill planned is a wrong clock's */
		.lifetime_s = 8 * 86400,
		.history_s = 86400,
	};
}

static _Noreturn void stop(const char *what)
{
	fprintf(stderr, "queue_bench: %s\n", what);
	exit(1);
}

static struct queue_message *make_message(void)
{
	struct queue_message *message = queue_message_new();
	message->listener = g_strdup("mx");
	message->client = g_strdup("192.0.2.1");
	message->helo = g_strdup("client.example");
	message->reverse_path = g_strdup("sender@example.org");
	queue_message_add_recipient(
		message, "someone@in.example.com", "someone@example.com");
	return message;
}

/* --- fill --- */

/* As if it had been received then. */
static void set_time(struct queue_message *message, int64_t received_ms)
{
	uint64_t value = (uint64_t)received_ms;
	message->received_ms = received_ms;
	for (unsigned i = 10; i-- > 0; value >>= 5)
		message->id[i] = "0123456789abcdefghjkmnpqrstvwxyz"[value & 31];
}

static void write_file(const char *spool, const char *id)
{
	char folder[SPOOL_FOLDER_BYTES];
	spool_folder(id, folder);
	g_autofree char *place = g_build_filename(spool, folder, NULL);
	g_autofree char *path = g_build_filename(place, id, NULL);
	(void)mkdir(place, 0700);
	FILE *file = fopen(path, "w");
	if (!file || fputs(body, file) < 0 || fclose(file) != 0)
		stop("cannot write a spool file");
}

/* Over the last three days; the last ones are due. */
static void add_queued(struct store *store, const char *spool, int64_t i, int64_t n)
{
	struct queue_message *message = make_message();
	int64_t now_ms = g_get_real_time() / 1000;
	bool due = i >= n - DUE;
	set_time(message, now_ms - 3 * DAY_MS + i * (3 * DAY_MS - 60000) / n);
	message->state = QUEUE_DEFERRED;
	message->attempts = 3;
	message->size = sizeof body - 1;
	message->next_attempt_ms = due ? now_ms : now_ms + DAY_MS;
	message->priority = due ? CONF_PRIORITY_HIGH : CONF_PRIORITY_NORMAL;
	queue_message_add_event(
		message, 0, QUEUE_DEFERRED, 451, "4.7.1 try again later", "default");
	if (!store_insert(store, message, NULL))
		stop("cannot insert");
	write_file(spool, message->id);
	queue_message_free(message);
}

static int fill(const char *directory, int64_t n)
{
	GError *error = NULL;
	g_autofree char *spool = g_build_filename(directory, "incoming", NULL);
	g_autofree char *path = g_build_filename(directory, "queue.db", NULL);
	if (g_mkdir_with_parents(spool, 0700) < 0)
		stop("cannot make the directory");
	struct store *store = store_open_owner(path, &error);
	if (!store)
		stop(error->message);
	if (sqlite3_exec(store->db, "PRAGMA synchronous = OFF", NULL, NULL, NULL) !=
		SQLITE_OK)
		stop("cannot set synchronous");
	struct store_totals totals = { 0 };
	totals.messages[QUEUE_DEFERRED] = n;
	for (int64_t i = 0; i < n; i++) {
		if (i % PER_BATCH == 0 && !store_begin(store, NULL))
			stop("cannot begin");
		add_queued(store, spool, i, n);
		if (i == n - 1 && !store_add_totals(store, &totals, NULL))
			stop("cannot count");
		if ((i % PER_BATCH == PER_BATCH - 1 || i == n - 1) &&
			!store_commit(store, NULL))
			stop("cannot commit");
	}
	store_close(&store);
	return 0;
}

/* --- messages through a queue --- */

struct run {
	struct queue *queue;
	GMutex lock;
	GCond changed;
	int64_t submitted, finished, wanted;
};

static void note_submitted(void *context, const char *id, const GError *error)
{
	struct run *run = context;
	(void)id;
	if (error)
		stop(error->message);
	g_mutex_lock(&run->lock);
	run->submitted++;
	g_cond_broadcast(&run->changed);
	g_mutex_unlock(&run->lock);
}

static void *deliver(void *context)
{
	struct run *run = context;
	struct queue_message *message;
	while ((message = queue_take(run->queue)) != NULL) {
		struct queue_recipient *recipient = message->recipients->pdata[0];
		queue_note_state(run->queue, message, QUEUE_REWRITING);
		queue_message_add_event(message, -1, QUEUE_RELAYING, 0, NULL, "default");
		if (!queue_mark_relaying(run->queue, message, NULL))
			stop("cannot mark");
		recipient->state = message->state = QUEUE_SENT;
		recipient->reply_code = 250;
		recipient->reply = g_strdup("Ok 0102018f-0000");
		queue_message_add_event(
			message, 0, QUEUE_SENT, 250, "Ok 0102018f-0000", "default");
		queue_finish(run->queue, message);
		g_mutex_lock(&run->lock);
		run->finished++;
		g_cond_broadcast(&run->changed);
		g_mutex_unlock(&run->lock);
	}
	return NULL;
}

/* Up to so many submissions at a time. */
static void send_many(struct run *run, int64_t n, int64_t at_once)
{
	int64_t begun = run->submitted;
	int64_t until = begun + n;
	g_mutex_lock(&run->lock);
	for (; begun < until; begun++) {
		while (begun - run->submitted >= at_once)
			g_cond_wait(&run->changed, &run->lock);
		g_mutex_unlock(&run->lock);
		struct queue_message *message = make_message();
		struct spool *spool =
			spool_new(queue_spool_directory(run->queue), message->id);
		spool_append(spool, body, sizeof body - 1);
		queue_submit(run->queue, message, spool, note_submitted, run);
		g_mutex_lock(&run->lock);
	}
	while (run->submitted < until)
		g_cond_wait(&run->changed, &run->lock);
	g_mutex_unlock(&run->lock);
}

static void wait_finished(struct run *run, int64_t n)
{
	g_mutex_lock(&run->lock);
	while (run->finished < n)
		g_cond_wait(&run->changed, &run->lock);
	g_mutex_unlock(&run->lock);
}

static int64_t cpu_us(void)
{
	struct rusage usage;
	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000LL +
	       usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
}

/* Not getrusage(): that begins with what the parent had. */
static int64_t peak_rss_kib(void)
{
	g_autofree char *status = NULL;
	if (!g_file_get_contents("/proc/self/status", &status, NULL, NULL))
		stop("cannot read /proc/self/status");
	const char *peak = strstr(status, "VmHWM:");
	return peak ? g_ascii_strtoll(peak + strlen("VmHWM:"), NULL, 10) : 0;
}

/* Steps of SQLite's machine in all statements but those of recovery and housekeeping. */
static int64_t machine_steps(const struct queue *queue)
{
	int64_t steps = 0;
	for (unsigned i = 0; i < STATEMENTS; i++) {
		if (queue->store->statements[i] && i != SCAN_UNFINISHED_AFTER)
			steps += sqlite3_stmt_status(queue->store->statements[i],
				SQLITE_STMTSTATUS_VM_STEP, 0);
	}
	return steps;
}

static void open_run(struct run *run, const char *directory)
{
	GError *error = NULL;
	struct conf_queue settings = settings_of(directory);
	g_mutex_init(&run->lock);
	g_cond_init(&run->changed);
	run->queue = queue_new(&settings, &error);
	if (!run->queue)
		stop(error->message);
}

/* Reads what the writer owns, at a moment when it has nothing to do. */
static bool recovers(const struct queue *queue)
{
	return __atomic_load_n(&queue->recovery, __ATOMIC_ACQUIRE) != NULL;
}

static int depth(const char *directory, int64_t n)
{
	struct run run = { 0 };
	int64_t began_us = g_get_monotonic_time();
	open_run(&run, directory);
	int64_t ready_us = g_get_monotonic_time() - began_us;
	GThread *worker = g_thread_new("delivery", deliver, &run);
	send_many(&run, 1, 1);
	int64_t first_us = g_get_monotonic_time() - began_us;
	wait_finished(&run, DUE + 1);
	while (recovers(run.queue))
		g_usleep(10000);
	int64_t in_order_us = g_get_monotonic_time() - began_us;

	int64_t steps = machine_steps(run.queue), cpu = cpu_us();
	began_us = g_get_monotonic_time();
	send_many(&run, n, IN_FLIGHT);
	wait_finished(&run, DUE + 1 + n);
	int64_t took_us = g_get_monotonic_time() - began_us;
	steps = machine_steps(run.queue) - steps;
	cpu = cpu_us() - cpu;
	int64_t rss_kib = peak_rss_kib();
	queue_stop(run.queue);
	g_thread_join(worker);
	queue_free(&run.queue);
	printf("{\"ready_ms\": %.1f, \"first_ms\": %.1f, \"in_order_ms\": %.1f, "
	       "\"steps\": %.1f, \"cpu_us\": %.1f, \"took_us\": %.1f, "
	       "\"rss_kib\": %" G_GINT64_FORMAT "}\n",
		(double)ready_us / 1e3, (double)first_us / 1e3, (double)in_order_us / 1e3,
		(double)steps / (double)n, (double)cpu / (double)n,
		(double)took_us / (double)n, rss_kib);
	return 0;
}

static double submit_us(struct run *run, int64_t n, int64_t at_once)
{
	int64_t began_us = g_get_monotonic_time();
	send_many(run, n, at_once);
	return (double)(g_get_monotonic_time() - began_us) / (double)n;
}

static int group(const char *directory, int64_t n)
{
	struct run run = { 0 };
	open_run(&run, directory);
	double alone_us = submit_us(&run, n, 1);
	double together_us = submit_us(&run, n, IN_FLIGHT);
	queue_stop(run.queue);
	queue_free(&run.queue);
	printf("{\"alone_us\": %.1f, \"together_us\": %.1f, \"ratio\": %.2f}\n", alone_us,
		together_us, alone_us / together_us);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const char *directory, int64_t n);
	} verbs[] = { { "fill", fill }, { "depth", depth }, { "group", group } };
	if (argc != 4)
		stop("usage: queue_bench fill|depth|group DIRECTORY MESSAGES");
	for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argv[2], g_ascii_strtoll(argv[3], NULL, 10));
	}
	stop("no such verb");
}
