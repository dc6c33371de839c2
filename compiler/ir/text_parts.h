/* text_parts.h: what printer, parser and verifier share. */
#ifndef TLC_TEXT_PARTS_H
#define TLC_TEXT_PARTS_H

#include "text.h"

enum { TLC_MOST_HALO = 255 };

/* Longest list of numbers that is printed inline; longer constants are hex. */
enum { TLC_INLINE_ELEMS = 64 };

/* May a value of this shape lie so?  Padded sizes then fit in 64 bits. */
bool tlc_layout_fits(const tlc_shape *s, const tlc_layout *l);

/* tlc_verify_module with broken rules reported as `code`. */
TLC_MUST_USE tlc_status tlc_verify_module_as(tlc_ctx *ctx, const tlc_module *m, tlc_status code);

/* Leading operands that a TLC_T_WRITES operator overwrites. */
int tlc_op_n_written(tlc_op op);

#endif
