/* cli_options.c: from the command line to the passes' options and the picture pipeline. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static tlc_status usage(tlc_ctx *ctx, tlb_option option, const char *text, const char *allowed)
{
    return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "--%s is %s, not %s", tlb_option_name(option),
                    tlc_quote_name(ctx, text), allowed);
}

/* Position of `text` in names; `count` when it is none of them. */
static int find_name(const char *const *names, int count, const char *text)
{
    int i = 0;
    while (i < count && strcmp(names[i], text) != 0)
        ++i;
    return i;
}

static const char *const targets[TLC_TARGET_COUNT] = { "cpu", "ref", "cuda" };
static const char *const precisions[TLC_PRECISION_COUNT] = { "fp32", "fp64", "tf32", "bf16" };

/* Every target computes in fp32; each other precision is one target's. */
static tlc_status check_precision(tlc_ctx *ctx, const tlc_options *o)
{
    tlc_target needs = o->precision == TLC_PRECISION_FP64 ? TLC_TARGET_REF : TLC_TARGET_CUDA;
    if (o->precision == TLC_PRECISION_FP32 || o->target == needs)
        return TLC_OK;
    return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "--precision %s needs --target %s",
                    precisions[o->precision], targets[needs]);
}

static tlc_status read_names(tlc_ctx *ctx, const tlb_args *a, tlc_options *o)
{
    static const char *const optimizers[] = { "adam", "adamw", "sgd" };
    static const char *const libraries[] = { "none", "openblas" };
    static const char *const policies[] = { "train", "frozen", "stats" }; /* train: the default */
    const char *text = tlb_text(a, TLB_OPT_OPTIMIZER);
    int i = find_name(optimizers, 3, text);
    if (i == 3)
        return usage(ctx, TLB_OPT_OPTIMIZER, text, "adam, adamw or sgd");
    o->optimizer = (tlc_optimizer)i;
    text = tlb_text(a, TLB_OPT_TARGET);
    i = find_name(targets, TLC_TARGET_COUNT, text);
    if (i == TLC_TARGET_COUNT)
        return usage(ctx, TLB_OPT_TARGET, text, "cpu, ref or cuda");
    o->target = (tlc_target)i;
    text = tlb_text(a, TLB_OPT_PRECISION);
    i = find_name(precisions, TLC_PRECISION_COUNT, text);
    if (i == TLC_PRECISION_COUNT)
        return usage(ctx, TLB_OPT_PRECISION, text, "fp32, fp64, tf32 or bf16");
    o->precision = (tlc_precision)i;
    text = tlb_text(a, TLB_OPT_BLAS);
    i = find_name(libraries, 2, text);
    if (i == 2)
        return usage(ctx, TLB_OPT_BLAS, text, "none or openblas");
    o->openblas = i == 1;
    text = tlb_text(a, TLB_OPT_BN);
    i = text ? find_name(policies, 3, text) : TLC_BN_DEFAULT;
    if (i == 3)
        return usage(ctx, TLB_OPT_BN, text, "frozen, stats or train");
    o->bn = (tlc_bn_policy)i;
    TLC_TRY(check_precision(ctx, o));
    if (o->openblas && o->target != TLC_TARGET_CPU)
        return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "--blas openblas needs --target cpu");
    if (o->nesterov && o->optimizer != TLC_SGD)
        return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "--nesterov needs --optimizer sgd");
    return TLC_OK;
}

static void read_freeze_rules(tlc_ctx *ctx, const tlb_args *a, tlc_options *o)
{
    tlc_freeze_rule *rules = TLC_NEW_ARRAY(&ctx->arena, tlc_freeze_rule, a->n_lists);
    for (int i = 0; i < a->n_lists; ++i) {
        tlb_option option = a->lists[i].option;
        if (option == TLB_OPT_FREEZE || option == TLB_OPT_UNFREEZE)
            rules[o->n_freeze_rules++] =
                (tlc_freeze_rule){ option == TLB_OPT_FREEZE, a->lists[i].text };
    }
    o->freeze_rules = rules;
}

tlc_status tlc_cli_options(tlc_ctx *ctx, const tlb_args *a, tlc_options *out)
{
    tlc_options o = {
        .replace_head = tlb_text(a, TLB_OPT_REPLACE_HEAD),
        .head = tlb_text(a, TLB_OPT_HEAD),
        .freeze_backbone = tlb_flag(a, TLB_OPT_FREEZE_BACKBONE),
        .freeze_until = tlb_text(a, TLB_OPT_FREEZE_UNTIL),
        .nesterov = tlb_flag(a, TLB_OPT_NESTEROV),
        .label_smoothing = tlb_num(a, TLB_OPT_LABEL_SMOOTHING),
        .batch = tlb_int(a, TLB_OPT_BATCH),
        .no_fuse = !tlb_flag(a, TLB_OPT_FUSE),
        .no_reuse = !tlb_flag(a, TLB_OPT_REUSE),
        .keep_gradients = tlb_flag(a, TLB_OPT_KEEP_GRADIENTS),
        .keep_values = tlb_flag(a, TLB_OPT_KEEP_VALUES),
    };
    read_freeze_rules(ctx, a, &o);
    TLC_TRY(read_names(ctx, a, &o));
    if (o.batch > ctx->limits.max[TLB_LIMIT_BATCH])
        return tlc_fail(ctx, TLC_E_LIMIT, "E_LIMIT_BATCH", "--batch is %lld, limit batch is %lld",
                        (long long)o.batch, (long long)ctx->limits.max[TLB_LIMIT_BATCH]);
    if (o.head && !o.replace_head)
        return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "--head needs --replace-head");
    o.train = o.replace_head || o.freeze_backbone || o.freeze_until || o.n_freeze_rules ||
              tlb_given(a, TLB_OPT_OPTIMIZER);
    *out = o;
    return TLC_OK;
}

/* --- pictures ---------------------------------------------------------------- */

/* "N" to N, N; "HxW" to H, W; *both tells which. */
static tlc_status read_size(tlc_ctx *ctx, tlb_option option, const char *text, int *h, int *w,
                            bool *both)
{
    char *end;
    long a = strtol(text, &end, 10), b = a;
    *both = *end == 'x';
    if (*both)
        b = strtol(end + 1, &end, 10);
    if (*end || a < 1 || b < 1 || a > ctx->limits.max[TLB_LIMIT_SIDE] ||
        b > ctx->limits.max[TLB_LIMIT_SIDE])
        return usage(ctx, option, text, "a size such as 256 or 240x320");
    *h = (int)a;
    *w = (int)b;
    return TLC_OK;
}

/* One number for all three channels, or three. */
static tlc_status read_channels(tlc_ctx *ctx, tlb_option option, const char *text, bool positive,
                                float out[3])
{
    const char *s = text;
    int n = 0;
    for (;;) {
        char *end;
        double x = strtod(s, &end);
        bool legal = end != s && x == x && x > -1e6 && x < 1e6 && (!positive || x > 0);
        if (!legal || n == 3 || (*end && *end != ','))
            return usage(ctx, option, text, positive ? "one or three numbers above 0"
                                                     : "one or three numbers");
        out[n++] = (float)x;
        if (!*end)
            break;
        s = end + 1;
    }
    if (n == 2)
        return usage(ctx, option, text, "one or three numbers");
    if (n == 1)
        out[1] = out[2] = out[0];
    return TLC_OK;
}

/* Presets of --preprocess: torchvision's, PyTorch's ToTensor alone, and what Keras calls "tf" and
 * "caffe" (keras.applications.imagenet_utils; Caffe's own networks too); `bytes` is for networks
 * that scale inside. */
static const struct preset {
    const char *name;
    bool exact; /* resized to the input; else the shorter side to 256/224 of it, and cropped */
    float mean[3], std[3];
    int bgr;
} presets[] = {
    { "imagenet", false, { 0.485f, 0.456f, 0.406f }, { 0.229f, 0.224f, 0.225f }, 0 },
    { "unit", true, { 0, 0, 0 }, { 1, 1, 1 }, 0 },
    { "tf", false, { 0.5f, 0.5f, 0.5f }, { 0.5f, 0.5f, 0.5f }, 0 },
    { "caffe",
      false,
      { 103.939f / 255, 116.779f / 255, 123.68f / 255 },
      { 1.0f / 255, 1.0f / 255, 1.0f / 255 },
      1 },
    { "bytes", false, { 0, 0, 0 }, { 1.0f / 255, 1.0f / 255, 1.0f / 255 }, 0 },
};

/* The named preset for an input of h x w. */
static tlc_status preset(tlc_ctx *ctx, const char *name, int h, int w, tlr_preprocess *out)
{
    const struct preset *p = presets, *end = presets + sizeof presets / sizeof *presets;
    const char *known = "";
    for (; p < end && strcmp(p->name, name) != 0; ++p)
        known = tlc_arena_printf(&ctx->arena, "%s%s%s", known, *known ? ", " : "", p->name);
    if (p == end)
        return usage(ctx, TLB_OPT_PREPROCESS, name,
                     tlc_arena_printf(&ctx->arena, "%s or none", known));
    *out = (tlr_preprocess){ .kind = TLR_PREPROCESS_PICTURE, .bgr = p->bgr };
    memcpy(out->mean, p->mean, sizeof out->mean);
    memcpy(out->std, p->std, sizeof out->std);
    if (p->exact) {
        out->resize_h = h;
        out->resize_w = w;
    } else {
        out->resize_short = (int)((h < w ? h : w) * 256L / 224);
    }
    out->crop_h = h;
    out->crop_w = w;
    return TLC_OK;
}

static tlc_status refuse_picture_options(tlc_ctx *ctx, const tlb_args *a)
{
    static const tlb_option options[] = { TLB_OPT_RESIZE, TLB_OPT_CROP, TLB_OPT_MEAN, TLB_OPT_STD,
                                          TLB_OPT_BGR };
    for (size_t i = 0; i < sizeof options / sizeof *options; ++i)
        if (tlb_given(a, options[i]))
            return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE",
                            "--%s needs a network whose input is a picture: 3 channels",
                            tlb_option_name(options[i]));
    return TLC_OK;
}

tlc_status tlc_cli_preprocess(tlc_ctx *ctx, const tlb_args *a, const tlc_func *forward,
                              tlr_preprocess *out)
{
    const tlc_shape *s = &forward->in[0]->shape;
    const char *name = tlb_text(a, TLB_OPT_PREPROCESS);
    bool last = tlc_channels_last(s), none = name && strcmp(name, "none") == 0;
    bool picture = s->rank == 4 && (s->dim[1] == 3 || last) && !none;
    *out = (tlr_preprocess){ .kind = TLR_PREPROCESS_NONE, .std = { 1, 1, 1 } };
    out->channels_last = last;
    if (!picture && name && !none)
        return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE",
                        "--preprocess %s needs a network whose input is a picture: 3 channels", name);
    if (!picture)
        return refuse_picture_options(ctx, a);
    int h = (int)s->dim[last ? 1 : 2], w = (int)s->dim[last ? 2 : 3];
    bool both;
    if (!name)
        name = h == 224 && w == 224 ? "imagenet" : "unit";
    TLC_TRY(preset(ctx, name, h, w, out));
    out->channels_last = last;
    if (tlb_given(a, TLB_OPT_RESIZE)) {
        TLC_TRY(read_size(ctx, TLB_OPT_RESIZE, tlb_text(a, TLB_OPT_RESIZE), &out->resize_h,
                          &out->resize_w, &both));
        out->resize_short = both ? 0 : out->resize_h;
    }
    if (tlb_given(a, TLB_OPT_CROP))
        TLC_TRY(read_size(ctx, TLB_OPT_CROP, tlb_text(a, TLB_OPT_CROP), &out->crop_h, &out->crop_w,
                          &both));
    if (out->crop_h != h || out->crop_w != w)
        return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "--crop is %dx%d, the network's input is %dx%d",
                        out->crop_h, out->crop_w, h, w);
    if (tlb_given(a, TLB_OPT_MEAN))
        TLC_TRY(read_channels(ctx, TLB_OPT_MEAN, tlb_text(a, TLB_OPT_MEAN), false, out->mean));
    if (tlb_given(a, TLB_OPT_STD))
        TLC_TRY(read_channels(ctx, TLB_OPT_STD, tlb_text(a, TLB_OPT_STD), true, out->std));
    if (tlb_given(a, TLB_OPT_BGR))
        out->bgr = tlb_flag(a, TLB_OPT_BGR);
    return TLC_OK;
}

const char *tlc_cli_dims(tlc_ctx *ctx, const tlc_shape *s)
{
    const char *text = "";
    for (int i = tlc_shape_has_n(s) ? 1 : 0; i < s->rank; ++i)
        text = tlc_arena_printf(&ctx->arena, "%s%s%lld", text, *text ? "x" : "",
                                (long long)s->dim[i]);
    return text;
}
