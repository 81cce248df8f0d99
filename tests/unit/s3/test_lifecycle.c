/* lifecycle: after how many days which rule deletes an object. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "s3/lifecycle.h"
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define KEY       "mail/2026/11/21/01m7/2-abc.pdf"
#define ALL(x)    "<LifecycleConfiguration>" x "</LifecycleConfiguration>"
#define ON        "<Status>Enabled</Status>"
#define RULE(x)   "<Rule>" x "</Rule>"
#define DAYS(n)   "<Expiration><Days>" n "</Days></Expiration>"
#define TAG(k, v) "<Tag><Key>" k "</Key><Value>" v "</Value></Tag>"

static const char *const tags[] = { "origin=mail", "team=a", NULL };

static void days_of_rules(void **state)
{
	(void)state;
	static const struct {
		const char *xml;
		unsigned days;
	} cases[] = {
		{ ALL(""), 0 },
		{ ALL(RULE(ON DAYS("30"))), 30 },
		{ ALL(RULE(DAYS("30") ON)), 30 },
		{ "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LifecycleConfiguration "
		  "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n<Rule>\n<ID>a</ID>"
		  "<Filter>\n<Prefix>mail/</Prefix>\n</Filter>\n" ON
		  "\n" DAYS("3") "\n</Rule>\n</LifecycleConfiguration>\n",
			3 },
		/* the older form, without a filter */
		{ ALL(RULE("<Prefix>mail</Prefix>" ON DAYS("4"))), 4 },
		{ ALL(RULE("<Prefix>mail/2026/11/</Prefix>" ON DAYS("5"))), 5 },
		{ ALL(RULE("<Prefix>mail/2025/</Prefix>" ON DAYS("5"))), 0 },
		{ ALL(RULE("<Prefix>other/</Prefix>" ON DAYS("5"))), 0 },
		{ ALL(RULE("<Filter/>" ON DAYS("6"))), 6 },
		/* the shortest counts; what is off does not */
		{ ALL(RULE(ON DAYS("30")) RULE(ON DAYS("7")) RULE(ON DAYS("9"))), 7 },
		{ ALL(RULE("<Status>Disabled</Status>" DAYS("1")) RULE(ON DAYS("8"))),
			8 },
		/* tags: all of a rule's must be ours */
		{ ALL(RULE("<Filter>" TAG("origin", "mail") "</Filter>" ON DAYS("2"))),
			2 },
		{ ALL(RULE("<Filter>" TAG("origin", "fax") "</Filter>" ON DAYS("2"))),
			0 },
		{ ALL(RULE("<Filter><And><Prefix>mail/</Prefix>" TAG("team", "a")
				  TAG("origin", "mail") "</And></Filter>" ON DAYS("2"))),
			2 },
		{ ALL(RULE("<Filter><And>" TAG("team", "b")
				  TAG("origin", "mail") "</And></Filter>" ON DAYS("2"))),
			0 },
		/* of some sizes: one may be ours */
		{ ALL(RULE("<Filter><ObjectSizeGreaterThan>9</ObjectSizeGreaterThan>"
			   "</Filter>" ON DAYS("2"))),
			2 },
		/* what ends no current object after days */
		{ ALL(RULE(ON "<Transition><Days>1</Days></Transition>")), 0 },
		{ ALL(RULE(ON "<NoncurrentVersionExpiration><NoncurrentDays>1"
			      "</NoncurrentDays></NoncurrentVersionExpiration>")),
			0 },
		{ ALL(RULE(ON "<AbortIncompleteMultipartUpload><DaysAfterInitiation>1"
			      "</DaysAfterInitiation></AbortIncompleteMultipartUpload>")),
			0 },
		{ ALL(RULE(ON "<Expiration><ExpiredObjectDeleteMarker>true"
			      "</ExpiredObjectDeleteMarker></Expiration>")),
			0 },
		{ ALL(RULE(ON DAYS("0"))), 0 },
		{ ALL(RULE(ON DAYS("-1"))), 0 },
		{ ALL(RULE(ON DAYS("99999999999"))), 0 },
		{ ALL(RULE(ON DAYS(" 1"))), 0 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct s3_lifecycle *lifecycle =
			s3_lifecycle_parse(cases[i].xml, strlen(cases[i].xml), tags);
		assert_non_null(lifecycle);
		struct s3_lifecycle_end end = s3_lifecycle_end(lifecycle, KEY, 1);
		if (end.days != cases[i].days || end.date_s)
			fail_msg("%s: %u", cases[i].xml, end.days);
		assert_int_equal(s3_lifecycle_kept_s(&end, 1), (int64_t)end.days * 86400);
		s3_lifecycle_free(&lifecycle);
		assert_null(lifecycle);
	}
}

#define DATE(d) "<Expiration><Date>" d "</Date></Expiration>"

/* What is stored at noon of 21 November 2026. */
static void dates_of_rules(void **state)
{
	(void)state;
	static const int64_t stored_s = 1795262400;
	static const struct {
		const char *xml;
		int64_t kept_s;
	} cases[] = {
		{ ALL(RULE(ON DATE("2026-11-22T00:00:00Z"))), 12 * 3600 },
		{ ALL(RULE(ON DATE("2026-11-23T00:00:00.000Z"))), 36 * 3600 },
		{ ALL(RULE(ON DATE("2026-11-23"))), 36 * 3600 },
		{ ALL(RULE(ON DATE("2026-11-23T01:00:00+01:00"))), 36 * 3600 },
		{ ALL(RULE("<Status>Disabled</Status>" DATE("2026-11-23T00:00:00Z"))),
			0 },
		{ ALL(RULE("<Prefix>other/</Prefix>" ON DATE("2026-11-23T00:00:00Z"))),
			0 },
		/* once the date has come: in the next night */
		{ ALL(RULE(ON DATE("2026-11-21T00:00:00Z"))), 12 * 3600 },
		{ ALL(RULE(ON DATE("1970-01-01T00:00:00Z"))), 12 * 3600 },
		/* the first of several */
		{ ALL(RULE(ON DATE("2027-01-01T00:00:00Z")) RULE(ON DAYS("2"))),
			2 * 86400 },
		{ ALL(RULE(ON DAYS("2")) RULE(ON DATE("2026-11-22T00:00:00Z"))),
			12 * 3600 },
		{ ALL(RULE(ON DATE("2027-01-01T00:00:00Z"))
				  RULE(ON DATE("2026-12-01T00:00:00Z"))),
			9 * 86400 + 12 * 3600 },
		{ ALL(RULE(ON DATE("soon"))), 0 },
		{ ALL(RULE(ON DATE(""))), 0 },
		{ ALL(RULE(ON "<Transition><Date>2026-11-22T00:00:00Z</Date>"
			      "</Transition>")),
			0 },
	};
	for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
		struct s3_lifecycle *lifecycle =
			s3_lifecycle_parse(cases[i].xml, strlen(cases[i].xml), tags);
		assert_non_null(lifecycle);
		struct s3_lifecycle_end end = s3_lifecycle_end(lifecycle, KEY, stored_s);
		if (s3_lifecycle_kept_s(&end, stored_s) != cases[i].kept_s)
			fail_msg("%s: %" PRId64, cases[i].xml,
				s3_lifecycle_kept_s(&end, stored_s));
		s3_lifecycle_free(&lifecycle);
	}
}

static void without_tags_no_rule_by_tag_counts(void **state)
{
	(void)state;
	static const char xml[] =
		ALL(RULE("<Filter>" TAG("team", "a") "</Filter>" ON DAYS("2")));
	struct s3_lifecycle *lifecycle = s3_lifecycle_parse(xml, sizeof xml - 1, NULL);
	assert_int_equal(s3_lifecycle_end(lifecycle, KEY, 1).days, 0);
	s3_lifecycle_free(&lifecycle);
}

static void what_is_not_whole_says_nothing(void **state)
{
	(void)state;
	static const char *const bodies[] = {
		"",
		"<html></html>",
		"{}",
		"<Error><Code>NoSuchLifecycleConfiguration</Code></Error>",
		"<LifecycleConfiguration>" RULE(ON DAYS("1")),
		"<LifecycleConfiguration>" RULE(ON DAYS("1")) "</Lifecycle",
		"<a><LifecycleConfiguration></LifecycleConfiguration></a>",
	};
	for (size_t i = 0; i < G_N_ELEMENTS(bodies); i++)
		assert_null(s3_lifecycle_parse(bodies[i], strlen(bodies[i]), NULL));
	struct s3_lifecycle *none = NULL;
	s3_lifecycle_free(&none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(days_of_rules),
		cmocka_unit_test(dates_of_rules),
		cmocka_unit_test(without_tags_no_rule_by_tag_counts),
		cmocka_unit_test(what_is_not_whole_says_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
