/*
 * idn - internationalised domains: A-labels ("xn--...") of what a client
 * wrote in U-labels (IDNA2008, RFC 5890; case and width are mapped as UTS 46
 * says). Pure; threads: any.
 */
#ifndef GATEWAY_IDN_H
#define GATEWAY_IDN_H

#include <glib.h>

/* The address with its domain in A-labels; the local part stays as it is. An address of
 * ASCII only, or without a domain, comes out as it went in. NULL: its domain is beyond
 * ASCII and no name. g_free(). */
char *idn_address(const char *address);

#endif
