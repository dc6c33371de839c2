/* test_fold.c: constants made at compile time: values, the batch symbol, refusals, limits. */
#include "op_infer.h"
#include "ops_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

typedef struct fold_case {
    const char *op, *operands, *attrs;
    const char *result; /* NULL: the operator declines */
} fold_case;

static const fold_case cases[] = {
    /* shape asks its operand's shape alone */
    { "shape", "f32:n,3,8,8", NULL, "i64:4=n,3,8,8" },
    { "shape", "c@i64:4=0,1,0,1", NULL, "i64:1=4" },
    { "shape", "f32:-", NULL, "i64:0=" },
    { "shape", "p@f32:4,9", NULL, "i64:2=4,9" },
    /* what is not constant, or has no bytes, is left alone */
    { "add", "c@i64:1=3 i64:1", NULL, NULL },
    { "add", "c@f32:1=3 p@f32:1=4", NULL, NULL },
    { "identity", "c@f32:1", NULL, NULL },
    { "relu", "c@f32:1=3", NULL, NULL },
    /* functions of one number */
    { "sqrt", "c@f32:2=4,9", NULL, "f32:2=2,3" },
    { "hard_sigmoid", "c@f32:3=-9,0,9", NULL, "f32:3=0,0.5,1" },
    { "hard_swish", "c@f32:3=-4,0,4", NULL, "f32:3=-0,0,4" },
    { "leaky_relu", "c@f32:2=-2,2", "alpha=0.5", "f32:2=-1,2" },
    { "elu", "c@f32:2=0,2", NULL, "f32:2=0,2" },
    { "pow", "c@f32:2=2,3", "alpha=3", "f32:2=8,27" },
    { "sigmoid", "c@f64:1=0", NULL, "f64:1=0.5" },
    { "exp", "c@f64:1=0", NULL, "f64:1=1" },
    { "log", "c@f64:1=1", NULL, "f64:1=0" },
    { "erf", "c@f64:1=0", NULL, "f64:1=0" },
    { "tanh", "c@f64:1=0", NULL, "f64:1=0" },
    { "abs", "c@f32:2=-2,3", NULL, "f32:2=2,3" },
    { "floor", "c@f32:2=-1.5,1.5", NULL, "f32:2=-2,1" },
    { "ceil", "c@f32:2=-1.5,1.5", NULL, "f32:2=-1,2" },
    { "round", "c@f32:4=0.5,1.5,2.6,-2.5", NULL, "f32:4=0,2,3,-2" },
    { "min", "c@i64:3=1,2,3 c@i64:-=2", NULL, "i64:3=1,2,2" },
    { "max", "c@f32:3=1,2,nan c@f32:1=2", NULL, "f32:3=2,2,nan" },
    { "max", "c@f32:1=2 c@f32:1=nan", NULL, "f32:1=nan" },
    { "max", "c@i64:1=n c@i64:1=2", NULL, NULL },
    { "min", "c@i64:1=n c@i64:1=n", NULL, "i64:1=n" },
    /* comparisons: the symbol is at least 1 */
    { "mod", "c@i64:4=7,-7,7,-7 c@i64:4=3,3,-3,-1", NULL, "i64:4=1,2,-2,0" },
    { "mod", "c@i64:1=n c@i64:1=3", NULL, NULL },
    { "equal", "c@i64:3=n,-1,5 c@i64:1=-1", NULL, "bool:3=0,1,0" },
    { "equal", "c@i64:2=n,4 c@i64:2=n,4", NULL, "bool:2=1,1" },
    { "equal", "c@i64:1=n c@i64:1=4", NULL, NULL },
    { "equal", "c@bool:2=0,1 c@bool:-=0", NULL, "bool:2=1,0" },
    { "greater", "c@i64:2=n,0 c@i64:1=0", NULL, "bool:2=1,0" },
    { "greater", "c@i64:1=0 c@i64:1=n", NULL, "bool:1=0" },
    { "greater", "c@i64:1=3 c@i64:1=n", NULL, NULL },
    { "greater", "c@f32:2=2,1 c@f32:1=1.5", NULL, "bool:2=1,0" },
    { "and", "c@bool:2,1=0,1 c@bool:2=0,1", NULL, "bool:2,2=0,0,0,1" },
    { "range", "c@i64:-=2 c@i64:-=9 c@i64:-=3", NULL, "i64:3=2,5,8" },
    { "range", "c@i32:-=3 c@i32:-=-1 c@i32:-=-2", NULL, "i32:2=3,1" },
    { "range", "c@i64:-=3 c@i64:-=3 c@i64:-=1", NULL, "i64:0=" },
    { "scatter_nd", "c@i64:4=1,2,3,4 c@i64:2,1=-1,1 c@i64:2=n,9", NULL, "i64:4=1,9,3,n" },
    { "scatter_nd", "c@f32:2,2=1,2,3,4 c@i64:1,1=1 c@f32:1,2=7,8", NULL, "f32:2,2=1,2,7,8" },
    { "scatter_nd", "c@f32:2,2=~0 c@i64:2,2=1,0,0,1 c@f32:2=7,8", NULL, "f32:2,2=0,8,7,0" },
    { "where", "c@bool:3=1,0,1 c@i64:3=n,2,3 c@i64:1=-1", NULL, "i64:3=n,-1,3" },
    /* movement, which the symbol passes through */
    { "gather", "c@i64:4=n,3,8,9 c@i64:-=0", NULL, "i64:-=n" },
    { "gather", "c@i64:4=n,3,8,9 c@i64:2=-1,1", NULL, "i64:2=9,3" },
    { "gather", "c@i32:2,3=1,2,3,4,5,6 c@i64:1,2=2,0", "axis=1", "i32:2,1,2=3,1,6,4" },
    { "gather", "c@f32:2,2=1,2,3,4 c@i32:1=1", NULL, "f32:1,2=3,4" },
    { "slice", "c@i64:4=n,3,8,9", "starts=2 ends=4 steps=1", "i64:2=8,9" },
    { "slice", "c@i64:4=n,3,8,9", "starts=3 ends=-1 steps=-1", "i64:4=9,8,3,n" },
    { "slice", "c@i64:4=n,3,8,9", "starts=0 ends=4 steps=2", "i64:2=n,8" },
    { "slice", "c@i64:4=n,3,8,9", "starts=1 ends=1 steps=1", "i64:0=" },
    { "slice", "c@i64:2,3=1,2,3,4,5,6", "starts=1,0 ends=-1,3 steps=-1,2", "i64:2,2=4,6,1,3" },
    { "concat", "c@i64:1=n c@i64:2=3,4", "axis=0", "i64:3=n,3,4" },
    { "concat", "c@i64:0= c@i64:1=5", "axis=0", "i64:1=5" },
    { "concat", "c@i64:2,1=1,2 c@i64:2,2=3,4,5,6", "axis=1", "i64:2,3=1,3,4,2,5,6" },
    { "concat", "c@f32:2=~7 c@f32:1=8", "axis=0", "f32:3=7,7,8" },
    { "transpose", "c@i64:2,3=1,2,3,4,5,6", "perm=1,0", "i64:3,2=1,4,2,5,3,6" },
    { "transpose", "c@u8:1,2,2=1,2,3,4", "perm=2,1,0", "u8:2,2,1=1,3,2,4" },
    { "squeeze", "c@i64:1=n", "axes=0", "i64:-=n" },
    { "unsqueeze", "c@i64:-=n", "axes=0", "i64:1=n" },
    { "reshape", "c@i64:4=1,2,3,4", "shape=2,2", "i64:2,2=1,2,3,4" },
    { "flatten", "c@f32:2,1,2=1,2,3,4", "axis=1", "f32:2,2=1,2,3,4" },
    { "flatten", "c@f32:2,1,2=~4", "axis=1", "f32:2,2=~4" },
    { "identity", "c@bool:2=1,0", NULL, "bool:2=1,0" },
    /* arithmetic */
    { "add", "c@i64:2=1,2 c@i64:-=10", NULL, "i64:2=11,12" },
    { "sub", "c@i64:2,1=1,2 c@i64:1,2=10,20", NULL, "i64:2,2=-9,-19,-8,-18" },
    { "mul", "c@i64:2=3,-4 c@i64:2=5,6", NULL, "i64:2=15,-24" },
    { "div", "c@i64:3=7,-7,9 c@i64:1=2", NULL, "i64:3=3,-3,4" },
    { "add", "c@i64:0= c@i64:1=4", NULL, "i64:0=" },
    { "mul", "c@i32:2=65535,2 c@i32:1=~32768", NULL, "i32:2=2147450880,65536" },
    { "add", "c@f32:1=16777216 c@f32:1=1", NULL, "f32:1=1.67772e+07" },
    { "div", "c@f64:2=1,1 c@f64:2=4,0", NULL, "f64:2=0.25,inf" },
    /* arithmetic on the symbol: only what leaves it as it is */
    { "mul", "c@i64:2=n,3 c@i64:1=1", NULL, "i64:2=n,3" },
    { "mul", "c@i64:1=1 c@i64:2=n,3", NULL, "i64:2=n,3" },
    { "add", "c@i64:1=n c@i64:1=0", NULL, "i64:1=n" },
    { "add", "c@i64:1=0 c@i64:1=n", NULL, "i64:1=n" },
    { "sub", "c@i64:1=n c@i64:1=0", NULL, "i64:1=n" },
    { "div", "c@i64:1=n c@i64:1=1", NULL, "i64:1=n" },
    { "sub", "c@i64:1=0 c@i64:1=n", NULL, NULL },
    { "div", "c@i64:1=1 c@i64:1=n", NULL, NULL },
    /* k n, k at least 2, is -2^62 - k */
    { "mul", "c@i64:2=3,n c@i64:1=2", NULL, "i64:2=6,-4611686018427387906" },
    { "mul", "c@i64:1=-4611686018427387906 c@i64:1=3", NULL, "i64:1=-4611686018427387910" },
    { "div", "c@i64:1=-4611686018427387910 c@i64:2=3,6", NULL, "i64:2=-4611686018427387906,n" },
    { "div", "c@i64:1=-4611686018427387910 c@i64:1=4", NULL, NULL },
    { "mul", "c@i64:1=n c@i64:1=-2", NULL, NULL },
    { "mul", "c@i64:1=n c@i64:1=4294967296", NULL, NULL },
    { "equal", "c@i64:3=-4611686018427387906,n,-1 c@i64:1=-4611686018427387906", NULL,
      "bool:3=1,0,0" },
    { "add", "c@i64:2=n,3 c@i64:1=1", NULL, NULL },
    { "div", "c@i64:1=n c@i64:1=0", NULL, NULL },
    /* conversion */
    { "cast", "c@i64:2=n,3", "to=i64", "i64:2=n,3" },
    { "cast", "c@i64:2=n,3", "to=i32", NULL },
    { "cast", "c@i64:2=n,3", "to=f32", NULL },
    { "cast", "c@i64:2=7,-3", "to=i32", "i32:2=7,-3" },
    { "cast", "c@i32:2=7,-3", "to=f64", "f64:2=7,-3" },
    { "cast", "c@f32:3=2.9,-2.9,0", "to=i64", "i64:3=2,-2,0" },
    { "cast", "c@f32:3=0.5,0,nan", "to=bool", "bool:3=1,0,1" },
    { "cast", "c@i64:2=0,5", "to=bool", "bool:2=0,1" },
    { "cast", "c@bool:2=1,0", "to=u8", "u8:2=1,0" },
    { "cast", "c@f64:1=0.1", "to=f32", "f32:1=0.1" },
    { "constant_of_shape", "c@i64:2=3,4", "type=i64 value=7", "i64:3,4=~7" },
    { "constant_of_shape", "c@i64:1=4", "value=0.5", "f32:4=~0.5" },
    { "constant_of_shape", "c@i64:1=0", "type=i64", "i64:0=~0" },
};

typedef struct refusal {
    const char *op, *operands, *attrs;
    const char *id, *core;
} refusal;

static const refusal refusals[] = {
    { "gather", "c@i64:4=1,2,3,4 c@i64:1=4", NULL, "E_INDEX",
      "indices[0] is 4, at least -4 and at most 3" },
    { "gather", "c@i64:4=1,2,3,4 c@i64:2=0,-5", NULL, "E_INDEX", "indices[1] is -5" },
    { "gather", "c@i64:0= c@i64:1=0", NULL, "E_INDEX", "indices[0] is 0" },
    { "div", "c@i64:1=1 c@i64:1=0", NULL, "E_DIVISION", "division by 0" },
    { "add", "c@i64:1=9223372036854775807 c@i64:1=1", NULL, "E_OVERFLOW",
      "integer add: size overflows i64" },
    { "mul", "c@i64:1=4294967296 c@i64:1=4294967296", NULL, "E_OVERFLOW", "integer mul" },
    /* would read back as the symbol */
    { "sub", "c@i64:1=-9223372036854775807 c@i64:1=1", NULL, "E_OVERFLOW", "integer sub" },
    { "div", "c@i32:1=-2147483648 c@i32:1=-1", NULL, "E_OVERFLOW", "overflows i32" },
    { "sub", "c@u8:1=1 c@u8:1=2", NULL, "E_OVERFLOW", "overflows u8" },
    { "cast", "c@f32:1=1e19", "to=i64", "E_OVERFLOW", "cast of 1e+19" },
    { "cast", "c@f32:1=nan", "to=i64", "E_OVERFLOW", "cast of nan" },
    { "cast", "c@i64:1=300", "to=u8", "E_OVERFLOW", "cast of 300: not in the range of u8" },
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

typedef struct world {
    tlc_ctx ctx;
    jmp_buf exhausted;
    tlc_func *f;
} world;

static void world_init(world *w)
{
    tlc_ctx_init(&w->ctx, &w->exhausted);
    w->f = tlc_func_add(tlc_module_make(&w->ctx, "test"), "forward");
}

static tlc_node *make_node(world *w, const char *op_name, const char *operands, const char *attrs)
{
    tlc_op op = TLC_OP_COUNT;
    assert_true(tlc_op_find(op_name, strlen(op_name), &op));
    tlc_node *n = text_node(w->f, op, operands, attrs);
    if (tlc_node_infer(&w->ctx, n) != TLC_OK)
        fail_msg("%s %s: %s", op_name, operands, w->ctx.diags[0].what);
    return n;
}

static void folds_to_the_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); ++i) {
        const fold_case *c = &cases[i];
        tlc_value *v = NULL;
        world w;
        world_init(&w);
        tlc_node *n = make_node(&w, c->op, c->operands, c->attrs);
        size_t before = w.f->module->n_globals;
        if (tlc_fold_node(&w.ctx, n, &v) != TLC_OK)
            fail_msg("%s %s: %s", c->op, c->operands, w.ctx.diags[0].what);
        if (!v != !c->result)
            fail_msg("%s %s: %s", c->op, c->operands, v ? "folds" : "declines");
        /* one that declines leaves no constant behind */
        assert_int_equal(w.f->module->n_globals, before + (v ? 1 : 0));
        if (v && strcmp(text_constant(&w.ctx, v), c->result) != 0)
            fail_msg("%s %s: %s, %s wanted", c->op, c->operands, text_constant(&w.ctx, v),
                     c->result);
        tlc_ctx_fini(&w.ctx);
    }
}

static void refuses_bad_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(refusals); ++i) {
        const refusal *r = &refusals[i];
        tlc_value *v = NULL;
        world w;
        world_init(&w);
        tlc_node *n = make_node(&w, r->op, r->operands, r->attrs);
        if (tlc_fold_node(&w.ctx, n, &v) != TLC_E_MALFORMED)
            fail_msg("%s %s is not refused", r->op, r->operands);
        assert_null(v);
        assert_string_equal(w.ctx.diags[0].id, r->id);
        if (!strstr(w.ctx.diags[0].what, r->core))
            fail_msg("'%s' lacks '%s'", w.ctx.diags[0].what, r->core);
        tlc_ctx_fini(&w.ctx);
    }
}

static void views_share_bytes_and_place(void **state)
{
    (void)state;
    world w;
    tlc_value *v = NULL;
    world_init(&w);
    tlc_node *n = make_node(&w, "reshape", "c@f32:4=1,2,3,4", "shape=2,2");
    n->in[0]->file = "weights.bin";
    n->in[0]->file_offset = 64;
    n->out[0]->name = "y";
    w.ctx.limits.max[TLB_LIMIT_FOLDED] = 0; /* nothing is made */
    assert_int_equal(tlc_fold_node(&w.ctx, n, &v), TLC_OK);
    assert_ptr_equal(v->data, n->in[0]->data);
    assert_string_equal(v->file, "weights.bin");
    assert_int_equal(v->file_offset, 64);
    assert_string_equal(v->name, "y");
    tlc_ctx_fini(&w.ctx);
}

static void folded_bytes_are_limited(void **state)
{
    (void)state;
    world w;
    tlc_value *v = NULL;
    world_init(&w);
    w.ctx.limits.max[TLB_LIMIT_FOLDED] = 48;
    tlc_node *n = make_node(&w, "concat", "c@i64:2=1,2 c@i64:1=3", "axis=0");
    assert_int_equal(tlc_fold_node(&w.ctx, n, &v), TLC_OK);
    assert_int_equal(tlc_fold_node(&w.ctx, n, &v), TLC_OK);
    assert_int_equal(tlc_fold_node(&w.ctx, n, &v), TLC_E_LIMIT);
    assert_string_equal(w.ctx.diags[0].id, "E_LIMIT_FOLDED");
    assert_string_equal(w.ctx.diags[0].what,
                        "constants made by folding are 72 bytes, limit folded is 48");
    tlc_ctx_fini(&w.ctx);
}

static void splats_count_as_weights(void **state)
{
    (void)state;
    world w;
    tlc_value *v = NULL;
    world_init(&w);
    w.ctx.limits.max[TLB_LIMIT_FOLDED] = 0;
    w.ctx.limits.max[TLB_LIMIT_WEIGHTS] = 100;
    tlc_node *n = make_node(&w, "constant_of_shape", "c@i64:1=16", NULL);
    assert_int_equal(tlc_fold_node(&w.ctx, n, &v), TLC_OK);
    assert_int_equal(tlc_fold_node(&w.ctx, n, &v), TLC_E_LIMIT);
    assert_string_equal(w.ctx.diags[0].id, "E_LIMIT_WEIGHTS");
    tlc_ctx_fini(&w.ctx);
}

/* Pads of an exported TensorFlow-style network: [0,1,0,1] to ONNX's order, by ten operators. */
static void folds_a_chain_of_pads(void **state)
{
    (void)state;
    static const struct {
        const char *op, *attrs;
    } chain[] = {
        { "reshape", "shape=4,2" },
        { "slice", "starts=3,0 ends=-1,2 steps=-1,1" },
        { "transpose", "perm=1,0" },
        { "reshape", "shape=8" },
    };
    world w;
    tlc_value *v = NULL;
    world_init(&w);
    tlc_node *n = make_node(&w, "concat", "c@i64:4=0,1,0,1 c@i64:4=~0", "axis=0");
    assert_int_equal(tlc_fold_node(&w.ctx, n, &v), TLC_OK);
    for (size_t i = 0; i < COUNT(chain); ++i) {
        tlc_op op = TLC_OP_COUNT;
        assert_true(tlc_op_find(chain[i].op, strlen(chain[i].op), &op));
        n = tlc_node_add(w.f, NULL, op, NULL, &v, 1);
        text_attrs(n, chain[i].attrs);
        assert_int_equal(tlc_node_infer(&w.ctx, n), TLC_OK);
        assert_int_equal(tlc_fold_node(&w.ctx, n, &v), TLC_OK);
    }
    assert_string_equal(text_constant(&w.ctx, v), "i64:8=0,0,0,0,0,0,1,1");
    tlc_ctx_fini(&w.ctx);
}

/* The bytes may be of another type than the value (--precision fp64). */
static void reads_bytes_by_their_own_type(void **state)
{
    (void)state;
    world w;
    tlc_value *v = NULL;
    world_init(&w);
    tlc_node *n = make_node(&w, "transpose", "c@f32:1,2=1.5,2.5", "perm=1,0");
    n->in[0]->type = TLC_F64;
    assert_int_equal(tlc_node_infer(&w.ctx, n), TLC_OK);
    assert_int_equal(tlc_fold_node(&w.ctx, n, &v), TLC_OK);
    assert_string_equal(text_constant(&w.ctx, v), "f64:2,1=1.5,2.5");
    tlc_ctx_fini(&w.ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_to_the_value),
        cmocka_unit_test(refuses_bad_numbers),
        cmocka_unit_test(views_share_bytes_and_place),
        cmocka_unit_test(folded_bytes_are_limited),
        cmocka_unit_test(splats_count_as_weights),
        cmocka_unit_test(folds_a_chain_of_pads),
        cmocka_unit_test(reads_bytes_by_their_own_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
