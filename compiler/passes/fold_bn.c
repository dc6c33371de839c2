/* fold_bn.c: fold frozen batch norms into the convolutions before them.
 *
 *     y = (conv(x, w) + b - mean) * s + beta,   s = gamma / sqrt(variance + epsilon)
 *       =  conv(x, w * s) + ((b - mean) * s + beta)
 *
 * computed in double and rounded to float once.  It fires where the convolution has no other
 * reader and weight, bias and all four vectors are constant; any other batch norm stays an
 * operator.  The weight stays where it lies, in the mapped model as a rule, with factors beside it
 * that whoever reads it applies: a network's folded weights are too much to hold.  That
 * variance + epsilon is above 0 was checked when the node was made.  Under target ref none is
 * folded: that build is what others are held against, and folding rounds the weights.
 */
#include "pass_util.h"

#include <math.h>

enum { X, SCALE, BIAS, MEAN, VARIANCE }; /* operands of batch_norm */
enum { CONV_X, CONV_W, CONV_B, CONV_RESIDUAL };

static tlc_node *foldable_conv(tlc_rewrite *rw, const tlc_node *bn)
{
    tlc_node *c = bn->in[X]->def;
    if (!c || c->op != TLC_OP_CONV2D || tlc_rewrite_uses(rw, c->out[0]) != 1 ||
        TLC_ATTRS(c, tlc_conv2d_attrs)->act != TLC_ACT_NONE || !tlc_is_const_data(c->in[CONV_W]))
        return NULL;
    if ((c->n_in > CONV_B && c->in[CONV_B] && !tlc_is_const_data(c->in[CONV_B])) ||
        (c->n_in > CONV_RESIDUAL && c->in[CONV_RESIDUAL]))
        return NULL;
    for (int i = SCALE; i <= VARIANCE; ++i)
        if (!tlc_is_const_data(bn->in[i]))
            return NULL;
    return c;
}

static double scale_of(const tlc_node *bn, int64_t c)
{
    double epsilon = TLC_ATTRS(bn, tlc_batch_norm_attrs)->epsilon;
    return tlc_data_f64(bn->in[SCALE], c) / sqrt(tlc_data_f64(bn->in[VARIANCE], c) + epsilon);
}

static tlc_value *folded_weight(tlc_module *m, const tlc_value *w, const tlc_node *bn)
{
    int64_t channels = w->shape.dim[0], inner = tlc_shape_elems(&w->shape) / channels;
    double *scale = TLC_NEW_ARRAY(&m->ctx->arena, double, channels);
    for (int64_t c = 0; c < channels; ++c)
        scale[c] = scale_of(bn, c);
    if (w->data_type == TLC_F32 && !w->splat && !w->scale) {
        tlc_value *view = tlc_global_reshaped(m, w, w->shape);
        view->file = NULL;
        view->scale = scale;
        view->scale_run = inner;
        return view;
    }
    void *bytes;
    tlc_value *r = tlc_const_make(m, w->name, TLC_F32, w->shape, &bytes);
    for (int64_t i = 0; i < channels * inner; ++i)
        ((float *)bytes)[i] = (float)(tlc_data_f64(w, i) * scale[i / inner]);
    return r;
}

static const char *bias_name(tlc_ctx *ctx, const tlc_value *w, const tlc_value *b)
{
    if (b || !w->name)
        return b ? b->name : NULL;
    const char *stem = tlc_name_stem(ctx, w->name, "weight");
    return tlc_arena_printf(&ctx->arena, "%s.bias", stem ? stem : w->name);
}

static tlc_value *folded_bias(tlc_module *m, const tlc_value *w, const tlc_value *b,
                              const tlc_node *bn)
{
    void *bytes;
    int64_t channels = w->shape.dim[0];
    tlc_value *r = tlc_const_make(m, bias_name(m->ctx, w, b), TLC_F32,
                                  tlc_shape_make(1, &channels), &bytes);
    float *to = bytes;
    for (int64_t c = 0; c < channels; ++c) {
        double bias = b ? tlc_data_f64(b, c) : 0;
        to[c] = (float)((bias - tlc_data_f64(bn->in[MEAN], c)) * scale_of(bn, c) +
                        tlc_data_f64(bn->in[BIAS], c));
    }
    return r;
}

/* The convolution takes the batch norm's place in the list and its result's name. */
static tlc_status fold(tlc_ctx *ctx, tlc_rewrite *rw, tlc_node *bn, tlc_node *conv)
{
    tlc_module *m = rw->func->module;
    tlc_value *b = conv->n_in > CONV_B ? conv->in[CONV_B] : NULL;
    tlc_value *in[] = {
        conv->in[CONV_X],
        folded_weight(m, conv->in[CONV_W], bn),
        folded_bias(m, conv->in[CONV_W], b, bn),
    };
    tlc_node *c = tlc_rewrite_add(rw, bn, TLC_OP_CONV2D, conv->name, in, 3);
    *TLC_ATTRS(c, tlc_conv2d_attrs) = *TLC_ATTRS(conv, tlc_conv2d_attrs);
    TLC_TRY(tlc_node_infer(ctx, c));
    c->out[0]->name = bn->out[0]->name;
    tlc_rewrite_drop(rw, conv);
    tlc_rewrite_value(rw, bn->out[0], c->out[0]);
    tlc_rewrite_drop(rw, bn);
    return TLC_OK;
}

static tlc_status fold_func(tlc_ctx *ctx, tlc_func *f, tlc_pass_env *env)
{
    bool exact = env->options->target == TLC_TARGET_REF;
    tlc_rewrite rw = tlc_rewrite_begin(f);
    for (tlc_node *n = f->first; n; n = n->next) {
        tlc_rewrite_visit(&rw, n);
        if (n->op != TLC_OP_BATCH_NORM)
            continue;
        tlc_at_node(ctx, n);
        tlc_node *conv = exact ? NULL : foldable_conv(&rw, n);
        if (!conv)
            continue;
        TLC_TRY(fold(ctx, &rw, n, conv));
        ++env->findings->bn_folded;
    }
    tlc_rewrite_end(&rw);
    return TLC_OK;
}

tlc_status tlc_pass_fold_bn(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    for (tlc_func *f = m->first_func; f; f = f->next)
        TLC_TRY(fold_func(ctx, f, env));
    tlc_globals_prune(m);
    return TLC_OK;
}
