/* tlb_escape.c: one walk over code points; each is kept or replaced by an ASCII escape. */
#include "tlb_escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Length of the well-formed UTF-8 sequence at s (Unicode 15, table 3-7), 0 if there is none. */
static size_t decode_utf8(const unsigned char *s, size_t len, uint32_t *out)
{
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : s[0] >= 0xC2 ? 2 : 0;
    if (n == 0 || n > len || s[0] > 0xF4)
        return 0;
    uint32_t c = n == 1 ? s[0] : s[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; ++i) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3F);
    }
    if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF))
        return 0;
    *out = c;
    return n;
}

/* Invisible or direction-changing: a reader could not tell what the text is. */
static bool is_deceptive(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        { 0x80, 0x9F },     { 0xAD, 0xAD },     { 0x61C, 0x61C },     { 0x200B, 0x200F },
        { 0x2028, 0x202E }, { 0x2060, 0x206F }, { 0xFEFF, 0xFEFF },   { 0xE0000, 0xE007F },
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; ++i)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    return false;
}

/* Write the escaped form of the code point at s into text; returns bytes of s used. */
static size_t escape_one(char text[16], const unsigned char *s, size_t len)
{
    static const char named[] = "\\\\\"\"\nn\rr\tt";
    uint32_t c;
    size_t used = decode_utf8(s, len, &c);
    if (used == 0 || c < 0x20 || c == 0x7F || c == '\\' || c == '"') {
        for (const char *p = named; *p && used == 1; p += 2)
            if ((unsigned char)*p == c) {
                snprintf(text, 16, "\\%c", p[1]);
                return 1;
            }
        snprintf(text, 16, "\\x%02X", s[0]);
        return 1;
    }
    if (is_deceptive(c)) {
        snprintf(text, 16, "\\u{%X}", (unsigned)c);
    } else {
        memcpy(text, s, used);
        text[used] = '\0';
    }
    return used;
}

size_t tlb_escape(char *out, size_t cap, const char *bytes, size_t len)
{
    const unsigned char *s = (const unsigned char *)bytes;
    size_t at = 0;
    while (len) {
        char text[16];
        size_t used = escape_one(text, s, len), n = strlen(text);
        if (at + n + 1 > cap)
            break;
        memcpy(out + at, text, n);
        at += n;
        s += used;
        len -= used;
    }
    out[at] = '\0';
    return at;
}

/* The largest whole number of code points within `want` bytes from the front of s. */
static size_t head_bytes(const char *s, size_t want)
{
    while (want && ((unsigned char)s[want] & 0xC0) == 0x80)
        --want;
    return want;
}

size_t tlb_escape_name(char *out, size_t cap, const char *bytes, size_t len)
{
    enum { LONGEST = 80, HEAD = 48, TAIL = 24 };
    if (len <= LONGEST)
        return tlb_escape(out, cap, bytes, len);
    size_t head = head_bytes(bytes, HEAD), tail = TAIL;
    while (tail && ((unsigned char)bytes[len - tail] & 0xC0) == 0x80)
        --tail;
    size_t at = tlb_escape(out, cap, bytes, head);
    at += (size_t)snprintf(out + at, cap - at, "...");
    at += tlb_escape(out + at, cap - at, bytes + len - tail, tail);
    return at + (size_t)snprintf(out + at, cap - at, " (%zu bytes)", len);
}

/* --- shell words ---------------------------------------------------------------------- */

/* Would a terminal act on the code point at s?  *used: its bytes. */
static bool is_safe_to_print(const unsigned char *s, size_t len, size_t *used)
{
    uint32_t c = 0;
    *used = decode_utf8(s, len, &c);
    bool safe = *used > 0 && c >= 0x20 && c != 0x7F && !is_deceptive(c);
    if (*used == 0)
        *used = 1;
    return safe;
}

/* A code point within '...', or with `spelled` within $'...'; text holds 4 bytes a byte. */
static void quote_one(char text[20], const unsigned char *s, size_t used, bool safe, bool spelled)
{
    text[0] = '\0';
    if (*s == '\'' || (spelled && *s == '\\')) {
        snprintf(text, 20, spelled ? "\\%c" : "'\\''", *s);
    } else if (safe) {
        memcpy(text, s, used);
        text[used] = '\0';
    } else {
        for (size_t i = 0; i < used; ++i)
            snprintf(text + 4 * i, 20 - 4 * i, "\\%03o", s[i]);
    }
}

/* Append text where it and the closing quote fit. */
static bool append(char *out, size_t cap, size_t *at, const char *text)
{
    size_t n = strlen(text);
    if (*at + n + 2 > cap)
        return false;
    memcpy(out + *at, text, n + 1);
    *at += n;
    return true;
}

char *tlb_shell_quote(char *out, size_t cap, const char *path)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_./:-+,=@%";
    const unsigned char *s = (const unsigned char *)path;
    size_t len = strlen(path), at = 0, used;
    bool spelled = false;
    if (path[0] == '-') /* no option */
        append(out, cap, &at, "./");
    if (*path && path[strspn(path, plain)] == '\0') {
        snprintf(out + at, cap - at, "%s", path);
        return out;
    }
    for (size_t i = 0; i < len; i += used)
        spelled |= !is_safe_to_print(s + i, len - i, &used);
    append(out, cap, &at, spelled ? "$'" : "'");
    for (size_t i = 0; i < len; i += used) {
        char text[20];
        bool safe = is_safe_to_print(s + i, len - i, &used);
        quote_one(text, s + i, used, safe, spelled);
        if (!append(out, cap, &at, text))
            break;
    }
    out[at++] = '\'';
    out[at] = '\0';
    return out;
}
