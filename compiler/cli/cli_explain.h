/* cli_explain.h: a compilation seen layer by layer: what the table, the JSON and the picture of
 * `tlc explain` share.  A layer is a node with parameters; a batch norm right behind a
 * convolution belongs to it. */
#ifndef TLC_CLI_EXPLAIN_H
#define TLC_CLI_EXPLAIN_H

#include "cli.h"
#include "draw_canvas.h"

typedef struct tlc_layer {
    const char *key, *bn_key;   /* labels of node and batch norm in the model; bn_key NULL: none */
    const char *shown;          /* the name, escaped */
    tlc_value **params;
    size_t n_params, cap_params;
    bool trained;
    const char *because;        /* "before /layer4" */
    const char *bn;             /* "folded", "running", "batch"; "" none */
    const char *kernel;         /* as the compile report calls it; "" */
    bool in_features;           /* in the cached prefix */
    int out_id;                 /* of its result, past dce */
    int64_t forward, backward;  /* multiply-adds a picture */
    int64_t kept;               /* bytes a picture that backward reads */
} tlc_layer;

typedef struct tlc_explained {
    tlc_ctx *ctx;
    tlc_compilation c;
    tlc_layer *layers;
    size_t n, cap, hint;        /* hint: where the last search ended */
    int64_t forward_step, backward_step; /* multiply-adds of @step, a picture */
} tlc_explained;

/* Compile a->inputs[0] with x->c.options and look at it; x->ctx and the options are set before. */
TLC_MUST_USE tlc_status tlc_explain_build(const tlb_args *a, tlc_explained *x);

/* The parts of a name between '/' and '.' that make the last frozen block, in *io_len bytes of the
 * name returned: "/layer3".  NULL: nothing is frozen, or nothing is trained. */
const char *tlc_explain_block(const tlc_explained *x, size_t *out_len);
bool tlc_explain_in_block(const tlc_layer *l, const char *block, size_t len);

/* Offsets over the schedule, 1600x900; NULL as in draw_pictures.h. */
tlr_canvas *tlc_explain_draw(tlc_explained *x);

#endif
