/* predictor_infer.c: arrays through the network: NumPy's format in and out, and, of a model
 * compiled with --keep-values, every forward value as safetensors.
 *
 * Any number of pictures: they run in chunks of the compiled batch.  The result is written while
 * it is computed, in a file that appears whole at the end.
 */
#include "predictor.h"

#include "tlb_npy.h"
#include "tlb_safetensors.h"
#include "tlr_cli.h"
#include "tlr_pack.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct infer {
    const tlb_args *args;
    tlr_session *session;
    tlr_info info;
    tlb_npy x;
    int features;       /* --value features */
    int chunk;          /* pictures at once */
    void *input;        /* chunk in the network's element type */
    tlb_out out;        /* --output, if a file */
    int to_stdout, to_file;
    tlb_tensor *values; /* --values: one for each of the model's, all pictures; data owned */
    int n_values;
} infer;

static tlb_status bad_input(const infer *f, tlb_status st, const char *what)
{
    return tlb_error(f->args, st, tlr_cli_id(st), tlb_text(f->args, TLB_OPT_INPUT), NULL,
                     NULL, "%s", what);
}

/* --- input ---------------------------------------------------------------- */

static tlb_status check_shape(const infer *f)
{
    const tlb_npy *x = &f->x;
    char want[128];
    int n = snprintf(want, sizeof want, "N");
    int good = x->rank == f->info.input_rank + 1;
    for (int i = 0; i < f->info.input_rank; ++i) {
        good = good && x->dim[i + 1] == f->info.input_dim[i];
        n += snprintf(want + n, sizeof want - (size_t)n, ",%" PRId64, f->info.input_dim[i]);
    }
    if (x->type != TLB_NPY_F4 && x->type != TLB_NPY_F8)
        return bad_input(f, TLB_E_UNSUPPORTED, "element type is neither float32 nor float64");
    if (good)
        return TLB_OK;
    return tlb_error(f->args, TLB_E_UNSUPPORTED, "E_SHAPE",
                     tlb_text(f->args, TLB_OPT_INPUT), NULL, NULL,
                     "shape is not the network's, which takes [%s]", want);
}

/* Pictures [first, first + n) in the network's element type. */
static void convert_input(infer *f, int64_t first, int n)
{
    int64_t elems = f->info.input_elems * n, start = f->info.input_elems * first;
    const char *from = (const char *)f->x.data + start * tlb_npy_type_bytes(f->x.type);
    int from_double = f->x.type == TLB_NPY_F8, to_double = f->info.element_bytes == 8;
    if (from_double == to_double) {
        memcpy(f->input, from, (size_t)(elems * f->info.element_bytes));
        return;
    }
    for (int64_t i = 0; i < elems; ++i) {
        double d;
        float s;
        if (from_double) {
            memcpy(&d, from + i * 8, sizeof d); /* the file may not be aligned */
            ((float *)f->input)[i] = (float)d;
        } else {
            memcpy(&s, from + i * 4, sizeof s);
            ((double *)f->input)[i] = s;
        }
    }
}

/* --- output --------------------------------------------------------------- */

static tlb_status output_error(const infer *f, const char *path, int error)
{
    return tlb_error(f->args, TLB_E_OUTPUT, "E_OUTPUT", path, NULL, NULL, "cannot write: %s",
                     strerror(error ? error : EIO));
}

static tlb_status write_output(infer *f, const void *bytes, size_t n)
{
    if (f->to_stdout)
        fwrite(bytes, 1, n, stdout); /* judged when the program ends */
    else if (f->to_file && tlb_out_write(&f->out, bytes, n) != TLB_OK)
        return output_error(f, tlb_text(f->args, TLB_OPT_OUT), f->out.error);
    return TLB_OK;
}

static int64_t result_elems(const infer *f)
{
    return f->features ? f->info.feature_elems : f->info.output_elems;
}

static tlb_status open_output(infer *f)
{
    const char *path = tlb_text(f->args, TLB_OPT_OUT);
    char header[256];
    int64_t dim[2] = { f->x.dim[0], result_elems(f) };
    f->to_stdout = path && strcmp(path, "-") == 0;
    if (path && !f->to_stdout) {
        if (tlb_out_open(&f->out, path) != TLB_OK)
            return output_error(f, path, f->out.error);
        f->to_file = 1;
    }
    size_t n = tlb_npy_header(header, f->info.element_bytes == 8 ? TLB_NPY_F8 : TLB_NPY_F4, 2, dim);
    return write_output(f, header, n);
}

static tlb_status close_output(infer *f)
{
    if (!f->to_file)
        return TLB_OK;
    f->to_file = 0;
    if (tlb_out_commit(&f->out) != TLB_OK)
        return output_error(f, tlb_text(f->args, TLB_OPT_OUT), f->out.error);
    return TLB_OK;
}

/* --- values --------------------------------------------------------------- */

static const char *dtype_of(tlr_type t)
{
    static const char *const names[] = { [TLR_F32] = "F32", [TLR_F64] = "F64", [TLR_I64] = "I64",
                                         [TLR_I32] = "I32", [TLR_U8] = "U8", [TLR_BOOL] = "BOOL" };
    return names[t];
}

/* Room for one value of all pictures, its name the id in decimal. */
static int make_value(const tlr_value *v, int64_t n, tlb_tensor *out)
{
    char *name = malloc(16);
    size_t bytes = (size_t)(n * tlr_value_elems(v) * tlr_type_bytes(v->type));
    void *data = malloc(bytes + 1);
    *out = (tlb_tensor){ .name = name, .dtype = dtype_of(v->type), .rank = v->rank, .data = data,
                         .n_bytes = bytes };
    memcpy(out->dim, v->dim, sizeof out->dim);
    out->dim[0] = n;
    if (name)
        snprintf(name, 16, "%d", v->id);
    return name && data;
}

static tlb_status make_values(infer *f)
{
    const tlr_model *m = tlr_the_model;
    f->values = calloc((size_t)m->n_values, sizeof *f->values);
    if (!f->values)
        return predictor_no_memory(f->args);
    for (int i = 0; i < m->n_values; ++i) {
        f->n_values = i + 1;
        if (!make_value(&m->values[i], f->x.dim[0], &f->values[i]))
            return predictor_no_memory(f->args);
    }
    return TLB_OK;
}

/* Keep what function `func` has just computed for pictures [first, first + n). */
static void keep_values(infer *f, int func, int64_t first, int n)
{
    const tlr_model *m = tlr_the_model;
    const tlr_frame *frame = tlr_session_frame(f->session);
    for (int i = 0; i < f->n_values; ++i) {
        const tlr_value *v = &m->values[i];
        int64_t bytes = tlr_value_elems(v) * tlr_type_bytes(v->type);
        if (v->func == func)
            tlr_value_unpack(v, n, frame->act + v->offset * n,
                             (char *)f->values[i].data + first * bytes);
    }
}

static tlb_status write_values(infer *f)
{
    const char *path = tlb_text(f->args, TLB_OPT_VALUES);
    tlb_out out;
    if (tlb_out_open(&out, path) != TLB_OK)
        return output_error(f, path, out.error);
    tlb_safetensors_header(&out, f->values, (size_t)f->n_values, NULL, 0);
    for (int i = 0; i < f->n_values; ++i)
        tlb_out_write(&out, f->values[i].data, f->values[i].n_bytes);
    if (tlb_out_commit(&out) != TLB_OK) /* the first failure sticks */
        return output_error(f, path, out.error);
    return TLB_OK;
}

static void free_values(infer *f)
{
    for (int i = 0; i < f->n_values; ++i) {
        free((void *)f->values[i].name);
        free((void *)f->values[i].data);
    }
    free(f->values);
}

/* --- running -------------------------------------------------------------- */

static tlb_status run_chunk(infer *f, int64_t first, int n)
{
    int head = !f->features || f->values;
    convert_input(f, first, n);
    tlr_session_features(f->session, n, f->input);
    tlb_status st = tlr_cli_device_check(f->args);
    keep_values(f, 0, first, n);
    size_t bytes = (size_t)(result_elems(f) * n * f->info.element_bytes);
    if (st == TLB_OK && f->features)
        st = write_output(f, tlr_session_features_at(f->session), bytes);
    if (st == TLB_OK && head) {
        tlr_session_head(f->session, n);
        st = tlr_cli_device_check(f->args);
        keep_values(f, 1, first, n);
        if (st == TLB_OK && !f->features)
            st = write_output(f, tlr_session_output_at(f->session), bytes);
    }
    return st;
}

static tlb_status run_all(infer *f)
{
    int64_t total = f->x.dim[0];
    tlb_status st = tlb_given(f->args, TLB_OPT_VALUES) ? make_values(f) : TLB_OK;
    if (st == TLB_OK)
        st = open_output(f);
    for (int64_t first = 0; st == TLB_OK && first < total; first += f->chunk) {
        int64_t left = total - first;
        st = run_chunk(f, first, left < f->chunk ? (int)left : f->chunk);
    }
    if (st == TLB_OK && f->values)
        st = write_values(f);
    return st == TLB_OK ? close_output(f) : st;
}

static void report(const infer *f)
{
    if (!f->args->json || f->to_stdout)
        return;
    const char *path = tlb_text(f->args, TLB_OPT_OUT);
    char *quoted = path ? tlr_cli_json(path) : NULL;
    printf("{\"schema\":\"tlc.infer/1\",\"output\":%s,\"value\":\"%s\",\"shape\":[%" PRId64
           ",%" PRId64 "]}\n", quoted ? quoted : "null", f->features ? "features" : "output",
           f->x.dim[0], result_elems(f));
    free(quoted);
}

/* The array is there and of the right shape.  Only the head's result asks for a trained one:
 * features need none, and --values shows what was computed from the file as it is. */
static tlb_status infer_array(infer *f)
{
    int64_t n = f->x.dim[0];
    int need_trained = tlb_given(f->args, TLB_OPT_OUT) && !f->features;
    f->chunk = n < 1 ? 1 : n < f->info.max_batch ? (int)n : f->info.max_batch;
    tlb_status st = predictor_open(f->args, f->chunk, need_trained, &f->session);
    if (st != TLB_OK)
        return st;
    f->input = malloc((size_t)(f->info.input_elems * f->chunk * f->info.element_bytes));
    st = f->input ? run_all(f) : predictor_no_memory(f->args);
    if (f->to_file)
        tlb_out_abandon(&f->out);
    if (st == TLB_OK)
        report(f);
    free_values(f);
    free(f->input);
    tlr_close(f->session);
    return st;
}

/* --- options -------------------------------------------------------------- */

static tlb_status check_options(infer *f)
{
    const tlb_args *a = f->args;
    const char *value = tlb_text(a, TLB_OPT_VALUE);
    f->features = strcmp(value, "features") == 0;
    const char *what = NULL, *hint = NULL;
    if (!tlb_given(a, TLB_OPT_INPUT))
        what = "--input is missing";
    else if (!tlb_given(a, TLB_OPT_OUT) && !tlb_given(a, TLB_OPT_VALUES))
        what = "--output is missing";
    else if (!f->features && strcmp(value, "output") != 0)
        what = "--value is neither output nor features";
    else if (tlb_given(a, TLB_OPT_VALUES) && tlr_the_model->n_values == 0) {
        what = "--values: the network keeps none";
        hint = "compile with --keep-values";
    }
    return what ? tlb_error(a, TLB_E_USAGE, "E_USAGE", NULL, NULL, hint, "%s", what) : TLB_OK;
}

static tlb_status parse_and_run(infer *f, const void *bytes, size_t n)
{
    const char *what;
    tlb_status st = tlb_npy_parse(bytes, n, &f->x, &what);
    if (st != TLB_OK)
        return bad_input(f, st, what);
    st = check_shape(f);
    return st == TLB_OK ? infer_array(f) : st;
}

static tlb_status infer_stdin(infer *f)
{
    unsigned char *bytes;
    size_t n;
    tlr_image_note note = { 0 };
    tlb_status st = tlr_cli_read_stdin(&f->args->limits, &bytes, &n, &note);
    if (st != TLB_OK)
        return bad_input(f, st, note.what);
    st = parse_and_run(f, bytes, n);
    free(bytes);
    return st;
}

tlb_status predictor_infer(const tlb_args *a)
{
    infer f = { .args = a };
    tlb_map map;
    int error = 0;
    tlr_model_info(tlr_the_model, &f.info);
    tlb_status st = check_options(&f);
    if (st != TLB_OK)
        return st;
    const char *path = tlb_text(a, TLB_OPT_INPUT);
    if (strcmp(path, "-") == 0)
        return infer_stdin(&f);
    st = tlb_map_file(path, &map, &error);
    if (st != TLB_OK)
        return tlb_error(a, st, tlr_cli_id(st), path, NULL, NULL, "cannot read: %s",
                         error ? strerror(error) : "not a regular file");
    st = parse_and_run(&f, map.bytes, map.n_bytes);
    tlb_unmap(&map);
    return st;
}
