/*
 * curl - what all users of libcurl here share. Includes curl/curl.h.
 */
#ifndef S3_CURL_H
#define S3_CURL_H

#include <curl/curl.h>
#include <glib.h>

/* Who may vouch for servers, where nobody says: the distribution's bundle as one file. */
#define S3_CURL_DISTRIBUTION_BUNDLE "/etc/ssl/certs/ca-certificates.crt"

/* Sets an option of an easy handle, which can fail only where libcurl was built
 * without it or memory is short. */
#define S3_CURL_SET(easy, option, value)                                                 \
	do {                                                                             \
		CURLcode s3_curl_set = curl_easy_setopt(easy, option, value);            \
		if (s3_curl_set != CURLE_OK)                                             \
			g_error("libcurl refuses " #option ": %s",                       \
				curl_easy_strerror(s3_curl_set));                        \
	} while (0)

/* Once for the process; cheap afterwards. Threads: any. */
void s3_curl_start(void);

#endif
