/* cli_verify.c: `tlc verify`: the generated code against target ref in fp64, layer by layer.
 *
 * The network is compiled twice into a temporary folder, both times with every forward value
 * kept; both are built and run on one input; then values of one name are compared.  A fused
 * operator's result has the name of the last operator that it absorbed, and the reference, in
 * which batch norms are not folded, has a value of that name too.
 */
#define _GNU_SOURCE /* nftw */
#include "cli.h"

#include "tlb_file.h"
#include "tlb_npy.h"
#include "tlb_safetensors.h"
#include "tlk_philox.h"

#include <errno.h>
#include <ftw.h>
#include <jansson.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Allowed distance, as a share of the largest magnitude of the layer's values. */
static const double allowed = 3e-5;

typedef struct side { /* one of the two compilations */
    const char *dir, *values_path;
    json_t *manifest;
    tlb_map map;
    tlb_safetensors values;
} side;

typedef struct worst { double difference; const char *layer; } worst;

/* --- building and running ------------------------------------------------------- */

static tlc_status run_program(tlc_ctx *ctx, char *const argv[])
{
    pid_t pid;
    int how;
    sigset_t none;
    posix_spawnattr_t how_to;
    sigemptyset(&none);
    posix_spawnattr_init(&how_to);
    posix_spawnattr_setsigmask(&how_to, &none); /* ours are held, its are not */
    posix_spawnattr_setflags(&how_to, POSIX_SPAWN_SETSIGMASK);
    int error = posix_spawnp(&pid, argv[0], NULL, &how_to, argv, environ);
    posix_spawnattr_destroy(&how_to);
    if (error == ENOENT) {
        (void)tlc_fail(ctx, TLC_E_INPUT, "E_TOOL", "%s: not found in PATH", argv[0]);
        return tlc_hint(ctx, "Debian: apt-get install make gcc");
    }
    if (error || waitpid(pid, &how, 0) < 0)
        return tlc_fail(ctx, TLC_E_INTERNAL, "E_TOOL", "%s: %s", argv[0], strerror(error ? error : errno));
    if (!WIFEXITED(how) || WEXITSTATUS(how) != 0)
        return tlc_fail(ctx, TLC_E_INTERNAL, "E_TOOL", "%s failed on the generated code", argv[0]);
    return TLC_OK;
}

static tlc_status compile_side(tlc_ctx *ctx, const tlb_args *a, tlc_target target, const char *dir,
                               side *out)
{
    tlc_compilation c = { 0 };
    int files;
    TLC_TRY(tlc_cli_options(ctx, a, &c.options));
    c.options.target = target;
    c.options.precision = target == TLC_TARGET_REF ? TLC_PRECISION_FP64 : TLC_PRECISION_FP32;
    c.options.keep_values = true;
    c.options.batch = 1;
    tlc_status status = tlc_cli_build(ctx, a, &c);
    if (!status)
        status = tlc_cli_emit(ctx, &c, dir, "verify", "", &files);
    tlc_file_unmap(&c.file);
    out->dir = dir;
    return status;
}

static tlc_status run_side(tlc_ctx *ctx, const char *input, side *s)
{
    tlc_arena *m = &ctx->arena;
    char *dir = tlc_arena_strdup(m, s->dir);
    char *predictor = tlc_arena_printf(m, "%s/predictor", dir);
    char *output = tlc_arena_printf(m, "%s/output.npy", dir);
    char *values = tlc_arena_printf(m, "%s/values.safetensors", dir);
    TLC_TRY(run_program(ctx, (char *[]){ "make", "-s", "-C", dir, "predictor", NULL }));
    TLC_TRY(run_program(ctx, (char *[]){ predictor, "infer", "--input", tlc_arena_strdup(m, input),
                                         "--out", output, "--values", values, NULL }));
    s->values_path = values;
    s->manifest = json_load_file(tlc_arena_printf(m, "%s/manifest.json", dir), 0, NULL);
    const char *what = NULL;
    int error = 0;
    if (!s->manifest || tlb_map_file(values, &s->map, &error) != TLB_OK ||
        tlb_safetensors_parse(s->map.bytes, s->map.n_bytes, &ctx->limits, &s->values, &what) != TLB_OK)
        return tlc_fail(ctx, TLC_E_INTERNAL, "E_TOOL", "the generated program wrote no values: %s",
                        what ? what : "file missing");
    return TLC_OK;
}

/* --- the input -------------------------------------------------------------------- */

/* One made-up picture: normal values, the spread that normalised photographs have. */
static tlc_status write_made_up_input(tlc_ctx *ctx, const tlc_shape *shape, const char *path)
{
    int64_t elems = tlc_shape_elems(shape), dim[TLC_MAX_RANK] = { 1 };
    float *x = TLC_NEW_ARRAY(&ctx->arena, float, elems + 1);
    tlk_init_normal(1, 0, 1.0, elems, x);
    for (int i = 1; i < shape->rank; ++i)
        dim[i] = shape->dim[i];
    char header[256];
    size_t n = tlb_npy_header(header, TLB_NPY_F4, shape->rank, dim);
    tlb_out o;
    tlb_status status = tlb_out_open(&o, path);
    if (!status)
        status = tlb_out_write(&o, header, n);
    if (!status)
        status = tlb_out_write(&o, x, (size_t)elems * sizeof *x);
    if (!status)
        status = tlb_out_commit(&o);
    return status ? tlc_fail(ctx, TLC_E_OUTPUT, "E_OUTPUT", "cannot write the made-up input") : TLC_OK;
}

static tlc_status input_path(tlc_ctx *ctx, const tlb_args *a, const char *dir, const char **out)
{
    if (tlb_given(a, TLB_OPT_INPUT) && !tlc_cli_input_is_size(a)) {
        *out = tlb_text(a, TLB_OPT_INPUT);
        return TLC_OK;
    }
    tlc_file file = { 0 };
    tlc_module *m;
    tlc_import_info info;
    TLC_TRY(tlc_cli_import(ctx, a, &file, &m, &info));
    tlc_shape shape = tlc_func_find(m, "forward")->in[0]->shape;
    tlc_file_unmap(&file);
    *out = tlc_arena_printf(&ctx->arena, "%s/input.npy", dir);
    return write_made_up_input(ctx, &shape, *out);
}

/* --- comparing ---------------------------------------------------------------------- */

static double element(const tlb_tensor *t, int64_t i)
{
    if (t->dtype[1] == '6') /* F64 */
        return ((const double *)t->data)[i];
    return (double)((const float *)t->data)[i];
}

static const char *index_text(tlc_ctx *ctx, const tlb_tensor *t, int64_t at)
{
    const char *text = "";
    for (int i = t->rank - 1; i >= 0; --i) {
        text = tlc_arena_printf(&ctx->arena, "%lld%s%s", (long long)(at % t->dim[i]),
                                *text ? "," : "", text);
        at /= t->dim[i];
    }
    return tlc_arena_printf(&ctx->arena, "[%s]", text);
}

static tlc_status compare_value(tlc_ctx *ctx, const char *layer, const tlb_tensor *x,
                                const tlb_tensor *ref, tlb_table *table, bool json, worst *w)
{
    int64_t elems = 1, at = 0;
    double difference = 0, largest = 0;
    for (int i = 0; i < ref->rank; ++i)
        elems *= ref->dim[i];
    for (int64_t i = 0; i < elems; ++i) {
        double r = element(ref, i), d = fabs(element(x, i) - r);
        if (!isfinite(d))
            return tlc_fail(ctx, TLB_E_NUMERIC, "E_NUMERIC", "%s: not finite at %s", layer,
                            index_text(ctx, ref, i));
        if (fabs(r) > largest)
            largest = fabs(r);
        if (d > difference) {
            difference = d;
            at = i;
        }
    }
    double share = largest > 0 ? difference / largest : difference;
    char text[32];
    snprintf(text, sizeof text, "%.1e", share);
    const char *where = index_text(ctx, ref, at);
    if (json)
        printf("{\"layer\":\"%s\",\"difference\":%.17g,\"at\":%s}\n", layer, share, where);
    else
        tlb_table_row(table, (const char *const[]){ layer, text, where });
    if (share > w->difference || !w->layer)
        *w = (worst){ share > w->difference ? share : w->difference, layer };
    return TLC_OK;
}

static const tlb_tensor *tensor_of(const side *s, const json_t *value)
{
    char id[24];
    snprintf(id, sizeof id, "%lld", (long long)json_integer_value(json_object_get(value, "id")));
    return tlb_safetensors_find(&s->values, id);
}

/* The value of `s` that has the name; NULL: none, as inside a fused operator. */
static const tlb_tensor *value_by_name(const side *s, const char *name)
{
    json_t *value;
    size_t i;
    json_array_foreach(json_object_get(s->manifest, "values"), i, value) {
        const char *other = json_string_value(json_object_get(value, "name"));
        if (other && strcmp(other, name) == 0)
            return tensor_of(s, value);
    }
    return NULL;
}

static tlc_status compare(tlc_ctx *ctx, const side *x, const side *ref, tlb_table *table, bool json,
                          worst *w)
{
    json_t *value;
    size_t i;
    json_array_foreach(json_object_get(x->manifest, "values"), i, value) {
        const char *name = json_string_value(json_object_get(value, "name"));
        const char *node = json_string_value(json_object_get(value, "node"));
        const tlb_tensor *b = name ? value_by_name(ref, name) : NULL, *a = tensor_of(x, value);
        if (!a || !b)
            continue;
        const char *quoted = tlc_quote_name(ctx, node ? node : name);
        const char *layer = tlc_arena_strndup(&ctx->arena, quoted + 1, strlen(quoted) - 2);
        if (a->n_bytes / 4 != b->n_bytes / 8 && a->n_bytes != b->n_bytes)
            return tlc_fail(ctx, TLC_E_INTERNAL, "E_VERIFY", "%s: the targets' shapes differ", layer);
        TLC_TRY(compare_value(ctx, layer, a, b, table, json, w));
    }
    return w->layer ? TLC_OK
                    : tlc_fail(ctx, TLC_E_INTERNAL, "E_VERIFY", "the targets share no value");
}

static tlc_status verify_in(tlc_ctx *ctx, const tlb_args *a, const char *dir, worst *w,
                            tlb_table *table)
{
    const char *input;
    side x = { 0 }, ref = { 0 };
    tlc_options asked;
    TLC_TRY(tlc_cli_options(ctx, a, &asked));
    TLC_TRY(input_path(ctx, a, dir, &input));
    TLC_TRY(compile_side(ctx, a, asked.target, tlc_arena_printf(&ctx->arena, "%s/x", dir), &x));
    TLC_TRY(compile_side(ctx, a, TLC_TARGET_REF, tlc_arena_printf(&ctx->arena, "%s/ref", dir), &ref));
    ctx->where[0] = '\0';
    tlc_status status = run_side(ctx, input, &x);
    if (!status)
        status = run_side(ctx, input, &ref);
    if (!status)
        status = compare(ctx, &x, &ref, table, a->json, w);
    side *both[] = { &x, &ref };
    for (int i = 0; i < 2; ++i) {
        json_decref(both[i]->manifest);
        tlb_safetensors_free(&both[i]->values);
        tlb_unmap(&both[i]->map);
    }
    return status;
}

static int remove_entry(const char *path, const struct stat *s, int type, struct FTW *at)
{
    (void)s;
    (void)type;
    (void)at;
    return remove(path);
}

tlc_status tlc_cli_verify(tlc_ctx *ctx, const tlb_args *a)
{
    static const char *const headers[] = { "layer", "difference / largest", "at" };
    static const bool right[] = { false, true, false };
    const char *tmp = getenv("TMPDIR");
    char *dir = tlc_arena_printf(&ctx->arena, "%s/tlc-verify-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    sigset_t before;
    tlc_cli_hold_signals(&before);
    if (!mkdtemp(dir))
        return tlc_fail(ctx, TLC_E_OUTPUT, "E_OUTPUT", "cannot make a temporary folder: %s", strerror(errno));
    worst w = { 0 };
    tlb_table *table = tlb_table_create(3, headers, right);
    tlc_status status = verify_in(ctx, a, dir, &w, table);
    if (!status && !a->json)
        tlb_table_print(table, stdout, a->color_out);
    tlb_table_destroy(table);
    nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    tlc_cli_release_signals(&before);
    if (status)
        return status;
    const char *verdict = w.difference <= allowed ? "ok" : "bad";
    if (a->json)
        printf("{\"schema\":\"tlc.verify/1\",\"ok\":%s,\"worst\":%.17g,\"allowed\":%.17g}\n",
               w.difference <= allowed ? "true" : "false", w.difference, allowed);
    else
        printf("%-9s worst %.1e at %s, allowed %.1e\n", verdict, w.difference,
               w.layer ? w.layer : "-", allowed);
    return w.difference <= allowed ? TLC_OK : TLC_E_INTERNAL;
}
