/* opening.c: how many of a function's first nodes go over a few pictures at a time.
 *
 * Where planes are large, what a node writes for a whole batch has left the cache before the next
 * one reads it.  Over a few pictures it has not; but then weights are read again for each few.  So
 * the opening ends where the bytes of activations, less those of weights, have summed up to most.
 * It goes by bytes of one picture alone: a plan is the same for every batch.
 */
#include "plan_parts.h"

#include <string.h>

enum { WORTH_BYTES = 16 << 20 };

/* Bytes of a picture that a node moves, less those of the globals it reads. */
static int64_t gain(const tlc_node *n)
{
    int64_t bytes = 0;
    for (int i = 0; i < n->n_in; ++i)
        if (n->in[i])
            bytes += tlc_is_global(n->in[i]) ? -tlc_value_bytes(n->in[i])
                                             : tlc_value_bytes(n->in[i]);
    for (int i = 0; i < n->n_out; ++i)
        bytes += tlc_value_bytes(n->out[i]);
    return bytes;
}

/* Does every result of the node belong to a picture? */
static bool is_of_pictures(const tlc_node *n)
{
    for (int i = 0; i < n->n_out; ++i)
        if (!tlc_shape_has_n(&n->out[i]->shape))
            return false;
    return n->n_out > 0 && !tlc_op_has(n->op, TLC_T_WRITES);
}

static bool runs_forward(const tlc_func *f)
{
    static const char *const names[] = { "features", "head", "forward" };
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        if (strcmp(f->name, names[i]) == 0)
            return true;
    return false;
}

int tlc_plan_opening(const tlc_func *f, const tlc_options *o)
{
    int64_t sum = 0, most = WORTH_BYTES - 1;
    int at = 0, end = 0;
    if (!runs_forward(f) || o->target != TLC_TARGET_CPU || o->keep_values || o->no_reuse)
        return 0;
    for (const tlc_node *n = f->first; n && is_of_pictures(n); n = n->next) {
        sum += tlc_kernel_is_alias(n) ? 0 : gain(n);
        ++at;
        if (sum > most) {
            most = sum;
            end = at;
        }
    }
    return end;
}
