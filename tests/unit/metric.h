/*
 * metric - what a test reads in the exposition, as a scraper does.
 */
#ifndef TESTS_UNIT_METRIC_H
#define TESTS_UNIT_METRIC_H

#include "gateway/admin/metrics.h"

/* The value of series, as "stowage_sessions{listener=\"mx\"}"; 0 where
 * it is not there. */
double metric_value(struct metrics *metrics, const char *series);

#endif
