/* pass_util.h: what several passes share: rewriting in one sweep, pruning, names, cloning. */
#ifndef TLC_PASS_UTIL_H
#define TLC_PASS_UTIL_H

#include "pass.h"

/* --- rewriting a function in one forward walk -------------------------------
 *
 * A pass visits nodes in order and first brings a node's operands up to date
 * (tlc_rewrite_visit), so that patterns are matched on what has been rewritten before it.
 * Use counts are kept right at every step; nodes given up go when the rewrite ends, so the
 * list is never changed under the walk.  Time is linear in nodes plus rewrites. */
typedef struct tlc_rewrite {
    tlc_func *func;
    tlc_value **map; /* by value id: what stands for it now; NULL: itself */
    int *uses;       /* by value id */
    int cap;         /* entries of both */
    tlc_node **dead;
    size_t n_dead, cap_dead;
} tlc_rewrite;

tlc_rewrite tlc_rewrite_begin(tlc_func *f);
void tlc_rewrite_visit(tlc_rewrite *rw, tlc_node *n);
int tlc_rewrite_uses(tlc_rewrite *rw, const tlc_value *v);
/* Read `v` as operand `i` of `n`; either may be NULL. */
void tlc_rewrite_operand(tlc_rewrite *rw, tlc_node *n, int i, tlc_value *v);
/* Every reader of `from` reads `to` from now on. */
void tlc_rewrite_value(tlc_rewrite *rw, tlc_value *from, tlc_value *to);
/* A node before `before` whose operands are counted as read; attributes and inference are
 * the caller's. */
tlc_node *tlc_rewrite_add(tlc_rewrite *rw, tlc_node *before, tlc_op op, const char *name,
                          tlc_value *const *in, int n_in);
/* Give `n` up: its results have no readers any more. */
void tlc_rewrite_drop(tlc_rewrite *rw, tlc_node *n);
void tlc_rewrite_end(tlc_rewrite *rw);

/* --- pruning ----------------------------------------------------------------- */

/* Remove the nodes that neither a return nor a write needs. */
void tlc_func_prune(tlc_func *f);
/* By value id: does any function of `m` read it?  Array of module->n_values. */
bool *tlc_module_reads(const tlc_module *m);
/* Remove globals that nothing reads. */
void tlc_globals_prune(tlc_module *m);

/* --- questions ---------------------------------------------------------------- */

/* The one operand of `n` that is no global; NULL: none, or more than one. */
tlc_value *tlc_single_operand(const tlc_node *n);
/* May `n` stand in a classifier: linear, softmax, elementwise or a view, of one value? */
bool tlc_is_head_op(const tlc_node *n);
/* Constant or parameter whose bytes are known. */
bool tlc_has_data(const tlc_value *v);
bool tlc_is_const_data(const tlc_value *v);

/* --- names -------------------------------------------------------------------- */

/* `name` without the ending `.suffix`; NULL where it has none or nothing before it. */
const char *tlc_name_stem(tlc_ctx *ctx, const char *name, const char *suffix);
/* `name` escaped and shortened for reports, without quotes. */
const char *tlc_escaped(tlc_ctx *ctx, const char *name);
/* The node that a user means by `name`: its raw or escaped name, else the first node
 * below it ("/layer4" means "/layer4/layer4.0/conv1/Conv").  NULL: none. */
tlc_node *tlc_node_by_name(tlc_func *f, const char *name);
/* Set WHERE of diagnostics to the node's name, or its operator where it has none. */
void tlc_at_node(tlc_ctx *ctx, const tlc_node *n);

/* --- building ------------------------------------------------------------------ */

/* A copy of global `v` under another shape of as many elements; the bytes are shared. */
tlc_value *tlc_global_reshaped(tlc_module *m, const tlc_value *v, tlc_shape shape);
/* Append a copy of `n` to `f`, operands taken through map[id] where it has an entry, and
 * enter the copy's results into the map. */
TLC_MUST_USE tlc_status tlc_node_clone(tlc_ctx *ctx, tlc_func *f, const tlc_node *n,
                                       tlc_value **map);

/* --- precision ------------------------------------------------------------------ */

/* Turn every f32 value of `m` into f64.  Bytes of globals stay as they are
 * (value->data_type); whoever writes them converts. */
void tlc_module_to_f64(tlc_module *m);

#endif
