/* lex.c: tokens of the IR text form.
 *
 * One pass, no recursion; every token is bounded by the text that is there.  Bytes outside of
 * strings and comments must be ASCII, those inside UTF-8; a NUL is an error anywhere.
 */
#include "lex.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Longer numbers than any that the printer writes are refused before strtod sees them. */
enum { LONGEST_NUMBER = 400 };

tlc_lexer tlc_lexer_make(tlc_ctx *ctx, const char *text, size_t len)
{
    return (tlc_lexer){
        .ctx = ctx, .text = text, .end = text + len, .at = text, .line_start = text, .line = 1,
    };
}

/* --- places and messages --------------------------------------------------------- */

static int column_of(const tlc_lexer *l, const char *p)
{
    return (int)(p - l->line_start) + 1;
}

void tlc_lex_at(tlc_lexer *l)
{
    tlc_at(l->ctx, "%d:%d", l->token.line, l->token.column);
}

static tlc_status bad_byte(tlc_lexer *l, const char *p)
{
    tlc_at(l->ctx, "%d:%d", l->line, column_of(l, p));
    return tlc_fail(l->ctx, TLC_E_MALFORMED, "E_BYTE", "byte 0x%02x is no text here",
                    (unsigned char)*p);
}

tlc_status tlc_lex_expected(tlc_lexer *l, const char *what)
{
    const tlc_token *t = &l->token;
    tlc_lex_at(l);
    if (t->kind == TLC_TOKEN_END)
        return tlc_fail(l->ctx, TLC_E_MALFORMED, "E_SYNTAX", "expected %s, found the end", what);
    return tlc_fail(l->ctx, TLC_E_MALFORMED, "E_SYNTAX", "expected %s, found %s", what,
                    tlc_quote(l->ctx, t->text, t->len));
}

static tlc_status out_of_range(tlc_lexer *l)
{
    tlc_lex_at(l);
    return tlc_fail(l->ctx, TLC_E_MALFORMED, "E_RANGE", "number %s is out of range",
                    tlc_quote(l->ctx, l->token.text, l->token.len));
}

/* --- characters -------------------------------------------------------------------- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_word(char c)
{
    return is_word_start(c) || is_digit(c);
}

static bool is_name(char c)
{
    return is_word(c) || c == '.' || c == '$' || c == '/' || c == ':' || c == '-';
}

/* Length of the UTF-8 sequence at `p`, 0 if it is none (overlong, surrogate, cut). */
static size_t utf8_length(const char *p, const char *end)
{
    unsigned char lead = (unsigned char)*p;
    if (lead < 0x80)
        return lead ? 1 : 0;
    size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || (size_t)(end - p) < n)
        return 0;
    for (size_t i = 1; i < n; ++i)
        if (((unsigned char)p[i] & 0xc0) != 0x80)
            return 0;
    unsigned char second = (unsigned char)p[1];
    bool bad = (lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
               (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f);
    return bad ? 0 : n;
}

static void new_line(tlc_lexer *l, const char *newline)
{
    ++l->line;
    l->line_start = newline + 1;
}

static tlc_status skip_comment(tlc_lexer *l)
{
    while (l->at < l->end && *l->at != '\n') {
        size_t n = utf8_length(l->at, l->end);
        if (n == 0)
            return bad_byte(l, l->at);
        l->at += n;
    }
    return TLC_OK;
}

static tlc_status skip_space(tlc_lexer *l)
{
    for (; l->at < l->end; ++l->at) {
        if (*l->at == '/' && l->end - l->at > 1 && l->at[1] == '/') {
            TLC_TRY(skip_comment(l));
            if (l->at == l->end)
                return TLC_OK;
        }
        if (*l->at == '\n')
            new_line(l, l->at);
        else if (*l->at != ' ' && *l->at != '\t' && *l->at != '\r')
            return TLC_OK;
    }
    return TLC_OK;
}

/* --- strings ------------------------------------------------------------------------ */

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static char *put_utf8(char *out, unsigned long code)
{
    if (code < 0x80) {
        *out++ = (char)code;
        return out;
    }
    int trailing = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char leads[] = { 0, 0xc0, 0xe0, 0xf0 };
    *out++ = (char)(leads[trailing] | code >> 6 * trailing);
    while (trailing-- > 0)
        *out++ = (char)(0x80 | (code >> 6 * trailing & 0x3f));
    return out;
}

/* `{HEX}` at *at, which moves behind it; 0: none. */
static unsigned long read_code_point(const char **at, const char *end)
{
    const char *p = *at;
    unsigned long code = 0;
    if (p == end || *p++ != '{')
        return 0;
    for (; p < end && hex_digit(*p) >= 0 && code < 0x110000; ++p)
        code = code * 16 + (unsigned)hex_digit(*p);
    if (p == end || *p != '}' || code >= 0x110000 || (code >= 0xd800 && code < 0xe000))
        return 0;
    *at = p + 1;
    return code;
}

/* The escape after a backslash at l->at; NULL: none that there is.  Never yields a NUL byte. */
static char *read_escape(tlc_lexer *l, char *out)
{
    static const char names[] = "\\\"nrt", bytes[] = "\\\"\n\r\t";
    if (l->at == l->end)
        return NULL;
    char c = *l->at++;
    const char *simple = c ? strchr(names, c) : NULL;
    if (simple) {
        *out++ = bytes[simple - names];
        return out;
    }
    if (c == 'x' && l->end - l->at >= 2) {
        int high = hex_digit(l->at[0]), low = hex_digit(l->at[1]);
        l->at += 2;
        if (high < 0 || low < 0 || high * 16 + low == 0)
            return NULL;
        *out++ = (char)(high * 16 + low);
        return out;
    }
    unsigned long code = c == 'u' ? read_code_point(&l->at, l->end) : 0;
    return code ? put_utf8(out, code) : NULL;
}

/* A string whose opening quote is at l->at, into the token. */
static tlc_status lex_string(tlc_lexer *l)
{
    const char *close = ++l->at;
    while (close < l->end && *close != '"' && *close != '\n')
        close += *close == '\\' && l->end - close > 1 ? 2 : 1;
    /* No escape is longer than what it stands for. */
    char *text = tlc_arena_alloc(&l->ctx->arena, (size_t)(close - l->at) + 1), *out = text;
    while (l->at < l->end && *l->at != '"') {
        const char *p = l->at;
        size_t n = utf8_length(p, l->end);
        if (n == 0 || *p == '\n')
            return bad_byte(l, p);
        l->at += n;
        if (*p == '\\') {
            out = read_escape(l, out);
            if (!out)
                return bad_byte(l, p);
        } else {
            memcpy(out, p, n);
            out += n;
        }
    }
    l->token.text = text;
    l->token.len = (size_t)(out - text);
    if (l->at == l->end)
        return tlc_lex_expected(l, "closing \"");
    ++l->at;
    return TLC_OK;
}

/* --- tokens --------------------------------------------------------------------------- */

static tlc_status check_name(tlc_lexer *l)
{
    int64_t limit = l->ctx->limits.max[TLB_LIMIT_NAME];
    tlc_lex_at(l);
    if ((int64_t)l->token.len > limit)
        return tlc_fail(l->ctx, TLC_E_LIMIT, "E_LIMIT_NAME",
                        "name of %zu bytes, limit name is %lld", l->token.len,
                        (long long)limit);
    return TLC_OK;
}

/* A plain name may hold ':' but not end in it, so that `%x: f32[n]` reads as it looks. */
static void lex_plain_name(tlc_lexer *l)
{
    const char *start = l->at;
    bool digits = true;
    while (l->at < l->end && is_name(*l->at))
        ++l->at;
    while (l->at > start && l->at[-1] == ':')
        --l->at;
    for (const char *p = start; p < l->at; ++p)
        digits = digits && is_digit(*p);
    l->token.text = tlc_arena_strndup(&l->ctx->arena, start, (size_t)(l->at - start));
    l->token.len = (size_t)(l->at - start);
    l->token.is_number = digits;
}

static tlc_status lex_value(tlc_lexer *l)
{
    ++l->at;
    l->token.kind = TLC_TOKEN_VALUE;
    if (l->at < l->end && *l->at == '"') {
        TLC_TRY(lex_string(l));
        return check_name(l);
    }
    lex_plain_name(l);
    if (l->token.len == 0)
        return tlc_lex_expected(l, "a name after %");
    return check_name(l);
}

static void lex_while(tlc_lexer *l, tlc_token_kind kind, bool (*belongs)(char))
{
    const char *start = l->at;
    while (l->at < l->end && belongs(*l->at))
        ++l->at;
    l->token.kind = kind;
    l->token.text = start;
    l->token.len = (size_t)(l->at - start);
}

static tlc_status lex_func(tlc_lexer *l)
{
    ++l->at;
    lex_while(l, TLC_TOKEN_FUNC, is_word);
    if (l->token.len == 0 || is_digit(l->token.text[0]))
        return tlc_lex_expected(l, "a function's name after @");
    return check_name(l);
}

/* [-] digits [. digits] [e [sign] digits]; strtod has the last word. */
static void lex_number(tlc_lexer *l)
{
    const char *start = l->at++;
    while (l->at < l->end) {
        bool exponent = l->at[-1] == 'e' || l->at[-1] == 'E';
        char c = *l->at;
        if (!is_digit(c) && c != '.' && c != 'e' && c != 'E' &&
            !(exponent && (c == '+' || c == '-')))
            break;
        ++l->at;
    }
    l->token.kind = TLC_TOKEN_NUMBER;
    l->token.text = start;
    l->token.len = (size_t)(l->at - start);
}

static bool starts_with(const tlc_lexer *l, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(l->end - l->at) >= n && memcmp(l->at, text, n) == 0;
}

static void lex_mark(tlc_lexer *l, tlc_token_kind kind, size_t len)
{
    l->token.kind = kind;
    l->token.text = l->at;
    l->token.len = len;
    l->at += len;
}

tlc_status tlc_lex(tlc_lexer *l)
{
    const char *before = l->at;
    TLC_TRY(skip_space(l));
    l->token = (tlc_token){ .kind = TLC_TOKEN_END, .text = l->at, .touches = l->at == before,
                            .line = l->line, .column = column_of(l, l->at) };
    if (l->at == l->end)
        return TLC_OK;
    char c = *l->at;
    if (c == '%')
        return lex_value(l);
    if (c == '@')
        return lex_func(l);
    if (c == '"') {
        l->token.kind = TLC_TOKEN_STRING;
        return lex_string(l);
    }
    if (is_word_start(c))
        lex_while(l, TLC_TOKEN_WORD, is_word);
    else if (starts_with(l, "->"))
        lex_mark(l, TLC_TOKEN_MARK, 2);
    else if (starts_with(l, "-inf"))
        lex_mark(l, TLC_TOKEN_NUMBER, 4);
    else if (is_digit(c) || c == '-')
        lex_number(l);
    else if (c > ' ' && c < 0x7f)
        lex_mark(l, TLC_TOKEN_MARK, 1);
    else
        return bad_byte(l, l->at);
    return TLC_OK;
}

/* --- what the parser asks for ------------------------------------------------------- */

bool tlc_lex_is(const tlc_lexer *l, tlc_token_kind kind, const char *text)
{
    const tlc_token *t = &l->token;
    return t->kind == kind && t->len == strlen(text) && memcmp(t->text, text, t->len) == 0;
}

tlc_status tlc_lex_skip(tlc_lexer *l, const char *text, bool *out)
{
    *out = tlc_lex_is(l, TLC_TOKEN_WORD, text) || tlc_lex_is(l, TLC_TOKEN_MARK, text);
    return *out ? tlc_lex(l) : TLC_OK;
}

tlc_status tlc_lex_take(tlc_lexer *l, const char *text)
{
    bool found;
    TLC_TRY(tlc_lex_skip(l, text, &found));
    if (found)
        return TLC_OK;
    return tlc_lex_expected(l, tlc_arena_printf(&l->ctx->arena, "\"%s\"", text));
}

tlc_status tlc_lex_int(tlc_lexer *l, int64_t *out)
{
    const tlc_token *t = &l->token;
    bool negative = t->len > 1 && t->text[0] == '-';
    int64_t x = 0;
    if (t->kind != TLC_TOKEN_NUMBER)
        return tlc_lex_expected(l, "an integer");
    for (size_t i = negative; i < t->len; ++i) {
        int64_t digit = t->text[i] - '0';
        if (!is_digit(t->text[i]))
            return tlc_lex_expected(l, "an integer");
        if (__builtin_mul_overflow(x, 10, &x) ||
            __builtin_add_overflow(x, negative ? -digit : digit, &x))
            return out_of_range(l);
    }
    *out = x;
    return tlc_lex(l);
}

/* The current token as a NUL-terminated number in buf; "inf" and "nan" are words. */
static tlc_status number_text(tlc_lexer *l, char buf[LONGEST_NUMBER + 1])
{
    const tlc_token *t = &l->token;
    bool word = tlc_lex_is(l, TLC_TOKEN_WORD, "inf") || tlc_lex_is(l, TLC_TOKEN_WORD, "nan");
    if (t->kind != TLC_TOKEN_NUMBER && !word)
        return tlc_lex_expected(l, "a number");
    if (t->len > LONGEST_NUMBER)
        return out_of_range(l);
    memcpy(buf, t->text, t->len);
    buf[t->len] = '\0';
    return TLC_OK;
}

/* A finite text must give a finite number and be read to its end. */
static tlc_status check_number(tlc_lexer *l, double x, const char *end)
{
    if (*end)
        return tlc_lex_expected(l, "a number");
    if (isinf(x) && l->token.text[l->token.len - 1] != 'f')
        return out_of_range(l);
    return tlc_lex(l);
}

tlc_status tlc_lex_double(tlc_lexer *l, double *out)
{
    char buf[LONGEST_NUMBER + 1], *end;
    TLC_TRY(number_text(l, buf));
    *out = strtod(buf, &end);
    return check_number(l, *out, end);
}

tlc_status tlc_lex_float(tlc_lexer *l, float *out)
{
    char buf[LONGEST_NUMBER + 1], *end;
    TLC_TRY(number_text(l, buf));
    *out = strtof(buf, &end);
    return check_number(l, (double)*out, end);
}

tlc_status tlc_lex_string(tlc_lexer *l, const char **out, size_t *out_len)
{
    if (l->token.kind != TLC_TOKEN_STRING)
        return tlc_lex_expected(l, "a string");
    *out = l->token.text;
    *out_len = l->token.len;
    return tlc_lex(l);
}
