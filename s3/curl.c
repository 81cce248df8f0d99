/* libcurl's one beginning. It is not ended: the process is. */
#include "s3/curl.h"

void s3_curl_start(void)
{
	static gsize started;
	if (!g_once_init_enter(&started))
		return;
	CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
	if (code != CURLE_OK)
		g_error("libcurl: %s", curl_easy_strerror(code));
	g_once_init_leave(&started, 1);
}
