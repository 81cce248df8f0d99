/* Reads "d.ddd.ddd". What a code means is its users' matter. */
#include "gateway/enhanced_code.h"

#include <glib.h>
#include <string.h>

#define DIGITS_MAX 3
#define MARKS      ":;,"

/* Octets of the number at the head of text, 0 if there is none: no leading zeros. */
static size_t parse_number(const char *text, unsigned *number)
{
	size_t digits = strspn(text, "0123456789");
	if (digits == 0 || digits > DIGITS_MAX || (*text == '0' && digits > 1))
		return 0;
	*number = 0;
	for (size_t i = 0; i < digits; i++)
		*number = *number * 10 + (unsigned)(text[i] - '0');
	return digits;
}

bool enhanced_code_parse(const char *text, struct enhanced_code *code)
{
	unsigned numbers[3] = { 0 };
	size_t at = 0;
	*code = (struct enhanced_code){ 0 };
	for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
		if (i > 0 && text[at++] != '.')
			return false;
		size_t digits = parse_number(text + at, &numbers[i]);
		if (digits == 0)
			return false;
		at += digits;
	}
	bool is_class = numbers[0] == 2 || numbers[0] == 4 || numbers[0] == 5;
	bool ends = !text[at] || g_ascii_isspace(text[at]) || strchr(MARKS, text[at]);
	if (!is_class || !ends)
		return false;
	*code = (struct enhanced_code){ numbers[0], numbers[1], numbers[2], at };
	return true;
}

const char *enhanced_code_skip(const char *text)
{
	struct enhanced_code code;
	if (!enhanced_code_parse(text, &code))
		return text;
	text += code.bytes;
	return text + strspn(text, " " MARKS);
}
