/* A relay's replies, line by line, and what is made of them; also as an EHLO reply. */
#include "gateway/enhanced_code.h"
#include "gateway/relay/ehlo.h"
#include "gateway/relay/reply.h"
#include "tests/fuzz/fuzz.h"
#include <stdint.h>
#include <string.h>

static void use(const struct reply *reply)
{
	struct enhanced_code enhanced;
	const char *advice;
	struct ehlo ehlo;
	g_autofree char *print = reply_print(reply);
	g_autofree char *id = reply_message_id(reply);
	g_assert(reply->code >= 200 && reply->code <= 599);
	g_assert(reply->text->len <= REPLY_TEXT_BYTES_MAX);
	g_assert(strlen(reply->text->str) == reply->text->len);
	g_assert(g_utf8_validate(print, -1, NULL) && !strpbrk(print, "\r\n\t"));
	g_assert(!id || (*id && reply->code == 250));
	if (enhanced_code_parse(reply->text->str, &enhanced))
		g_assert(enhanced.class <= 5 && enhanced.subject <= 999 &&
			 enhanced.detail <= 999 && enhanced.bytes <= reply->text->len);
	enum reply_kind kind = reply_classify(reply, &advice);
	g_assert((kind == REPLY_DONE) == (reply->code < 400));
	g_assert(kind != REPLY_REFUSE || reply->code >= 500);
	g_assert(reply_classify_session(reply, NULL) != REPLY_REFUSE);
	g_autofree char *hold = reply_hold(reply);
	g_autofree char *hold_session = reply_hold_session(reply);
	g_assert((kind == REPLY_MEND) == (hold != NULL));
	g_assert(hold_session || kind != REPLY_MEND);
	g_assert(!hold || (strlen(hold) < 1000 && g_str_is_ascii(hold) &&
				  !strpbrk(hold, "\r\n\t<>@")));
	ehlo_parse(&ehlo, reply->text->str);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reply reply;
	const char *text = (const char *)data, *end = text + size;
	reply_init(&reply);
	while (text < end) {
		const char *lf = memchr(text, '\n', (size_t)(end - text));
		const char *next = lf ? lf + 1 : end;
		bool taken = reply_add_line(&reply, text, (size_t)(next - text));
		if (reply.complete)
			use(&reply);
		if (!taken || reply.complete)
			reply_clear(&reply);
		text = next;
	}
	reply_deinit(&reply);

	struct ehlo ehlo;
	g_autofree char *copy = g_strndup((const char *)data, size);
	ehlo_parse(&ehlo, copy);
	return 0;
}
