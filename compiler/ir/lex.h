/* lex.h: tokens of the IR text form (docs/ir.md). */
#ifndef TLC_LEX_H
#define TLC_LEX_H

#include "ctx.h"

typedef enum tlc_token_kind {
    TLC_TOKEN_END,
    TLC_TOKEN_WORD,   /* keyword, operator, attribute; `_` */
    TLC_TOKEN_NUMBER, /* digits, perhaps sign, fraction, exponent; -inf */
    TLC_TOKEN_STRING, /* text: unescaped bytes */
    TLC_TOKEN_VALUE,  /* %name, %"name", %12; text: without the mark, unescaped */
    TLC_TOKEN_FUNC,   /* @name; text: without the mark */
    TLC_TOKEN_MARK    /* one character, or -> */
} tlc_token_kind;

typedef struct tlc_token {
    tlc_token_kind kind;
    const char *text; /* in the source or the arena; not NUL-terminated unless STRING or VALUE */
    size_t len;
    bool is_number;   /* VALUE: only digits, not quoted */
    bool touches;     /* no space before it */
    int line, column; /* from 1; columns are bytes */
} tlc_token;

typedef struct tlc_lexer {
    tlc_ctx *ctx;
    const char *text, *end, *at;
    const char *line_start;
    int line;
    tlc_token token; /* the current one */
} tlc_lexer;

tlc_lexer tlc_lexer_make(tlc_ctx *ctx, const char *text, size_t len);
/* Read the next token.  fails E_MALFORMED "byte", "expected"; E_LIMIT a long name. */
TLC_MUST_USE tlc_status tlc_lex(tlc_lexer *l);

/* Put the current token's place into WHERE. */
void tlc_lex_at(tlc_lexer *l);
/* "expected `what`, found ...", at the current token. */
tlc_status tlc_lex_expected(tlc_lexer *l, const char *what);
bool tlc_lex_is(const tlc_lexer *l, tlc_token_kind kind, const char *text);

/* Consume the word or mark `text`, or fail "expected". */
TLC_MUST_USE tlc_status tlc_lex_take(tlc_lexer *l, const char *text);
/* The same if it is there: *out says. */
TLC_MUST_USE tlc_status tlc_lex_skip(tlc_lexer *l, const char *text, bool *out);
/* Consume an integer or a number.  fails "expected", "out of range". */
TLC_MUST_USE tlc_status tlc_lex_int(tlc_lexer *l, int64_t *out);
TLC_MUST_USE tlc_status tlc_lex_double(tlc_lexer *l, double *out);
/* As the nearest float; a finite number beyond float's is out of range. */
TLC_MUST_USE tlc_status tlc_lex_float(tlc_lexer *l, float *out);
/* Consume a string; its bytes, NUL-terminated, are the arena's. */
TLC_MUST_USE tlc_status tlc_lex_string(tlc_lexer *l, const char **out, size_t *out_len);

#endif
