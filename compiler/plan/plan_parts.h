/* plan_parts.h: what the files of plan/ share, and the picture of `tlc explain` with them. */
#ifndef TLC_PLAN_PARTS_H
#define TLC_PLAN_PARTS_H

#include "plan.h"

enum { TLC_PLAN_ALIGN = 64 }; /* a cache line; the widest vector */

/* The buffers of one function, and which of them each value lies in. */
typedef struct tlc_lives {
    tlc_buffer *buffer;
    bool *grows;   /* by buffer: grows with the batch (region act), else fixed (fix) */
    size_t n, cap, cap_grows;
    int *of_value; /* by value id: index of its buffer; -1: none, a global or of another function */
} tlc_lives;

/**
 * Lifetimes of the values of `f`: from the node that defines a value to the last that reads it.
 *
 * Inputs live from before the first node (-1), returned values past the last (n_nodes).  A view
 * shares its operand's buffer; so does the result of an operator that may work in place, where the
 * operand dies at that node and both lie alike.
 *
 * The first `opening` nodes run over a few pictures at a time: what lives in there alone is of
 * fixed size, and what comes in or goes out lives through all of them.
 *
 * in_place  false: every result gets its own buffer.
 * keep      true: everything lives to the end.
 */
void tlc_plan_lives(tlc_arena *arena, const tlc_func *f, int opening, bool in_place, bool keep,
                    tlc_lives *out);

#endif
