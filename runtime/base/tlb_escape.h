/* tlb_escape.h: text from files and users, made safe to print.
 *
 * `\\ \" \n \r \t`; other bytes below 0x20, 0x7f and bytes that are no UTF-8: `\xHH`;
 * invisible and direction-changing code points (U+0080-009F, 00AD, 061C, 200B-200F,
 * 2028-202E, 2060-206F, FEFF, E0000-E007F): `\u{HEX}`.
 */
#ifndef TLB_ESCAPE_H
#define TLB_ESCAPE_H

#include <stddef.h>

/* Enough for any result of tlb_escape_name, its NUL included: every kept byte grows at most
 * to four, "..." and "(N bytes)" besides. */
enum { TLB_ESCAPED_NAME_BYTES = 80 * 4 + 48 };

/* Escape `len` bytes into out[cap], always NUL-terminated; returns the length.  The text is
 * cut before the escape that would not fit. */
size_t tlb_escape(char *out, size_t cap, const char *bytes, size_t len);

/* The same for a name: over 80 bytes its first 48 and last 24 (whole code points) with `...`
 * between and ` (N bytes)` after. */
size_t tlb_escape_name(char *out, size_t cap, const char *bytes, size_t len);

/* A path as one word of a POSIX shell, for commands that messages suggest: plain ones as they
 * are, others in '...'; where a terminal would act on a byte, in $'...' with octal escapes.  Cut
 * where out[cap] ends.  Returns out. */
char *tlb_shell_quote(char *out, size_t cap, const char *path);

#endif
