/* The syntax of delivery status notifications asked for. What comes of them is the
 * queue's. */
#include "gateway/smtp/dsn_parameters.h"

#define ENVID_BYTES_MAX 100 /* decoded: RFC 3461, section 4.4 */
#define ORCPT_BYTES_MAX 500 /* RFC 3461, section 4.2 */

bool smtp_dsn_ret(struct slice value, enum queue_ret *ret)
{
	if (slice_is(value, "FULL"))
		*ret = QUEUE_RET_FULL;
	else if (slice_is(value, "HDRS"))
		*ret = QUEUE_RET_HDRS;
	else
		return false;
	return true;
}

static unsigned notify_word(struct slice word)
{
	if (slice_is(word, "SUCCESS"))
		return QUEUE_NOTIFY_SUCCESS;
	if (slice_is(word, "FAILURE"))
		return QUEUE_NOTIFY_FAILURE;
	return slice_is(word, "DELAY") ? QUEUE_NOTIFY_DELAY : QUEUE_NOTIFY_DEFAULT;
}

bool smtp_dsn_notify(struct slice value, unsigned *notify)
{
	*notify = QUEUE_NOTIFY_DEFAULT;
	if (slice_is(value, "NEVER")) {
		*notify = QUEUE_NOTIFY_NEVER;
		return true;
	}
	for (bool more = true; more;) {
		const char *comma =
			value.bytes ? memchr(value.start, ',', value.bytes) : NULL;
		size_t bytes = comma ? (size_t)(comma - value.start) : value.bytes;
		unsigned bit = notify_word((struct slice){ value.start, bytes });
		if (!bit)
			return false;
		*notify |= bit;
		more = comma;
		value = slice_from(value, more ? bytes + 1 : bytes);
	}
	return true;
}

/* "+" and two upper-case hexadecimal digits: the octet, else -1. */
static int hexchar(struct slice text)
{
	if (text.bytes < 3)
		return -1;
	for (size_t i = 1; i <= 2; i++) {
		if (!g_ascii_isxdigit(text.start[i]) || g_ascii_islower(text.start[i]))
			return -1;
	}
	return g_ascii_xdigit_value(text.start[1]) * 16 +
	       g_ascii_xdigit_value(text.start[2]);
}

/* Octets of the xtext once decoded; 0: it is none, or would decode to what is not
 * printable. */
static size_t xtext_bytes(struct slice text, bool utf8)
{
	size_t decoded = 0;
	for (; text.bytes; decoded++) {
		int c = (unsigned char)*text.start;
		bool is_coded = c == '+';
		if (is_coded)
			c = hexchar(text);
		if (c < 32 || c == 127 || (!is_coded && (c == 32 || c == '=')) ||
			(c > 127 && (is_coded || !utf8)))
			return 0;
		text = slice_from(text, is_coded ? 3 : 1);
	}
	return decoded;
}

bool smtp_is_xtext(struct slice value)
{
	return xtext_bytes(value, false) > 0;
}

bool smtp_dsn_envid(struct slice value)
{
	size_t bytes = xtext_bytes(value, false);
	return bytes > 0 && bytes <= ENVID_BYTES_MAX;
}

/* addr-type: an atom */
static bool is_type(struct slice text)
{
	for (size_t i = 0; i < text.bytes; i++) {
		if (!g_ascii_isalnum(text.start[i]) && text.start[i] != '-')
			return false;
	}
	return text.bytes > 0;
}

bool smtp_dsn_orcpt(struct slice value, bool utf8)
{
	const char *semicolon =
		value.bytes ? memchr(value.start, ';', value.bytes) : NULL;
	if (!semicolon || value.bytes > ORCPT_BYTES_MAX)
		return false;
	struct slice type = { value.start, (size_t)(semicolon - value.start) };
	struct slice address = slice_from(value, type.bytes + 1);
	return is_type(type) && xtext_bytes(address, utf8 && slice_is(type, "utf-8")) > 0;
}
