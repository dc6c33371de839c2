/* parse.h: the parts of the parser: types and globals, attributes, functions. */
#ifndef TLC_PARSE_H
#define TLC_PARSE_H

#include "lex.h"
#include "scope.h"
#include "text_parts.h"

typedef struct tlc_parser {
    tlc_ctx *ctx;
    tlc_lexer lex;
    const char *base_dir;  /* of data files; NULL: none may be named */
    tlc_module *m;
    tlc_scope globals, locals, funcs;
    int64_t n_nodes;
    int64_t weight_bytes;  /* of constants and parameters so far */
} tlc_parser;

/* parse.c: errors at the current token, and a value of a scope. */
tlc_status tlc_parse_fail(tlc_parser *p, const char *id, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Consume `; "name"` if it is there, else *out is NULL. */
TLC_MUST_USE tlc_status tlc_parse_origin(tlc_parser *p, const char **out);
/* Hold the current token's name against those defined; the token stays. */
TLC_MUST_USE tlc_status tlc_parse_fresh(tlc_parser *p, tlc_name *out);
/* Over the limit `which` with `count`? */
TLC_MUST_USE tlc_status tlc_parse_limit(tlc_parser *p, tlb_limit which, int64_t count);

/* parse_global.c: a type with layout into v->type, shape, layout; and a whole global. */
TLC_MUST_USE tlc_status tlc_parse_element_type(tlc_parser *p, tlc_type *out);
TLC_MUST_USE tlc_status tlc_parse_type(tlc_parser *p, tlc_value *v);
TLC_MUST_USE tlc_status tlc_parse_global(tlc_parser *p, tlc_value_kind kind);

/* parse_attrs.c: `{name=value, ...}` if it is there, into `attrs` of `op`. */
TLC_MUST_USE tlc_status tlc_parse_attrs(tlc_parser *p, tlc_op op, void *attrs);

#endif
