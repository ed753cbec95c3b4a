/* Well-formed UTF-8, as PostgreSQL takes it: no surrogates, no overlong forms, at most U+10FFFF. */
#pragma once
#include <stddef.h>

/* The bytes of the character that begins text, of which n_left (at least 1) bytes are there; 0 if
 * none does. */
size_t utf8_character(const char *text, size_t n_left);

/* How many bytes from the start are whole, well-formed characters, at most limit of them. */
size_t utf8_prefix(const char *bytes, size_t n_bytes, size_t limit);
