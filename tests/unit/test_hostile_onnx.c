/* test_hostile_onnx.c: hostile-inputs 4.2, row by row: BASE with one thing wrong, the code and
 * the core of the message; and the bound on time and memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hostile_table.h"
#include "import_run.h"
#include "plain_build.h"

#include <limits.h>
#include <math.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    OK = TLC_OK,
    MISSING = TLC_E_INPUT,
    BAD = TLC_E_MALFORMED,
    NO = TLC_E_UNSUPPORTED,
    OVER = TLC_E_LIMIT
};

/* What a row does to BASE; `t` and `v` are the row's own. */
typedef struct row row;
struct row {
    const char *name;
    int status;
    const char *core; /* of the error, or of a warning where status is 0; NULL: none */
    void (*edit)(net *, const row *);
    const char *t;
    int64_t v[9];
    int n;
};

/* --- graph: names and order ---------------------------------------------- */

static void edit_operand(net *m, const row *r)
{
    net_set(&m->node[BASE_RELU], node_of("Relu", "relu", r->t, "e"));
}

static void edit_reversed(net *m, const row *r)
{
    (void)r;
    for (int i = 0, k = m->n_node - 1; i < k; ++i, --k) {
        pb swap = m->node[i];
        m->node[i] = m->node[k];
        m->node[k] = swap;
    }
}

static void edit_mutual(net *m, const row *r)
{
    (void)r;
    net_set(&m->node[BASE_RELU], node_of("Relu", "relu", "f", "e"));
    net_set(&m->node[BASE_GAP], node_of("Relu", "relu2", "e", "f"));
}

static void edit_output(net *m, const row *r)
{
    pb info = { 0 };
    pb_text(&info, 1, r->t);
    net_set(&m->output[0], info);
}

/* Another Relu whose result is called r->t. */
static void edit_defined_twice(net *m, const row *r)
{
    net_set(&m->node[BASE_RELU], node_of("Relu", "relu", "d", r->t));
}

/* --- initialisers -------------------------------------------------------- */

static void edit_weight_dims(net *m, const row *r)
{
    float data[108] = { 0 };
    net_set(&m->init[BASE_W], tensor_raw("w", ELEM_FLOAT, 4, r->v, data, sizeof data));
}

static void edit_weight_bytes(net *m, const row *r)
{
    float data[109] = { 0 };
    net_set(&m->init[BASE_W],
            tensor_raw("w", ELEM_FLOAT, 4, (int64_t[]){ 4, 3, 3, 3 }, data, (size_t)r->v[0]));
}

static void edit_weight_absent(net *m, const row *r)
{
    (void)r;
    net_set(&m->init[BASE_W], tensor_head("w", ELEM_FLOAT, 4, (int64_t[]){ 4, 3, 3, 3 }));
}

static void edit_weight_twice(net *m, const row *r)
{
    (void)r;
    float one = 1;
    pb_bytes(&m->init[BASE_W], 4, &one, sizeof one);
}

static void edit_weight_type(net *m, const row *r)
{
    unsigned char data[108 * 16] = { 0 };
    net_set(&m->init[BASE_W], tensor_raw("w", (int)r->v[0], 4, (int64_t[]){ 4, 3, 3, 3 }, data,
                                         108 * (size_t)r->v[1]));
}

static void edit_gemm_k(net *m, const row *r)
{
    (void)r;
    net_set(&m->init[BASE_FC], tensor_ramp("fc.weight", 2, (int64_t[]){ 10, 5 }, 0, 1));
}

static void edit_weight_value(net *m, const row *r)
{
    static const float values[] = { NAN, INFINITY, 1e-42f };
    net_set(&m->init[BASE_W], tensor_ramp("w", 4, (int64_t[]){ 4, 3, 3, 3 }, values[r->v[0]], 0));
}

static void edit_bn(net *m, const row *r)
{
    const float epsilon[] = { 0, 1e-5f, NAN };
    net_set(&m->init[BASE_VAR], tensor_ramp("var", 1, (int64_t[]){ 4 }, (float)r->v[0], 0));
    net_set(&m->node[BASE_BN], base_bn(epsilon[r->v[1]]));
}

/* --- inputs -------------------------------------------------------------- */

static void edit_input(net *m, const row *r)
{
    net_set(&m->input[0], value_info("x", ELEM_FLOAT, r->n, r->v));
}

static void edit_weight_is_input(net *m, const row *r)
{
    (void)r;
    net_set(&m->init[BASE_W], tensor_ramp("other", 1, (int64_t[]){ 4 }, 0, 0));
    net_input(m, value_info("w", ELEM_FLOAT, 4, (int64_t[]){ 4, 3, 3, 3 }));
}

static void edit_shape_is_input(net *m, const row *r)
{
    (void)r;
    net_set(&m->node[BASE_FLATTEN], node_of("Reshape", "reshape", "f,s", "g"));
    net_input(m, value_info("s", ELEM_INT64, 1, (int64_t[]){ 2 }));
}

/* --- versions, domains, operators ---------------------------------------- */

static void edit_versions(net *m, const row *r)
{
    m->ir_version = r->v[0];
    m->opset = r->v[1];
    m->domain = r->t;
}

static void edit_node_domain(net *m, const row *r)
{
    pb_text(&m->node[BASE_RELU], 7, r->t);
}

static void edit_op(net *m, const row *r)
{
    net_set(&m->node[BASE_RELU], node_of(r->t, "relu", "d", "e"));
}

static void edit_function(net *m, const row *r)
{
    pb f = { 0 };
    pb_text(&f, 1, r->t);
    pb_text(&f, 10, "local");
    pb_message(&m->more_model, 25, f);
}

static void edit_sparse(net *m, const row *r)
{
    pb sparse = { 0 };
    pb_message(&sparse, 1, tensor_ramp(r->t, 1, (int64_t[]){ 4 }, 0, 0));
    pb_message(&m->more_graph, 15, sparse);
}

/* --- attributes ---------------------------------------------------------- */

static void edit_conv_ints(net *m, const row *r)
{
    pb conv = node_of("Conv", "conv", "x,w,b", "c");
    if (strcmp(r->t, "pads") != 0 && strcmp(r->t, "none") != 0)
        attr_ints(&conv, "pads", INTS(1, 1, 1, 1));
    if (strcmp(r->t, "none") != 0)
        attr_ints(&conv, r->t, r->n, r->v);
    net_set(&m->node[BASE_CONV], conv);
}

static void edit_conv_kernel(net *m, const row *r)
{
    pb conv = node_of("Conv", "conv", "x,w,b", "c");
    (void)r;
    net_set(&m->init[BASE_W], tensor_ramp("w", 4, (int64_t[]){ 4, 3, 9, 9 }, 0, 0));
    net_set(&m->node[BASE_CONV], conv);
}

static void edit_conv_int(net *m, const row *r)
{
    pb conv = base_conv();
    attr_int(&conv, r->t, r->v[0]);
    net_set(&m->node[BASE_CONV], conv);
}

static void edit_conv_text(net *m, const row *r)
{
    pb conv = node_of("Conv", "conv", "x,w,b", "c");
    attr_text(&conv, "auto_pad", r->t);
    net_set(&m->node[BASE_CONV], conv);
}

static void edit_flatten(net *m, const row *r)
{
    pb flatten = node_of("Flatten", "flatten", "f", "g");
    attr_int(&flatten, "axis", r->v[0]);
    net_set(&m->node[BASE_FLATTEN], flatten);
}

static void edit_transpose(net *m, const row *r)
{
    pb transpose = node_of("Transpose", "transpose", "d", "e");
    attr_ints(&transpose, "perm", r->n, r->v);
    net_set(&m->node[BASE_RELU], transpose);
}

static void edit_reshape(net *m, const row *r)
{
    net_set(&m->node[BASE_FLATTEN], node_of("Reshape", "reshape", "f,s", "g"));
    net_init(m, tensor_ints("s", r->n, r->v));
}

static void edit_bool(net *m, const row *r)
{
    pb flatten = base_gemm();
    attr_int(&flatten, r->t, r->v[0]);
    net_set(&m->node[BASE_GEMM], flatten);
}

/* --- sizes --------------------------------------------------------------- */

static void edit_splat(net *m, const row *r)
{
    net_init(m, tensor_ints("s", r->n, r->v));
    net_node(m, node_of("ConstantOfShape", "splat", "s", "big"));
}

static void edit_concat(net *m, const row *r)
{
    enum { MIB = 1 << 20 };
    char names[4 * 65] = "";
    int64_t n = MIB / 4;
    void *zeros = calloc(1, MIB);
    pb constant = node_of("Constant", "k", "", "k");
    attr_tensor(&constant, "value", tensor_raw("k", ELEM_FLOAT, 1, &n, zeros, MIB));
    free(zeros);
    for (int64_t i = 0; i < r->v[0]; ++i)
        strcat(names, i ? ",k" : "k");
    pb concat = node_of("Concat", "concat", names, "big");
    attr_int(&concat, "axis", 0);
    net_node(m, constant);
    net_node(m, concat);
}

/* Each turns the megabyte of one weight round, into a copy of its own. */
static void edit_gemms(net *m, const row *r)
{
    float *zeros = calloc(4 * 65536, sizeof *zeros);
    net_init(m, tensor_raw("k", ELEM_FLOAT, 2, (int64_t[]){ 4, 65536 }, zeros, 1 << 20));
    free(zeros);
    for (int64_t i = 0; i < r->v[0]; ++i) {
        char name[16];
        snprintf(name, sizeof name, "k%d", (int)i);
        pb_message(&m->more_graph, 1, node_of("Gemm", name, "g,k", name));
    }
}

static void edit_empty_attrs(net *m, const row *r)
{
    pb node = node_of("Relu", "relu", "d", "e");
    for (int64_t i = 0; i < r->v[0]; ++i)
        pb_bytes(&node, 5, "", 0);
    net_set(&m->node[BASE_RELU], node);
}

static void edit_long_name(net *m, const row *r)
{
    char *name = malloc((size_t)r->v[0] + 1);
    memset(name, 'a', (size_t)r->v[0]);
    name[r->v[0]] = '\0';
    net_set(&m->node[BASE_RELU], node_of("Relu", name, "d", "e"));
    free(name);
}

static void edit_name_bytes(net *m, const row *r)
{
    pb node = { 0 };
    pb_text(&node, 1, "d");
    pb_text(&node, 2, "e");
    pb_bytes(&node, 3, r->t, (size_t)r->v[0]);
    pb_text(&node, 4, "Relu");
    net_set(&m->node[BASE_RELU], node);
}

/* --- the table ----------------------------------------------------------- */

#define V(...)                                                                                     \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
static const row rows[] = {
    { "node reads itself", BAD, "defined later", edit_operand, "e", V(0), 0 },
    { "two read each other", BAD, "defined later", edit_mutual, NULL, V(0), 0 },
    { "nodes reversed", BAD, "defined later", edit_reversed, NULL, V(0), 0 },
    { "operand nobody defines", BAD, "undefined", edit_operand, "nobody", V(0), 0 },
    { "output nobody defines", BAD, "undefined", edit_output, "nobody", V(0), 0 },
    { "two nodes, one output", BAD, "defined twice", edit_defined_twice, "d", V(0), 0 },
    { "node and initialiser", BAD, "defined twice", edit_defined_twice, "w", V(0), 0 },
    { "node and input", BAD, "defined twice", edit_defined_twice, "x", V(0), 0 },
    { "dims 0", BAD, "dimension", edit_weight_dims, NULL, V(4, 3, 0, 3), 4 },
    { "dims -1", BAD, "dimension", edit_weight_dims, NULL, V(4, 3, -1, 3), 4 },
    { "dims overflow", BAD, "size overflows", edit_weight_dims, NULL, V(65536, 65536, 65536, 65536),
      4 },
    { "input dim", OVER, "dim", edit_input, NULL, V(-1, 3, 2147483648, 8), 4 },
    { "input elements", OVER, "elements", edit_input, NULL, V(-1, 3, 65536, 65536), 4 },
    { "input rank", OVER, "rank", edit_input, NULL, V(-1, 1, 1, 1, 1, 1, 1, 1, 1), 9 },
    { "raw short", BAD, "bytes", edit_weight_bytes, NULL, V(431), 0 },
    { "raw long", BAD, "bytes", edit_weight_bytes, NULL, V(433), 0 },
    { "raw absent", BAD, "bytes", edit_weight_absent, NULL, V(0), 0 },
    { "raw beside float_data", BAD, "data given twice", edit_weight_twice, NULL, V(0), 0 },
    { "no opset", BAD, "opset", edit_versions, NULL, V(8, 0), 0 },
    { "Gemm K", BAD, "shape", edit_gemm_k, NULL, V(0), 0 },
    { "data_type 0", BAD, "element type", edit_weight_type, NULL, V(0, 4), 0 },
    { "data_type 99", BAD, "element type", edit_weight_type, NULL, V(99, 4), 0 },
    { "COMPLEX64", NO, "element type", edit_weight_type, NULL, V(14, 8), 0 },
    { "opset 999", NO, "opset", edit_versions, NULL, V(8, 999), 0 },
    { "opset 1", NO, "opset", edit_versions, NULL, V(8, 1), 0 },
    { "ir_version 999", NO, "ir_version", edit_versions, NULL, V(999, 17), 0 },
    { "domain of the opset", NO, "domain", edit_versions, "x.y", V(8, 17), 0 },
    { "domain of a node", NO, "domain", edit_node_domain, "x.y", V(0), 0 },
    { "If", NO, "If", edit_op, "If", V(0), 0 },
    { "Loop", NO, "Loop", edit_op, "Loop", V(0), 0 },
    { "Scan", NO, "Scan", edit_op, "Scan", V(0), 0 },
    { "Foo", NO, "Foo", edit_op, "Foo", V(0), 0 },
    { "local function", NO, "swish", edit_function, "swish", V(0), 0 },
    { "sparse_initializer", NO, "sparse_initializer", edit_sparse, "sw", V(0), 0 },
    { "weight is an input", NO, "not constant", edit_weight_is_input, NULL, V(0), 0 },
    { "shape is an input", NO, "not constant", edit_shape_is_input, NULL, V(0), 0 },
    { "stride 0", BAD, "strides", edit_conv_ints, "strides", V(0, 1), 2 },
    { "dilation 0", BAD, "dilations", edit_conv_ints, "dilations", V(0, 1), 2 },
    { "kernel 0", BAD, "kernel_shape", edit_conv_ints, "kernel_shape", V(0, 3), 2 },
    { "pad -1", BAD, "pads", edit_conv_ints, "pads", V(-1, 1, 1, 1), 4 },
    { "pad 2^62", BAD, "pads", edit_conv_ints, "pads", V(INT64_C(1) << 62, 1, 1, 1), 4 },
    { "3 strides", BAD, "strides", edit_conv_ints, "strides", V(1, 1, 1), 3 },
    { "Flatten axis 9", BAD, "axis", edit_flatten, NULL, V(9), 0 },
    { "perm twice", BAD, "perm", edit_transpose, NULL, V(0, 0, 1, 2), 4 },
    { "auto_pad X", BAD, "auto_pad", edit_conv_text, "X", V(0), 0 },
    { "transA 2", BAD, "transA", edit_bool, "transA", V(2), 0 },
    { "kernel 9, pads 0", BAD, "kernel", edit_conv_kernel, NULL, V(0), 0 },
    { "group 2", BAD, "group", edit_conv_int, "group", V(2), 0 },
    { "group 0", BAD, "group", edit_conv_int, "group", V(0), 0 },
    { "Reshape [-1,-1]", BAD, "Reshape", edit_reshape, NULL, V(-1, -1), 2 },
    { "Reshape [-1,7]", BAD, "Reshape", edit_reshape, NULL, V(-1, 7), 2 },
    { "Reshape [-2,4]", BAD, "Reshape", edit_reshape, NULL, V(-2, 4), 2 },
    { "weight NaN", OK, "not finite", edit_weight_value, NULL, V(0), 0 },
    { "weight Inf", OK, "not finite", edit_weight_value, NULL, V(1), 0 },
    { "weights denormal", OK, NULL, edit_weight_value, NULL, V(2), 0 },
    { "epsilon 0, variance 1", OK, NULL, edit_bn, NULL, V(1, 0), 0 },
    { "variance -1", BAD, "variance", edit_bn, NULL, V(-1, 1), 0 },
    { "variance 0, epsilon 0", BAD, "variance", edit_bn, NULL, V(0, 0), 0 },
    { "epsilon NaN", BAD, "epsilon", edit_bn, NULL, V(1, 2), 0 },
    { "ConstantOfShape", OVER, "weights", edit_splat, NULL, V(1048576, 8192), 2 },
    { "Constant joined 65 times", OVER, "folded", edit_concat, NULL, V(65), 0 },
    { "a weight turned 66 times", OVER, "folded", edit_gemms, NULL, V(66), 0 },
    { "a weight turned 60 times", OK, NULL, edit_gemms, NULL, V(60), 0 },
    { "600,000 empty attributes", OVER, "messages", edit_empty_attrs, NULL, V(600000), 0 },
    { "name of 1 MiB", OVER, "name", edit_long_name, NULL, V(1 << 20), 0 },
    { "name not UTF-8", BAD, "name", edit_name_bytes,
      "a\xff"
      "b",
      V(3), 0 },
    { "name with NUL", BAD, "name", edit_name_bytes, "a\0b", V(3), 0 },
};

/* --- running it ---------------------------------------------------------- */

static bool is_as_wanted(const run *r, int status, const char *core)
{
    int errors = run_count(r, TLB_ERROR, NULL), warnings = run_count(r, TLB_WARNING, NULL);
    if ((int)r->status != status || errors != (status != OK))
        return false;
    if (status == OK)
        return core ? run_count(r, TLB_WARNING, core) == 1 && warnings == 1 : warnings == 0;
    return run_count(r, TLB_ERROR, core) == 1;
}

static const char *below(const char *name);

static void check(run *r, const char *name, int status, const char *core)
{
    table_row((int)r->status, name, r->ctx.diags, r->ctx.n_diags, below(""));
    if (!is_as_wanted(r, status, core)) {
        printf("%s: wanted %d \"%s\"\n", name, status, core ? core : "");
        run_show(r);
        fail();
    }
    run_end(r);
}

static void run_row(const row *w)
{
    run r;
    net m = base_net();
    w->edit(&m, w);
    clock_t start = clock();
    run_net(&r, &m);
    if (IS_PLAIN_BUILD)
        assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 2);
    check(&r, w->name, w->status, w->core);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        run_row(&rows[i]);
}

static void test_base(void **state)
{
    (void)state;
    run r;
    net m = base_net();
    run_net(&r, &m);
    assert_true(is_as_wanted(&r, OK, NULL));
    assert_int_equal(run_forward(&r)->n_nodes, 6);
    assert_int_equal(r.info.n_params, 6);
    assert_int_equal(r.info.param_elems, 108 + 4 + 4 + 4 + 40 + 10);
    assert_false(r.info.generalised);
    run_end(&r);
}

/* --- external data ------------------------------------------------------- */

static char folder[] = "/tmp/tlc-external-XXXXXX";

static const char *below(const char *name)
{
    static char path[2][256];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void write_zeros(const char *name, size_t n)
{
    FILE *f = fopen(below(name), "wb");
    void *zeros = calloc(1, n + 1);
    assert_non_null(f);
    assert_int_equal(fwrite(zeros, 1, n, f), n);
    fclose(f);
    free(zeros);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    write_zeros("w", 432);
    write_zeros("big", 1 << 20);
    write_zeros("two", 432);
    mkdir(below("real"), 0700);
    write_zeros("real/w", 432);
    return symlink("w", below("link")) || symlink("real", below("linked")) ||
           link(below("two"), below("too")) || mkfifo(below("fifo"), 0600);
}

static int drop_folder(void **state)
{
    static const char *const names[] = { "w",    "big",  "two",    "too", "real/w",
                                         "real", "link", "linked", "fifo" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        remove(below(names[i]));
    return rmdir(folder);
}

/* BASE whose weight lies at `location`; NULL for offset or length leaves the entry out. */
static net external_net(const char *location, size_t location_bytes, const char *offset,
                        const char *length)
{
    net m = base_net();
    pb t = tensor_head("w", ELEM_FLOAT, 4, (int64_t[]){ 4, 3, 3, 3 });
    tensor_external(&t, "location", location, location_bytes);
    if (offset)
        tensor_external(&t, "offset", offset, strlen(offset));
    if (length)
        tensor_external(&t, "length", length, strlen(length));
    pb_int(&t, 14, 1);
    net_set(&m.init[BASE_W], t);
    return m;
}

static void expect_external(net m, const char *name, int status, const char *core)
{
    run r;
    run_bytes(&r, net_bytes(&m), below("net.onnx"));
    check(&r, name, status, core);
}

static void test_locations(void **state)
{
    (void)state;
    static const char *const bad[] = { "../w", "a/../../w", "/w", "", "a\\w", "C:w" };
    static const char *const not_plain[] = { "link", "linked/w", "too", "fifo", "real" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i)
        expect_external(external_net(bad[i], strlen(bad[i]), NULL, NULL), bad[i], BAD, "location");
    expect_external(external_net("w\0x", 3, NULL, NULL), "NUL", BAD, "location");
    for (size_t i = 0; i < sizeof not_plain / sizeof *not_plain; ++i)
        expect_external(external_net(not_plain[i], strlen(not_plain[i]), NULL, NULL), not_plain[i],
                        BAD, "not a plain file");
    expect_external(external_net("gone", 4, NULL, NULL), "missing", MISSING, "external data");
    expect_external(external_net("w", 1, NULL, NULL), "w", OK, NULL);
    expect_external(external_net("real/w", 6, "0", "432"), "real/w", OK, NULL);
}

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *offset, *length, *core;
    } bad[] = {
        { "433", NULL, "outside" },
        { "1", NULL, "outside" },
        { "9223372036854775807", "8", "outside" },
        { "0", "-1", "length" },
        { "x", "432", "offset" },
        { "9223372036854775808", "432", "offset" },
        { "0", "428", "length" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i)
        expect_external(external_net("w", 1, bad[i].offset, bad[i].length), "range", BAD,
                        bad[i].core);
    net m = external_net("w", 1, NULL, NULL);
    tensor_external(&m.init[BASE_W], "colour", "red", 3);
    expect_external(m, "unknown key", BAD, "key");
    m = external_net("w", 1, NULL, NULL);
    tensor_external(&m.init[BASE_W], "location", "w", 1);
    expect_external(m, "key twice", BAD, "key");
}

static pb external_vector(const char *name, const char *location, const char *offset, int64_t n)
{
    pb t = tensor_head(name, ELEM_FLOAT, 1, &n);
    tensor_external(&t, "location", location, strlen(location));
    tensor_external(&t, "offset", offset, strlen(offset));
    pb_int(&t, 14, 1);
    return t;
}

static void test_shared_bytes(void **state)
{
    (void)state;
    net m = base_net();
    net_set(&m.init[BASE_B], external_vector("b", "w", "0", 4));
    net_set(&m.init[BASE_BIAS], external_vector("bias", "w", "8", 4));
    expect_external(m, "partly shared bytes", OK, "share");
    m = base_net();
    net_set(&m.init[BASE_B], external_vector("b", "w", "0", 4));
    net_set(&m.init[BASE_BIAS], external_vector("bias", "w", "0", 4));
    expect_external(m, "shared bytes", OK, NULL); /* the same bytes: shared weights */
}

static void test_many_on_one_range(void **state)
{
    (void)state;
    net m = base_net();
    for (int i = 0; i < 30000; ++i) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        pb_message(&m.more_graph, 5, external_vector(name, "big", "0", (1 << 20) / 4));
    }
    expect_external(m, "30,000 tensors on 1 MiB", OVER, "weights");
}

/* --- time and memory of a megabyte --------------------------------------- */

enum { MIB = 1 << 20 };

static void run_megabyte(const char *hex, unsigned field)
{
    run r;
    net m = base_net();
    pb part = { 0 }, *to = field == 5 ? &m.node[BASE_RELU] : &m.more_graph;
    for (; *hex; hex += 2) {
        char digits[3] = { hex[0], hex[1], 0 };
        unsigned char b = (unsigned char)strtoul(digits, NULL, 16);
        pb_put(&part, &b, 1);
    }
    while (to->n < MIB)
        pb_put(to, part.bytes, part.n);
    pb_free(&part);
    clock_t start = clock();
    run_net(&r, &m);
    assert_true(r.status == TLC_OK || r.status == TLC_E_MALFORMED ||
                r.status == TLC_E_UNSUPPORTED || r.status == TLC_E_LIMIT);
    if (IS_PLAIN_BUILD)
        assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 2);
    run_end(&r);
}

/* The smallest of each kind of message and field, as often as a megabyte holds it. */
static void test_megabytes(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        unsigned field;
    } parts[] = {
        { "0a00", 5 },     { "1200", 5 },         { "2a00", 5 },
        { "2a022a00", 5 }, { "2a025200", 5 },     { "2a023a00", 5 },
        { "2a024000", 5 }, { "2a044202ffff", 5 }, { "0a00", 1 },
        { "0a022a00", 1 }, { "2a00", 1 },         { "2a0408010a00", 1 },
        { "5a00", 1 },     { "6200", 1 },         { "6a00", 1 },
        { "7a00", 1 },     { "7a020a00", 1 },     { "5a081206120612040a00", 1 },
        { "f87f01", 1 },
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; ++i)
        run_megabyte(parts[i].hex, parts[i].field);
}

/* Tens of thousands of names with one hash would be slow in a table that hashes. */
static void test_many_names(void **state)
{
    (void)state;
    run r;
    net m = base_net();
    for (int i = 0; i < 40000; ++i) {
        char in[32], out[32];
        snprintf(in, sizeof in, i ? "v%d" : "x", i - 1);
        snprintf(out, sizeof out, "v%d", i);
        pb_message(&m.more_graph, 1, node_of("Relu", "", in, out));
    }
    clock_t start = clock();
    run_net(&r, &m);
    if (IS_PLAIN_BUILD)
        assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 2);
    check(&r, "many names", OK, NULL);
}

/* Exact lines, and no row less. */
static void test_table(void **state)
{
    (void)state;
    table_end("onnx");
}

/* Of all of the above together, so of each. */
static void test_resident(void **state)
{
    struct rusage u;
    (void)state;
    getrusage(RUSAGE_SELF, &u);
    if (IS_PLAIN_BUILD)
        assert_in_range(u.ru_maxrss, 1, 256 * 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base),         cmocka_unit_test(test_rows),
        cmocka_unit_test(test_locations),    cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_shared_bytes), cmocka_unit_test(test_many_on_one_range),
        cmocka_unit_test(test_megabytes),    cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_table),        cmocka_unit_test(test_resident),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
