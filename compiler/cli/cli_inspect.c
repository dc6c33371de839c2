/* cli_inspect.c: `tlc inspect`: a table a layer; `tlc opt`: passes over IR text. */
#include "cli.h"

#include "tlb_file.h"
#include "text.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct layer {
    const char *name, *op, *output;
    int64_t params, multiply_adds;
} layer;

/* Elements of the parameters that `n` is the first to read; `seen` by value id. */
static int64_t new_params(const tlc_node *n, bool *seen)
{
    int64_t sum = 0;
    int n_in = n->op == TLC_OP_BATCH_NORM ? 3 : n->n_in; /* statistics are no parameters */
    for (int i = 0; i < n_in; ++i) {
        const tlc_value *v = n->in[i];
        if (v && tlc_is_global(v) && tlc_is_float(v->type) && !seen[v->id]) {
            seen[v->id] = true;
            sum += tlc_shape_elems(&v->shape);
        }
    }
    return sum;
}

static layer make_layer(tlc_ctx *ctx, const tlc_node *n, bool *seen)
{
    const char *quoted = n->name ? tlc_quote_name(ctx, n->name) : "\"\"";
    size_t len = strlen(quoted);
    return (layer){
        .name = tlc_arena_strndup(&ctx->arena, quoted + 1, len - 2), /* a table needs no quotes */
        .op = tlc_ops[n->op].name,
        .output = n->n_out ? tlc_cli_dims(ctx, &n->out[0]->shape) : "",
        .params = new_params(n, seen),
        .multiply_adds = tlc_multiply_adds(n),
    };
}

static void print_json_layer(const layer *l)
{
    json_t *j = json_pack("{s:s, s:s, s:s, s:I, s:I}", "layer", l->name, "operator", l->op, "output",
                          l->output, "parameters", (json_int_t)l->params, "multiply_adds",
                          (json_int_t)l->multiply_adds);
    char *text = json_dumps(j, JSON_ENSURE_ASCII | JSON_COMPACT);
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(j);
}

static void add_row(tlb_table *t, const layer *l)
{
    char params[32], macs[32];
    if (l->multiply_adds >= 1000000000)
        snprintf(macs, sizeof macs, "%.2f G", (double)l->multiply_adds / 1e9);
    else
        snprintf(macs, sizeof macs, "%.1f M", (double)l->multiply_adds / 1e6);
    tlb_table_row(t, (const char *const[]){ l->name, l->op, l->output,
                                            l->params ? tlb_show_count(params, l->params) : "",
                                            l->multiply_adds ? macs : "" });
}

tlc_status tlc_cli_inspect(tlc_ctx *ctx, const tlb_args *a)
{
    static const char *const headers[] = { "layer", "operator", "output", "parameters",
                                           "multiply-adds" };
    static const bool right[] = { false, false, false, true, true };
    tlc_file file = { 0 };
    tlc_module *m;
    tlc_import_info info;
    TLC_TRY(tlc_cli_import(ctx, a, &file, &m, &info));
    TLC_TRY(tlc_check_weights(ctx, m, &info));
    bool *seen = TLC_NEW_ARRAY(&ctx->arena, bool, m->n_values);
    tlb_table *t = a->json ? NULL : tlb_table_create(5, headers, right);
    layer total = { "total", "", "", 0, 0 };
    int count = 0;
    for (const tlc_func *f = m->first_func; f; f = f->next)
        for (const tlc_node *n = f->first; n; n = n->next) {
            layer l = make_layer(ctx, n, seen);
            total.params += l.params;
            total.multiply_adds += l.multiply_adds;
            ++count;
            if (a->json)
                print_json_layer(&l);
            else
                add_row(t, &l);
        }
    char layers[16];
    snprintf(layers, sizeof layers, "%d", count);
    total.op = layers;
    if (a->json)
        print_json_layer(&total);
    else
        add_row(t, &total);
    tlb_table_print(t, stdout, a->color_out);
    tlb_table_destroy(t);
    tlc_file_unmap(&file);
    return TLC_OK;
}

static tlc_status write_text(tlc_ctx *ctx, const char *path, const tlc_cwriter *w)
{
    int error = 0;
    if (!path || strcmp(path, "-") == 0) {
        fwrite(w->text, 1, w->len, stdout);
        return TLC_OK;
    }
    if (tlb_write_file(path, w->text, w->len, &error) != TLB_OK) {
        ctx->file = path;
        return tlc_fail(ctx, TLC_E_OUTPUT, "E_OUTPUT", "cannot write: %s", strerror(error));
    }
    return TLC_OK;
}

/* IR text from standard input, where a pipe of passes has it. */
static tlc_status read_stdin(tlc_ctx *ctx, tlc_module **out)
{
    size_t most = (size_t)ctx->limits.max[TLB_LIMIT_TEXT], n = 0, cap = 0;
    char *text = NULL;
    ctx->file = "-";
    do {
        size_t more = cap ? cap : 64 * 1024;
        char *larger = tlc_arena_alloc(&ctx->arena, cap + more);
        if (n)
            memcpy(larger, text, n);
        text = larger;
        cap += more;
        n += fread(text + n, 1, cap - n, stdin);
    } while (n == cap && n <= most);
    if (ferror(stdin))
        return tlc_fail(ctx, TLC_E_INPUT, "E_INPUT", "cannot read: %s", strerror(errno));
    return tlc_parse_module(ctx, text, n, ".", out);
}

static tlc_status read_module(tlc_ctx *ctx, const char *path, tlc_file *file, tlc_module **out)
{
    tlc_import_info info;
    return strcmp(path, "-") == 0 ? read_stdin(ctx, out)
                                  : tlc_import_file(ctx, path, file, out, &info);
}

tlc_status tlc_cli_opt(tlc_ctx *ctx, const tlb_args *a)
{
    tlc_options options;
    tlc_findings findings = { 0 };
    TLC_TRY(tlc_cli_options(ctx, a, &options));
    tlc_pass_env env = { &options, &findings, ~0u }; /* a lone pass trusts its input's form */
    for (int i = 0; i < a->n_lists; ++i)
        if (a->lists[i].option == TLB_OPT_PASS && !tlc_pass_find(a->lists[i].text))
            return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "no pass %s",
                            tlc_quote_name(ctx, a->lists[i].text));
    tlc_file file = { 0 };
    tlc_module *m;
    TLC_TRY(read_module(ctx, a->inputs[0], &file, &m));
    tlc_status status = TLC_OK;
    for (int i = 0; i < a->n_lists && !status; ++i)
        if (a->lists[i].option == TLB_OPT_PASS)
            status = tlc_pass_run(ctx, tlc_pass_find(a->lists[i].text), m, &env);
    if (!status) {
        tlc_cwriter w = tlc_cwriter_make(&ctx->arena);
        tlc_print_module(&w, m);
        status = write_text(ctx, tlb_text(a, TLB_OPT_OUT), &w);
    }
    tlc_file_unmap(&file);
    return status;
}
