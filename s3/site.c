/* What is known of a bucket's whereabouts. Who asks there is client.c's. */
#include "s3/site.h"
#include <string.h>
#include <time.h>

/* A server that names ever new regions is not believed for ever. */
#define PLACES_MAX 8
/* A smaller error of the clock is no reason for a refusal (Amazon takes 15 minutes). */
#define CLOCK_NEWS_S 60
/* 2000 to 2100: what says another year is no clock to sign by. */
#define CLOCK_FIRST_S INT64_C(946684800)
#define CLOCK_LAST_S  INT64_C(4102444800)

struct s3_site {
	struct s3_address address;
	GMutex lock;
	GPtrArray *places; /* struct s3_place; the last one holds */
	int64_t clock_off_s;
	gint no_conditions, no_expectations;
	gint proof; /* enum s3_proof */
	gint is_unencrypted;
};

static void free_place(gpointer data)
{
	struct s3_place *place = data;
	s3_endpoint_deinit(&place->endpoint);
	sigv4_signer_free(&place->signer);
	g_free(place->region);
	g_free(place);
}

static struct s3_place *new_place(
	const struct s3_address *address, const char *region, GError **error)
{
	struct s3_place *place = g_new0(struct s3_place, 1);
	g_autofree char *amazon = NULL;
	bool made = true;
	if (!address->url && (address->dual_stack || address->fips)) {
		amazon = s3_endpoint_amazon(
			region, address->dual_stack, address->fips, error);
		made = amazon != NULL;
	}
	if (!made || !s3_endpoint_init(&place->endpoint, amazon ? amazon : address->url,
			     region, address->bucket, address->path_style, error)) {
		g_free(place);
		return NULL;
	}
	place->region = g_strdup(region);
	place->signer = sigv4_signer_new(region, "s3");
	return place;
}

struct s3_site *s3_site_new(const struct s3_address *address, GError **error)
{
	struct s3_place *place = new_place(address, address->region, error);
	if (!place)
		return NULL;
	struct s3_site *site = g_new0(struct s3_site, 1);
	site->address = *address;
	g_mutex_init(&site->lock);
	site->places = g_ptr_array_new_with_free_func(free_place);
	g_ptr_array_add(site->places, place);
	return site;
}

void s3_site_free(struct s3_site **site)
{
	struct s3_site *gone = g_steal_pointer(site);
	if (!gone)
		return;
	g_ptr_array_unref(gone->places);
	g_mutex_clear(&gone->lock);
	g_free(gone);
}

const struct s3_place *s3_site_place(struct s3_site *site)
{
	g_mutex_lock(&site->lock);
	const struct s3_place *place = site->places->pdata[site->places->len - 1];
	g_mutex_unlock(&site->lock);
	return place;
}

const char *s3_site_bucket(const struct s3_site *site)
{
	return site->address.bucket;
}

bool s3_site_is_amazon(const struct s3_site *site)
{
	const struct s3_place *first = site->places->pdata[0];
	return s3_endpoint_is_amazon(&first->endpoint);
}

/* ---- region ---- */

static bool may_be_at(const struct s3_site *site, const char *region, const char *before)
{
	return *region && site->places->len < PLACES_MAX && strcmp(region, before) != 0 &&
	       (site->address.url || s3_endpoint_same_partition(region, before));
}

static bool move(struct s3_site *site, const char *region, const char *before)
{
	if (!may_be_at(site, region, before))
		return false;
	struct s3_place *place = new_place(&site->address, region, NULL);
	if (!place)
		return false;
	g_ptr_array_add(site->places, place);
	g_warning("bucket %s is in region %s, not in %s: it is asked there from now on; "
		  "set s3.region to it",
		site->address.bucket, region, before);
	return true;
}

bool s3_site_learn_region(
	struct s3_site *site, const struct s3_place *place, const char *region)
{
	g_mutex_lock(&site->lock);
	bool news = site->places->pdata[site->places->len - 1] != place ||
		    move(site, region, place->region);
	g_mutex_unlock(&site->lock);
	return news;
}

/* ---- clock ---- */

int64_t s3_site_time_s(struct s3_site *site, int64_t time_s)
{
	g_mutex_lock(&site->lock);
	int64_t off_s = site->clock_off_s;
	g_mutex_unlock(&site->lock);
	return time_s - off_s;
}

int64_t s3_site_now_s(struct s3_site *site)
{
	return s3_site_time_s(site, (int64_t)time(NULL));
}

bool s3_site_learn_clock(struct s3_site *site, int64_t off_s)
{
	int64_t server_s = (int64_t)time(NULL) - off_s;
	g_mutex_lock(&site->lock);
	bool news = ABS(off_s - site->clock_off_s) > CLOCK_NEWS_S &&
		    server_s >= CLOCK_FIRST_S && server_s < CLOCK_LAST_S;
	if (news)
		site->clock_off_s = off_s;
	g_mutex_unlock(&site->lock);
	if (news)
		g_warning("this machine's clock is %" G_GINT64_FORMAT " s %s that of the "
			  "store of bucket %s, whose time is signed with from now on: "
			  "set the clock (NTP)",
			ABS(off_s), off_s < 0 ? "behind" : "ahead of",
			site->address.bucket);
	return news;
}

/* ---- conditions ---- */

bool s3_site_knows_conditions(struct s3_site *site)
{
	return !g_atomic_int_get(&site->no_conditions);
}

void s3_site_learn_no_conditions(struct s3_site *site)
{
	if (g_atomic_int_compare_and_exchange(&site->no_conditions, 0, 1))
		g_message("the store of bucket %s does not know \"If-None-Match: *\": "
			  "it is not sent any more",
			site->address.bucket);
}

bool s3_site_knows_expectations(struct s3_site *site)
{
	return !g_atomic_int_get(&site->no_expectations);
}

void s3_site_learn_no_expectations(struct s3_site *site)
{
	g_atomic_int_set(&site->no_expectations, 1);
}

/* ---- encryption ---- */

void s3_site_learn_unencrypted(struct s3_site *site)
{
	if (g_atomic_int_compare_and_exchange(&site->is_unencrypted, 0, 1))
		g_warning("the store of bucket %s does not say that it has encrypted "
			  "what it was to (s3.encryption): see whether it can",
			site->address.bucket);
}

/* ---- proofs ---- */

enum s3_proof s3_site_proof(struct s3_site *site)
{
	return (enum s3_proof)g_atomic_int_get(&site->proof);
}

void s3_site_learn_proof(struct s3_site *site, enum s3_proof proof)
{
	g_atomic_int_set(&site->proof, (gint)proof);
}
