/* The command line: finds the command, reads its options, leaves the work to others. */
#include "conf/conf.h"
#include "gateway/error.h"
#include "gateway/offline.h"
#include "gateway/policy/users.h"
#include "gateway/problems.h"
#include "gateway/queue/links_command.h"
#include "gateway/queue/options.h"
#include "gateway/queue/queue_command.h"
#include "gateway/relay/relay.h"
#include "gateway/sandbox.h"
#include "gateway/serve.h"
#include "s3/credentials.h"
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <malloc.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define CONF_PATH "/etc/stowage/stowage.yaml"

/* Above a message's buffers: larger blocks are the kernel's again once they are freed. */
#define HEAP_BLOCK_BYTES (1 << 20)
#define HEAP_SPARE_BYTES (4 << 20) /* kept for the next, in each arena */

static const char usage_text[] =
	"usage: stowage COMMAND [OPTIONS]\n"
	"\n"
	"  serve [-c FILE]            run the gateway\n"
	"  serve --sandbox DIR        run it without any account, all of it under DIR\n"
	"                             and on loopback; --smtp, --http, --admin\n"
	"                             HOST:PORT choose its addresses\n"
	"  check [-c FILE]            say what is wrong with the settings, all of it\n"
	"  sample-config              print a settings file with every option explained\n"
	"  queue list|show|retry|redrive|hold|release|delete|export [-c FILE]\n"
	"                             what is queued, and what becomes of it; its "
	"options:\n"
	"                             queue help\n"
	"  links list|show|extend|revoke [-c FILE]\n"
	"                             what was linked until when; new links for it; its\n"
	"                             files deleted; its options: links help\n"
	"  user add|remove|list|verify USERSFILE [NAME]\n"
	"                             who may authenticate; passwords come from\n"
	"                             standard input\n"
	"  rewrite [-c FILE] --objects DIR [--manifest FILE] <IN >OUT\n"
	"                             rewrite one message, its attachments into DIR\n"
	"  rewrite [-c FILE] --batch [--objects DIR] DIR_IN DIR_OUT\n"
	"                             the same for every file of DIR_IN; both take\n"
	"                             --listener NAME and --user NAME: as if it had\n"
	"                             come by that listener, from that user\n"
	"  ses-password --region REGION\n"
	"                             SES's SMTP password of the IAM secret access\n"
	"                             key on standard input\n"
	"  help, version\n"
	"\n"
	"FILE is " CONF_PATH " unless given.\n"
	"Exit codes are those of sysexits(3): 64 usage, 69 address or queue not to be\n"
	"had, 78 settings.\n";

static int usage_error(const char *command, const char *why)
{
	fprintf(stderr, "stowage %s: %s\nTry: stowage help\n", command, why);
	return EX_USAGE;
}

/* Reads the options, leaves the rest in argv; false after having said what is wrong. */
static bool read_options(const GOptionEntry *entries, int *argc, char ***argv)
{
	g_autoptr(GError) error = NULL;
	GOptionContext *context = g_option_context_new(NULL);
	g_option_context_set_help_enabled(context, false);
	g_option_context_add_main_entries(context, entries, NULL);
	bool ok = g_option_context_parse(context, argc, argv, &error);
	g_option_context_free(context);
	if (!ok)
		usage_error((*argv)[0], error->message);
	return ok;
}

/* argv of every command below: its own name, then what followed. */

static int run_serve(int argc, char **argv)
{
	g_autofree char *path = NULL, *sandbox = NULL;
	g_autofree char *smtp = NULL, *http = NULL, *admin = NULL;
	const GOptionEntry entries[] = {
		{ "config", 'c', 0, G_OPTION_ARG_FILENAME, &path, NULL, NULL },
		{ "sandbox", 0, 0, G_OPTION_ARG_FILENAME, &sandbox, NULL, NULL },
		{ "smtp", 0, 0, G_OPTION_ARG_STRING, &smtp, NULL, NULL },
		{ "http", 0, 0, G_OPTION_ARG_STRING, &http, NULL, NULL },
		{ "admin", 0, 0, G_OPTION_ARG_STRING, &admin, NULL, NULL },
		{ 0 },
	};
	if (!read_options(entries, &argc, &argv))
		return EX_USAGE;
	if (argc > 1)
		return usage_error("serve", "takes options only");
	if (!sandbox)
		return smtp || http || admin
			       ? usage_error("serve",
					 "--smtp, --http, --admin go with --sandbox")
			       : serve(path ? path : CONF_PATH);
	if (path)
		return usage_error("serve",
			"either -c or --sandbox: a sandbox has its settings "
			"in DIR/stowage.yaml");
	g_autoptr(GError) error = NULL;
	const struct sandbox_addresses addresses = { smtp, http, admin };
	g_autofree char *made = sandbox_prepare(sandbox, &addresses, &error);
	if (!made) {
		fprintf(stderr, "stowage serve: %s\n", error->message);
		return EX_CANTCREAT;
	}
	return serve(made);
}

/* False where a bucket has none, or the source that is configured cannot work:
 * the gateway would not start. */
static bool check_credentials(const struct conf *conf)
{
	if (conf->s3.directory)
		return true;
	g_auto(GStrv) ambient = s3_settings_ambient(&conf->s3, NULL);
	for (char **word = ambient; word && *word; word++)
		printf("S3 %s\n", *word);
	g_autoptr(GError) error = NULL;
	g_autofree char *source = s3_credentials_describe(&conf->s3, &error);
	if (source)
		printf("S3 credentials: %s\n", source);
	else
		fprintf(stderr,
			"s3: %s (as this user, in this environment: check as the "
			"gateway runs)\n",
			error->message);
	return source;
}

static int run_check(int argc, char **argv)
{
	g_autofree char *path = NULL;
	const GOptionEntry entries[] = {
		{ "config", 'c', 0, G_OPTION_ARG_FILENAME, &path, NULL, NULL },
		{ 0 },
	};
	if (!read_options(entries, &argc, &argv))
		return EX_USAGE;
	if (argc > 1)
		return usage_error("check", "takes options only");
	struct conf *conf = problems_load_conf(path ? path : CONF_PATH, NULL);
	if (!conf)
		return EX_CONFIG;
	bool good = problems_read_files(conf) && check_credentials(conf);
	if (good)
		printf("%s: good\n", path ? path : CONF_PATH);
	conf_unref(conf);
	return good ? EX_OK : EX_CONFIG;
}

static int run_sample(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		return usage_error("sample-config", "takes nothing");
	conf_print_sample(stdout);
	return EX_OK;
}

/* Takes -c FILE out of argv wherever it stands; the rest is the command's own. */
static char *take_config(int *argc, char **argv)
{
	char *path = g_strdup(CONF_PATH);
	int kept = 0;
	for (int i = 0; i < *argc; i++) {
		bool is_option = !strcmp(argv[i], "-c") || !strcmp(argv[i], "--config");
		if (is_option && i + 1 < *argc) {
			g_free(path);
			path = g_strdup(argv[++i]);
		} else {
			argv[kept++] = argv[i];
		}
	}
	*argc = kept;
	argv[kept] = NULL;
	return path;
}

/* What needs no settings: the verb is missing, or help is asked for, of a verb too. */
static bool asks_for_help(int argc, char **argv)
{
	return argc < 2 || options_ask_for_help(argc - 1, argv + 1);
}

/* What is asked of the queue's record: settings are needed, their warnings are not. */
static int run_visit(int argc, char **argv,
	int (*command)(const struct conf *conf, int argc, char **argv))
{
	g_autofree char *path = take_config(&argc, argv);
	if (asks_for_help(argc, argv))
		return command(NULL, argc - 1, argv + 1);
	g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
	struct conf *conf = problems_load_conf(path, warnings);
	if (!conf)
		return EX_CONFIG;
	int code = command(conf, argc - 1, argv + 1);
	conf_unref(conf);
	return code;
}

static int run_queue(int argc, char **argv)
{
	return run_visit(argc, argv, queue_command);
}

static int run_links(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN); /* a store that has gone is an error like others */
	return run_visit(argc, argv, links_command);
}

static int run_user(int argc, char **argv)
{
	if (argc < 2)
		return usage_error("user", "add, remove, list or verify?");
	return users_command(argc - 1, argv + 1);
}

static int run_rewrite(int argc, char **argv)
{
	g_autofree char *path = NULL, *objects = NULL, *manifest = NULL;
	g_autofree char *listener = NULL, *user = NULL;
	gboolean batch = false;
	const GOptionEntry entries[] = {
		{ "config", 'c', 0, G_OPTION_ARG_FILENAME, &path, NULL, NULL },
		{ "batch", 0, 0, G_OPTION_ARG_NONE, &batch, NULL, NULL },
		{ "objects", 0, 0, G_OPTION_ARG_FILENAME, &objects, NULL, NULL },
		{ "manifest", 0, 0, G_OPTION_ARG_FILENAME, &manifest, NULL, NULL },
		{ "listener", 0, 0, G_OPTION_ARG_STRING, &listener, NULL, NULL },
		{ "user", 0, 0, G_OPTION_ARG_STRING, &user, NULL, NULL },
		{ 0 },
	};
	if (!read_options(entries, &argc, &argv))
		return EX_USAGE;
	if (batch && (argc != 3 || manifest))
		return usage_error("rewrite",
			"--batch needs DIR_IN DIR_OUT, and writes a manifest for each "
			"message there");
	if (!batch && (argc > 1 || !objects))
		return usage_error(
			"rewrite", "needs --objects DIR, a message on standard input");
	g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
	struct conf *conf = problems_load_conf(path ? path : CONF_PATH, warnings);
	if (!conf)
		return EX_CONFIG;
	signal(SIGPIPE, SIG_IGN); /* a reader that has gone is an error like others */
	const struct offline offline = { objects, manifest, listener, user };
	int code = batch ? offline_batch(conf, &offline, argv[1], argv[2])
			 : offline_rewrite(conf, &offline);
	conf_unref(conf);
	return code;
}

static int run_ses_password(int argc, char **argv)
{
	g_autofree char *region = NULL;
	const GOptionEntry entries[] = {
		{ "region", 0, 0, G_OPTION_ARG_STRING, &region, NULL, NULL },
		{ 0 },
	};
	char secret[256];
	if (!read_options(entries, &argc, &argv))
		return EX_USAGE;
	if (argc > 1 || !region)
		return usage_error("ses-password",
			"needs --region REGION, and the secret access "
			"key on standard input, never as an argument");
	if (!ses_is_region(region))
		return usage_error("ses-password",
			"--region must be a region of Amazon, such as eu-west-1");
	setvbuf(stdin, NULL, _IONBF, 0); /* no second copy that nobody wipes */
	if (!fgets(secret, sizeof(secret), stdin))
		return usage_error(
			"ses-password", "no secret access key on standard input");
	bool cut = strlen(secret) == sizeof(secret) - 1;
	g_strstrip(secret);
	if (cut || !*secret) {
		OPENSSL_cleanse(secret, sizeof(secret));
		return usage_error("ses-password",
			cut ? "standard input is too long for a secret access key"
			    : "the secret access key is empty");
	}
	char *password = ses_smtp_password(secret, region);
	OPENSSL_cleanse(secret, sizeof(secret));
	puts(password);
	OPENSSL_cleanse(password, strlen(password));
	g_free(password);
	return EX_OK;
}

static int run_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	fputs(usage_text, stdout);
	return EX_OK;
}

static int run_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("stowage " STOWAGE_VERSION);
	return EX_OK;
}

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "serve", run_serve },
	{ "check", run_check },
	{ "sample-config", run_sample },
	{ "queue", run_queue },
	{ "links", run_links },
	{ "user", run_user },
	{ "rewrite", run_rewrite },
	{ "ses-password", run_ses_password },
	{ "help", run_help },
	{ "--help", run_help },
	{ "-h", run_help },
	{ "version", run_version },
	{ "--version", run_version },
};

/* What was printed and lost, on a full disk, is a failure too. */
static int finish(int code)
{
	if ((fflush(stdout) == 0 && !ferror(stdout)) || code != EX_OK)
		return code;
	fprintf(stderr, "stowage: standard output: %s\n", g_strerror(errno));
	return EX_IOERR;
}

/* A descriptor that the caller had closed would be given to the next file that is opened,
 * and a message or the log be written into it. What stands here now refuses both. */
static void hold_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		int mode = fd == STDIN_FILENO ? O_WRONLY : O_RDONLY;
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", mode) < 0)
			_exit(EX_OSERR);
	}
}

int main(int argc, char **argv)
{
	hold_standard_descriptors();
	/* Each thread's own arena would keep what its largest message needed. */
	mallopt(M_ARENA_MAX, 2);
	/* What one message gives back the next one needs: no detour over the
	 * kernel, which would clear it. */
	mallopt(M_MMAP_THRESHOLD, HEAP_BLOCK_BYTES);
	mallopt(M_TRIM_THRESHOLD, HEAP_SPARE_BYTES);
	if (argc < 2) {
		fputs(usage_text, stderr);
		return EX_USAGE;
	}
	for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return finish(commands[i].run(argc - 1, argv + 1));
	fprintf(stderr, "stowage: there is no command \"%s\"\nTry: stowage help\n",
		argv[1]);
	return EX_USAGE;
}
