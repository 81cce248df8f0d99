/* Names objects, presigns their links, hands both to the rewriting.
 * Moves no content itself. */
#include "gateway/delivery/stowing.h"

#include <string.h>

struct stowing {
	unsigned link_expiry_s;
	unsigned settings_retention_s; /* s3.retention; 0: none */
	unsigned retention_s;          /* of these objects; 0: not known to end */
	int64_t stored_s;
	char *time_zone; /* NULL: UTC */
	char *id;
	const struct mime_attachment *attachments;
	size_t n_attachments;
	GPtrArray *keys;      /* of char *, one per attachment */
	GArray *objects;      /* of struct s3_object: one per distinct content */
	GArray *expires_at_s; /* of int64_t, one per attachment */
	GPtrArray *urls;      /* of char *, likewise */
};

static bool same_content(const struct mime_attachment *a, const struct mime_attachment *b)
{
	return a->size == b->size && !memcmp(a->sha256, b->sha256, sizeof(a->sha256));
}

/* The index of the first attachment with the content of attachment index. */
static size_t first_alike(const struct stowing *stowing, size_t index)
{
	size_t i = 0;
	while (!same_content(&stowing->attachments[i], &stowing->attachments[index]))
		i++;
	return i;
}

static void add_object(
	struct stowing *stowing, const struct rewriter *rewriter, size_t index)
{
	const struct mime_attachment *attachment = &stowing->attachments[index];
	struct s3_object object = {
		.key = stowing_key(stowing, index),
		.octets = rewriter_octets(rewriter, index),
		.fd = rewriter_fd(rewriter, index),
		.size = attachment->size,
		.media_type = attachment->media_type,
		.file_name = attachment->file_name,
		.message_id = stowing->id,
	};
	memcpy(object.sha256, attachment->sha256, sizeof(object.sha256));
	g_array_append_val(stowing->objects, object);
}

struct stowing *stowing_new(const struct conf *conf, const struct rewriter *rewriter,
	const char *id, const uint8_t seed[16], int64_t received_s)
{
	struct stowing *stowing = g_new0(struct stowing, 1);
	stowing->link_expiry_s = conf->link_expiry_s;
	stowing->settings_retention_s = stowing->retention_s = conf->s3_retention_s;
	stowing->stored_s = received_s;
	stowing->time_zone = g_strdup(conf->time_zone);
	stowing->id = g_strdup(id);
	stowing->n_attachments = rewriter_attachments(rewriter, &stowing->attachments);
	stowing->keys = g_ptr_array_new_with_free_func(g_free);
	stowing->objects = g_array_new(false, false, sizeof(struct s3_object));
	stowing->expires_at_s = g_array_new(false, true, sizeof(int64_t));
	stowing->urls = g_ptr_array_new_with_free_func(g_free);
	for (size_t i = 0; i < stowing->n_attachments; i++) {
		size_t first = first_alike(stowing, i);
		if (first < i) {
			g_ptr_array_add(
				stowing->keys, g_strdup(stowing_key(stowing, first)));
			continue;
		}
		g_ptr_array_add(
			stowing->keys, s3_object_key(conf->s3.prefix, id, seed,
					       received_s, stowing->attachments[i].part,
					       stowing->attachments[i].file_name));
		add_object(stowing, rewriter, i);
	}
	return stowing;
}

size_t stowing_attachments(const struct stowing *stowing)
{
	return stowing->n_attachments;
}

const char *stowing_key(const struct stowing *stowing, size_t index)
{
	return g_ptr_array_index(stowing->keys, (guint)index);
}

int64_t stowing_expires_at_s(const struct stowing *stowing, size_t index)
{
	return g_array_index(stowing->expires_at_s, int64_t, (guint)index);
}

const char *stowing_url(const struct stowing *stowing, size_t index)
{
	return g_ptr_array_index(stowing->urls, (guint)index);
}

const struct s3_object *stowing_objects(struct stowing *stowing, size_t *n_objects)
{
	*n_objects = stowing->objects->len;
	return (const struct s3_object *)(void *)stowing->objects->data;
}

bool stowing_is_over(const struct stowing *stowing, int64_t now_s)
{
	return stowing->retention_s && now_s >= stowing->stored_s + stowing->retention_s;
}

void stowing_set_stored(struct stowing *stowing, int64_t now_s)
{
	stowing->stored_s = now_s;
}

void stowing_heed_lifecycle(struct stowing *stowing, struct s3_store *store)
{
	stowing->retention_s = stowing->settings_retention_s;
	for (size_t i = 0; i < stowing->n_attachments; i++) {
		int64_t kept_s = s3_store_kept_s(
			store, stowing_key(stowing, i), stowing->stored_s);
		if (kept_s && (!stowing->retention_s || kept_s < stowing->retention_s))
			stowing->retention_s = (unsigned)MIN(kept_s, UINT32_MAX);
	}
}

/* A link to what is deleted is none: it ends with the object at the latest. */
static unsigned link_life_s(const struct stowing *stowing, int64_t now_s)
{
	int64_t left_s = stowing->stored_s + stowing->retention_s - now_s;
	if (!stowing->retention_s || left_s >= stowing->link_expiry_s)
		return stowing->link_expiry_s;
	return (unsigned)MAX(left_s, 1);
}

/* "2026-11-27 14:05 UTC", "2026-11-27 15:05 CET (UTC+01:00)": abbreviations alone mean
 * several zones. */
static char *expiry_text(const char *time_zone, int64_t unix_s)
{
	g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc(unix_s);
	g_autoptr(GTimeZone) zone =
		time_zone ? g_time_zone_new_identifier(time_zone) : NULL;
	g_autoptr(GDateTime) time = zone ? g_date_time_to_timezone(utc, zone) : NULL;
	if (!time || strcmp(g_date_time_get_timezone_abbreviation(time), "UTC") == 0)
		return g_date_time_format(utc, "%Y-%m-%d %H:%M UTC");
	return g_date_time_format(
		time, g_ascii_isalpha(g_date_time_get_timezone_abbreviation(time)[0])
			      ? "%Y-%m-%d %H:%M %Z (UTC%:z)"
			      : "%Y-%m-%d %H:%M (UTC%:z)");
}

static char *presign(struct stowing *stowing, struct s3_store *store, size_t index,
	int64_t now_s, GError **error)
{
	const struct mime_attachment *attachment = &stowing->attachments[index];
	int64_t expires_at_s = 0;
	char *url = s3_store_presign(store, stowing_key(stowing, index),
		attachment->file_name, attachment->media_type, now_s,
		link_life_s(stowing, now_s), &expires_at_s, error);
	g_array_append_val(stowing->expires_at_s, expires_at_s);
	return url;
}

/* False with error where a link cannot be made. texts owns the expiries that links point
 * to, the stowing the URLs. */
static bool make_links(struct stowing *stowing, struct s3_store *store, int64_t now_s,
	struct mime_link *links, GPtrArray *texts, GError **error)
{
	g_array_set_size(stowing->expires_at_s, 0);
	g_ptr_array_set_size(stowing->urls, 0);
	for (size_t i = 0; i < stowing->n_attachments; i++) {
		char *url = presign(stowing, store, i, now_s, error);
		if (!url)
			return false;
		char *expires =
			expiry_text(stowing->time_zone, stowing_expires_at_s(stowing, i));
		links[i] = (struct mime_link){ url, expires };
		g_ptr_array_add(stowing->urls, url);
		g_ptr_array_add(texts, expires);
	}
	return true;
}

struct splice *stowing_link(struct stowing *stowing, struct rewriter *rewriter,
	struct s3_store *store, int64_t now_s, uint64_t message_bytes, bool *linked,
	char **reason, GError **error)
{
	g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func(g_free);
	g_autofree struct mime_link *links =
		g_new0(struct mime_link, stowing->n_attachments);
	*linked = false;
	*reason = NULL;
	if (!make_links(stowing, store, now_s, links, texts, error))
		return NULL;
	struct splice *splice = splice_new(message_bytes);
	g_autoptr(GError) cannot = NULL;
	if (stowing->n_attachments == 0 && !rewriter_edits_text(rewriter))
		return splice;
	*linked = rewriter_link(rewriter, links, stowing->n_attachments, splice, &cannot);
	if (*linked)
		return splice;
	*reason = g_strdup(cannot->message);
	splice_free(&splice); /* some edits may have been made */
	return splice_new(message_bytes);
}

char *stowing_hold(const GError *error)
{
	const char *subject = s3_error_subject(error);
	return subject ? g_strconcat("store: ", subject, NULL) : NULL;
}

void stowing_sha256_text(const uint8_t sha256[32], char text[65])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < 32; i++) {
		text[2 * i] = digits[sha256[i] >> 4];
		text[2 * i + 1] = digits[sha256[i] & 15];
	}
	text[64] = '\0';
}

void stowing_free(struct stowing **stowing)
{
	if (!*stowing)
		return;
	g_free((*stowing)->id);
	g_free((*stowing)->time_zone);
	g_ptr_array_unref((*stowing)->keys);
	g_array_unref((*stowing)->objects);
	g_array_unref((*stowing)->expires_at_s);
	g_ptr_array_unref((*stowing)->urls);
	g_clear_pointer(stowing, g_free);
}
