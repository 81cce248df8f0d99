/*
 * template_html - whether a template is HTML that can be put into any body, and each of
 * its tags where what is filled in is safe.
 *
 * What is filled in is replaced by one letter and sections are looked through, so that
 * what is checked is cut into tags and text as everything that is filled in will be.
 *
 * Private to mime/. Pure.
 */
#ifndef MIME_TEMPLATE_HTML_H
#define MIME_TEMPLATE_HTML_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

struct template_html;

struct template_html *template_html_new(void);

/* In reading order; line is where a tag stands. */
void template_html_add_text(struct template_html *html, const char *text, size_t length);
void template_html_add_field(struct template_html *html, bool is_url, size_t line);
void template_html_add_section(struct template_html *html, bool opens, size_t line);

/* False with MIME_ERROR_CONTENT and *line when it is unsound. */
bool template_html_check(const struct template_html *html, size_t *line, GError **error);

void template_html_free(struct template_html **html); /* NULL is taken */

#endif
