/* cli_explain.c: `tlc explain MODEL`: a line a layer, and what one more block unfrozen would
 * cost, which is found out by compiling once more. */
#include "cli_explain.h"

#include "tlb_escape.h"
#include "tlb_file.h"
#include "tlb_json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- numbers -------------------------------------------------------------------------- */

/* Millions, or KiB; "-" for none. */
static const char *show(char buf[32], int64_t n, double unit)
{
    double v = (double)n / unit;
    if (n == 0)
        return "-";
    snprintf(buf, 32, v < 10 ? "%.2f" : v < 1000 ? "%.1f" : "%.0f", v);
    return buf;
}

/* --- the table ------------------------------------------------------------------------ */

static void add_row(tlb_table *t, const tlc_layer *l)
{
    char text[3][32];
    tlb_table_row(t, (const char *const[]){ l->shown, l->trained ? "trained" : "frozen", l->because,
                                            *l->bn ? l->bn : "-", show(text[0], l->forward, 1e6),
                                            show(text[1], l->backward, 1e6),
                                            show(text[2], l->kept, 1024), l->kernel });
}

static tlc_layer total_of(const tlc_explained *x)
{
    tlc_layer sum = { .shown = "total", .bn = "", .kernel = "", .because = "" };
    for (size_t i = 0; i < x->n; ++i) {
        sum.forward += x->layers[i].forward;
        sum.backward += x->layers[i].backward;
        sum.kept += x->layers[i].kept;
    }
    return sum;
}

static void print_cut(const tlc_explained *x)
{
    const tlc_func *features = tlc_func_find(x->c.module, "features");
    char kib[32];
    if (!x->c.plan.trains)
        return;
    if (!features) {
        printf("-- no cache: the first layers are trained, or more than one value crosses\n");
        return;
    }
    const tlc_value *v = features->out[0];
    int64_t bytes = tlc_shape_elems(&v->shape) * tlc_type_bytes(v->type);
    printf("-- cache ends: %s, %s KiB a picture", tlc_cli_dims(x->ctx, &v->shape),
           show(kib, bytes, 1024));
    if (x->c.findings.cut_because)
        printf("; %s", x->c.findings.cut_because);
    putchar('\n');
}

/* Where the cut's line goes: before the first layer that is not cached. */
static size_t first_uncached(const tlc_explained *x)
{
    size_t at = 0;
    while (at < x->n && x->layers[at].in_features)
        ++at;
    return at;
}

static tlc_status print_table(const tlc_explained *x, bool color)
{
    static const char *const headers[] = { "layer", "state", "because", "bn", "fwd M", "bwd M",
                                           "kept KiB", "kernel" };
    static const bool right[] = { false, false, false, false, true, true, true, false };
    char *text = NULL;
    size_t bytes = 0, cut = first_uncached(x);
    tlb_table *t = tlb_table_create(8, headers, right);
    for (size_t i = 0; i < x->n; ++i)
        add_row(t, &x->layers[i]);
    FILE *f = open_memstream(&text, &bytes);
    if (f)
        tlb_table_print(t, f, color);
    tlb_table_destroy(t);
    if (!f || fclose(f) != 0)
        return tlc_fail(x->ctx, TLC_E_LIMIT, "E_MEMORY", "out of memory");
    const char *line = text;
    for (size_t i = 0; i <= x->n + 1 && *line; ++i) {
        if (i == cut + 1)
            print_cut(x);
        size_t len = strcspn(line, "\n");
        printf("%.*s\n", (int)len, line);
        line += len + (line[len] == '\n');
    }
    if (cut == x->n)
        print_cut(x);
    free(text);
    tlc_layer sum = total_of(x);
    char shown[3][32];
    printf("total     %zu layers; a picture: %s M forward", x->n, show(shown[0], sum.forward, 1e6));
    if (x->c.plan.trains)
        printf(", %s M backward, %s KiB kept", show(shown[1], sum.backward, 1e6),
               show(shown[2], sum.kept, 1024));
    putchar('\n');
    return TLC_OK;
}

/* --- JSON ------------------------------------------------------------------------------ */

static void put_json(json_t *j)
{
    char *text = j ? tlb_json_dump(j, 0) : NULL;
    if (text)
        puts(text);
    free(text);
    json_decref(j);
}

static void print_json(const tlc_explained *x)
{
    for (size_t i = 0; i < x->n; ++i) {
        const tlc_layer *l = &x->layers[i];
        put_json(json_pack("{s:s, s:o, s:s, s:o, s:s, s:b, s:I, s:I, s:I, s:s}", "schema",
                           "tlc.explain/1", "layer", tlb_json_string(l->key ? l->key : ""),
                           "state", l->trained ? "trained" : "frozen", "because",
                           tlb_json_string(l->because), "bn", l->bn, "cached",
                           x->c.plan.trains && l->in_features, "forward", (json_int_t)l->forward,
                           "backward", (json_int_t)l->backward, "kept_bytes", (json_int_t)l->kept,
                           "kernel", l->kernel));
    }
    tlc_layer sum = total_of(x);
    const tlc_func *features = x->c.plan.trains ? tlc_func_find(x->c.module, "features") : NULL;
    int64_t peak = tlc_plan_peak(&x->c.plan, x->c.options.batch, x->c.plan.trains);
    put_json(json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "schema", "tlc.explain/1",
                       "layer", "total", "forward", (json_int_t)sum.forward, "backward",
                       (json_int_t)sum.backward, "kept_bytes", (json_int_t)sum.kept, "trained",
                       (json_int_t)x->c.findings.params_trained, "cache_elements",
                       (json_int_t)(features ? tlc_shape_elems(&features->out[0]->shape) : 0),
                       "peak_bytes", (json_int_t)peak));
}

/* --- one more block --------------------------------------------------------------------- */

/* `name` as a glob that matches it alone. */
static const char *as_glob(tlc_ctx *ctx, const char *name)
{
    char *out = tlc_arena_alloc(&ctx->arena, 2 * strlen(name) + 1), *to = out;
    for (; *name; ++name) {
        if (strchr("*?[]\\", *name))
            *to++ = '\\';
        *to++ = *name;
    }
    *to = '\0';
    return out;
}

static void unfreeze_block(const tlc_explained *x, const char *block, size_t len, tlc_options *o)
{
    tlc_freeze_rule *rules = NULL;
    size_t n = 0, cap = 0;
    for (size_t i = 0; i < x->c.options.n_freeze_rules; ++i)
        TLC_PUSH(&x->ctx->arena, rules, n, cap, x->c.options.freeze_rules[i]);
    for (size_t i = 0; i < x->n; ++i)
        for (size_t k = 0; k < x->layers[i].n_params; ++k) {
            const tlc_layer *l = &x->layers[i];
            if (!tlc_explain_in_block(l, block, len) || !l->params[k]->name)
                continue;
            tlc_freeze_rule rule = { false, as_glob(x->ctx, l->params[k]->name) };
            TLC_PUSH(&x->ctx->arena, rules, n, cap, rule);
        }
    o->freeze_rules = rules;
    o->n_freeze_rules = n;
}

/* Compile as `x` but with the block unfrozen.  A refusal is an answer, not an error: what was
 * filed is taken back, *why says it. */
static bool build_more(const tlb_args *a, const tlc_explained *x, const char *block, size_t len,
                       tlc_explained *more, const char **why)
{
    tlc_ctx *ctx = x->ctx;
    size_t n_diags = ctx->n_diags;
    *more = (tlc_explained){ .ctx = ctx, .c.options = x->c.options };
    unfreeze_block(x, block, len, &more->c.options);
    ctx->folded_bytes = ctx->weights_bytes = 0; /* the model is read anew */
    tlc_status status = tlc_explain_build(a, more);
    *why = status && ctx->n_diags > n_diags ? ctx->diags[ctx->n_diags - 1].what : "";
    ctx->n_diags = n_diags;
    tlc_file_unmap(&more->c.file);
    return status == TLC_OK;
}

static void print_more(const tlc_explained *x, const tlc_explained *more, const char *block,
                       bool json)
{
    bool trains = x->c.plan.trains;
    int64_t batch = x->c.options.batch;
    int64_t params = more->c.findings.params_trained - x->c.findings.params_trained;
    int64_t forward = more->forward_step - x->forward_step;
    int64_t backward = more->backward_step - x->backward_step;
    int64_t before = tlc_plan_peak(&x->c.plan, batch, trains);
    int64_t after = tlc_plan_peak(&more->c.plan, batch, trains);
    char buf[5][32];
    if (json) {
        put_json(json_pack("{s:s, s:o, s:I, s:I, s:I, s:I}", "schema", "tlc.explain/1", "with",
                           tlb_json_string(block), "trained", (json_int_t)params, "forward",
                           (json_int_t)forward, "backward", (json_int_t)backward, "peak_bytes",
                           (json_int_t)after));
        return;
    }
    printf("with %s: +%s trained, +%s M forward and +%s M backward a picture and step, peak %s"
           " -> %s\n",
           block, tlb_show_count(buf[0], params), show(buf[1], forward, 1e6),
           show(buf[2], backward, 1e6), tlb_show_bytes(buf[3], before),
           tlb_show_bytes(buf[4], after));
}

static void explain_more(const tlb_args *a, const tlc_explained *x)
{
    tlc_explained more;
    const char *why;
    size_t len;
    const char *block = tlc_explain_block(x, &len);
    if (!block)
        return;
    const char *quoted = tlc_quote(x->ctx, block, len);
    const char *shown = tlc_arena_strndup(&x->ctx->arena, quoted + 1, strlen(quoted) - 2);
    if (build_more(a, x, block, len, &more, &why))
        print_more(x, &more, shown, a->json);
    else if (!a->json)
        printf("with %s: refused: %s\n", shown, why);
}

/* --- the command ------------------------------------------------------------------------- */

static tlc_status draw(tlc_explained *x, const char *out)
{
    uint8_t *png = NULL;
    size_t bytes = 0;
    int error = 0;
    if (tlr_canvas_lacks()) {
        tlc_warn(x->ctx, "W_PICTURES", "no picture: %s", tlr_canvas_lacks());
        return TLC_OK;
    }
    tlr_canvas *c = tlc_explain_draw(x);
    bool drawn = c && tlr_canvas_png(c, &png, &bytes);
    tlr_canvas_destroy(c);
    if (!drawn)
        return tlc_fail(x->ctx, TLC_E_LIMIT, "E_MEMORY", "out of memory");
    tlb_status status = tlb_write_file(out, png, bytes, &error);
    free(png);
    if (status == TLB_OK)
        return TLC_OK;
    x->ctx->file = out;
    return tlc_fail(x->ctx, TLC_E_OUTPUT, "E_OUTPUT", "cannot write: %s", strerror(error));
}

tlc_status tlc_cli_explain(tlc_ctx *ctx, const tlb_args *a)
{
    const char *picture = tlb_text(a, TLB_OPT_PICTURE);
    tlc_explained x = { .ctx = ctx };
    TLC_TRY(tlc_cli_options(ctx, a, &x.c.options));
    tlc_status status = tlc_explain_build(a, &x);
    if (!status && picture)
        status = draw(&x, picture);
    if (!status && a->json)
        print_json(&x);
    else if (!status)
        status = print_table(&x, a->color_out);
    if (!status)
        explain_more(a, &x);
    tlc_file_unmap(&x.c.file);
    return status;
}
