/* test_grad.c: the structure of derived backward passes: which nodes, over which operands, and
 * none below the lowest trained parameter.  Their numbers are checked through emitted code. */
#include "grad.h"

#include "ops_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

typedef struct world {
    tlc_ctx ctx;
    jmp_buf exhausted;
    tlc_module *m;
    tlc_func *f;
    tlc_value *x, *labels;
    tlc_node *last_forward;
    tlc_value **grads;
} world;

static void world_init(world *w)
{
    tlc_ctx_init(&w->ctx, &w->exhausted);
    w->m = tlc_module_make(&w->ctx, "test");
    w->f = tlc_func_add(w->m, "step");
    w->x = tlc_input_add(w->f, "x", TLC_F32, tlc_shape_make(2, (int64_t[]){ TLC_DIM_N, 8 }));
    w->labels = tlc_input_add(w->f, "y", TLC_I64, tlc_shape_make(1, (int64_t[]){ TLC_DIM_N }));
}

static tlc_value *node(world *w, tlc_op op, const char *attrs, tlc_value *a, tlc_value *b,
                       tlc_value *c)
{
    tlc_value *in[] = { a, b, c };
    tlc_node *n = tlc_node_add(w->f, NULL, op, NULL, in, c ? 3 : b ? 2 : 1);
    text_attrs(n, attrs);
    if (tlc_node_infer(&w->ctx, n) != TLC_OK)
        fail_msg("%s: %s", tlc_ops[op].name, w->ctx.diags[0].what);
    return n->out[0];
}

static tlc_value *global(world *w, tlc_value_kind kind, int rank, int64_t rows, int64_t cols)
{
    return tlc_global_add(w->m, kind, NULL, TLC_F32,
                          tlc_shape_make(rank, (int64_t[]){ rows, cols }));
}

static void differentiate(world *w, tlc_value *z)
{
    tlc_value *loss = node(w, TLC_OP_CROSS_ENTROPY, "label_smoothing=0.1", z, w->labels, NULL);
    w->last_forward = w->f->last;
    if (tlc_differentiate(&w->ctx, w->f, loss, &w->grads) != TLC_OK)
        fail_msg("%s", w->ctx.diags[0].what);
}

/* The operators that were appended, in order: "cross_entropy_grad bias_grad". */
static void assert_appended(const world *w, const char *want)
{
    const char *got = "";
    for (const tlc_node *n = w->last_forward->next; n; n = n->next)
        got = tlc_arena_printf((tlc_arena *)&w->ctx.arena, "%s%s%s", got, *got ? " " : "",
                               tlc_ops[n->op].name);
    assert_string_equal(got, want);
}

static const tlc_node *appended(const world *w, tlc_op op)
{
    for (const tlc_node *n = w->last_forward->next; n; n = n->next)
        if (n->op == op)
            return n;
    fail_msg("no %s", tlc_ops[op].name);
    return NULL;
}

/* linear, relu, dropout, linear: globals 0 to 3 are w1, b1, w2, b2 of the given kinds. */
static void mlp(world *w, tlc_value_kind lower, tlc_value_kind upper)
{
    tlc_value *w1 = global(w, lower, 2, 6, 8), *b1 = global(w, lower, 1, 6, 0);
    tlc_value *w2 = global(w, upper, 2, 3, 6), *b2 = global(w, upper, 1, 3, 0);
    tlc_value *h = node(w, TLC_OP_LINEAR, "", w->x, w1, b1);
    h = node(w, TLC_OP_RELU, "", h, NULL, NULL);
    h = node(w, TLC_OP_DROPOUT, "p=0.25 index=3", h, NULL, NULL);
    differentiate(w, node(w, TLC_OP_LINEAR, "", h, w2, b2));
}

static void derives_an_mlp(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    mlp(&w, TLC_PARAM, TLC_PARAM);
    assert_appended(&w, "cross_entropy_grad linear_grad_x linear_grad_w bias_grad dropout_grad "
                        "relu_grad linear_grad_w bias_grad");
    const tlc_node *loss_grad = appended(&w, TLC_OP_CROSS_ENTROPY_GRAD);
    assert_ptr_equal(loss_grad->in[1], w.labels);
    assert_true(TLC_ATTRS(loss_grad, tlc_loss_attrs)->label_smoothing == 0.1);
    const tlc_node *mask = appended(&w, TLC_OP_DROPOUT_GRAD);
    assert_int_equal(TLC_ATTRS(mask, tlc_dropout_attrs)->index, 3);
    assert_true(TLC_ATTRS(mask, tlc_dropout_attrs)->p == 0.25);
    const tlc_node *relu = appended(&w, TLC_OP_RELU_GRAD);
    assert_ptr_equal(relu->in[0], mask->out[0]);
    assert_int_equal(relu->in[1]->def->op, TLC_OP_RELU); /* its result, not its operand */
    for (size_t i = 0; i < 4; ++i) {
        assert_non_null(w.grads[i]);
        assert_true(tlc_shape_equal(&w.grads[i]->shape, &w.m->globals[i]->shape));
    }
    /* by the first weight: relu's gradient times the input */
    assert_ptr_equal(w.grads[0]->def->in[0], relu->out[0]);
    assert_ptr_equal(w.grads[0]->def->in[1], w.x);
    tlc_ctx_fini(&w.ctx);
}

static void stops_at_the_lowest_trained_parameter(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    mlp(&w, TLC_CONST, TLC_PARAM);
    assert_appended(&w, "cross_entropy_grad linear_grad_w bias_grad");
    assert_null(w.grads[0]);
    assert_null(w.grads[1]);
    assert_non_null(w.grads[2]);
    tlc_ctx_fini(&w.ctx);
}

static void passes_through_frozen_layers(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    mlp(&w, TLC_PARAM, TLC_CONST);
    assert_appended(&w, "cross_entropy_grad linear_grad_x dropout_grad relu_grad linear_grad_w "
                        "bias_grad");
    tlc_ctx_fini(&w.ctx);
}

static void adds_nothing_where_nothing_is_trained(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    mlp(&w, TLC_CONST, TLC_CONST);
    assert_appended(&w, "");
    tlc_ctx_fini(&w.ctx);
}

static void sums_the_gradients_of_a_value_read_twice(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    tlc_value *w1 = global(&w, TLC_PARAM, 2, 8, 8);
    tlc_value *h = node(&w, TLC_OP_LINEAR, "", w.x, w1, NULL);
    tlc_value *r = node(&w, TLC_OP_RELU, "", h, NULL, NULL);
    tlc_value *c = node(&w, TLC_OP_CLIP, "lo=0 hi=6", r, NULL, NULL);
    differentiate(&w, node(&w, TLC_OP_ADD, "", c, r, NULL));
    assert_appended(&w, "cross_entropy_grad clip_grad add relu_grad linear_grad_w");
    const tlc_node *clip = appended(&w, TLC_OP_CLIP_GRAD);
    assert_true(TLC_ATTRS(clip, tlc_clip_attrs)->hi == 6);
    const tlc_node *sum = appended(&w, TLC_OP_ADD);
    assert_ptr_equal(sum->in[0]->def->op == TLC_OP_CLIP_GRAD ? sum->in[0] : sum->in[1],
                     clip->out[0]);
    assert_ptr_equal(appended(&w, TLC_OP_RELU_GRAD)->in[0], sum->out[0]);
    tlc_ctx_fini(&w.ctx);
}

/* One weight used by two layers, and one value added to itself. */
static void sums_the_gradients_of_a_shared_parameter(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    tlc_value *w1 = global(&w, TLC_PARAM, 2, 8, 8);
    tlc_value *h = node(&w, TLC_OP_LINEAR, "", w.x, w1, NULL);
    h = node(&w, TLC_OP_LINEAR, "", h, w1, NULL);
    differentiate(&w, node(&w, TLC_OP_ADD, "", h, h, NULL));
    assert_appended(&w, "cross_entropy_grad add linear_grad_x linear_grad_w linear_grad_w add");
    assert_int_equal(w.grads[0]->def->op, TLC_OP_ADD);
    tlc_ctx_fini(&w.ctx);
}

static void sums_a_bias_over_the_batch(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    tlc_value *b = global(&w, TLC_PARAM, 1, 8, 0), *row = global(&w, TLC_PARAM, 2, 1, 8);
    tlc_value *h = node(&w, TLC_OP_ADD, "", w.x, b, NULL);
    differentiate(&w, node(&w, TLC_OP_ADD, "", row, h, NULL));
    assert_appended(&w, "cross_entropy_grad sum_to bias_grad");
    assert_string_equal(tlc_type_text(&w.ctx, w.grads[0]), "f32[8]");
    assert_string_equal(tlc_type_text(&w.ctx, w.grads[1]), "f32[1,8]");
    tlc_ctx_fini(&w.ctx);
}

static tlc_value *map(world *w, int64_t c, int64_t side)
{
    return tlc_input_add(w->f, NULL, TLC_F32,
                         tlc_shape_make(4, (int64_t[]){ TLC_DIM_N, c, side, side }));
}

static tlc_value *weight(world *w, tlc_value_kind kind, int64_t oc, int64_t ic, int64_t side)
{
    return tlc_global_add(w->m, kind, NULL, TLC_F32,
                          tlc_shape_make(4, (int64_t[]){ oc, ic, side, side }));
}

/* conv, relu, max pool, conv, mean: below the lowest weight nothing is computed. */
static void derives_a_convolutional_network(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    tlc_value *w1 = weight(&w, TLC_PARAM, 4, 3, 3), *b1 = global(&w, TLC_PARAM, 1, 4, 0);
    tlc_value *w2 = weight(&w, TLC_CONST, 5, 4, 1);
    tlc_value *h = node(&w, TLC_OP_CONV2D, "stride=2,2", map(&w, 3, 8), w1, b1);
    h = node(&w, TLC_OP_RELU, "", h, NULL, NULL);
    h = node(&w, TLC_OP_MAX_POOL2D, "kernel=2,2", h, NULL, NULL);
    h = node(&w, TLC_OP_CONV2D, "", h, w2, NULL);
    differentiate(&w, node(&w, TLC_OP_REDUCE_MEAN, "axes=2,3 keepdims=false", h, NULL, NULL));
    assert_appended(&w, "cross_entropy_grad reduce_mean_grad conv2d_grad_x max_pool2d_grad "
                        "relu_grad conv2d_grad_w bias_grad");
    /* positions stand behind their pool, so that its operand need not be kept */
    const tlc_node *positions = appended(&w, TLC_OP_MAX_POOL2D_GRAD)->in[1]->def;
    assert_int_equal(positions->op, TLC_OP_MAX_POOL2D_POSITIONS);
    assert_int_equal(positions->prev->op, TLC_OP_MAX_POOL2D);
    const tlc_conv2d_grad_attrs *a = appended(&w, TLC_OP_CONV2D_GRAD_W)->attrs;
    assert_int_equal(a->stride.v[0], 2);
    assert_int_equal(a->size.v[0], 3);
    tlc_ctx_fini(&w.ctx);
}

/* Of a frozen batch norm by the batch's statistics the gradient by x is wanted; at the bottom of
 * what is trained, those by scale and bias alone. */
static void derives_batch_norms(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    tlc_value *scale = global(&w, TLC_PARAM, 1, 8, 0), *bias = global(&w, TLC_PARAM, 1, 8, 0);
    tlc_value *fixed = global(&w, TLC_CONST, 1, 8, 0);
    tlc_value *h = node(&w, TLC_OP_BATCH_NORM_TRAIN, "", w.x, scale, bias);
    h = node(&w, TLC_OP_BATCH_NORM_TRAIN, "epsilon=0.5", h, fixed, fixed);
    differentiate(&w, h);
    assert_appended(&w, "cross_entropy_grad batch_norm_train_grad_scale batch_norm_train_grad_x "
                        "batch_norm_train_grad_scale");
    assert_ptr_equal(w.grads[0]->def, w.grads[1]->def);
    assert_true(TLC_ATTRS(appended(&w, TLC_OP_BATCH_NORM_TRAIN_GRAD_X),
                          tlc_batch_norm_attrs)->epsilon == 0.5);
    tlc_ctx_fini(&w.ctx);
}

static void views_go_back_to_their_operands_shape(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    tlc_value *w1 = global(&w, TLC_PARAM, 2, 8, 8);
    tlc_value *h = node(&w, TLC_OP_LINEAR, "", w.x, w1, NULL);
    h = node(&w, TLC_OP_IDENTITY, "", h, NULL, NULL);
    h = node(&w, TLC_OP_RESHAPE, "shape=n,2,4", h, NULL, NULL);
    h = node(&w, TLC_OP_UNSQUEEZE, "axes=1", h, NULL, NULL);
    h = node(&w, TLC_OP_SQUEEZE, "axes=1", h, NULL, NULL);
    differentiate(&w, node(&w, TLC_OP_FLATTEN, "", h, NULL, NULL));
    assert_appended(&w, "cross_entropy_grad reshape reshape reshape reshape linear_grad_w");
    const tlc_node *n = w.last_forward->next->next;
    static const char *const shapes[] = { "f32[n,2,4]", "f32[n,1,2,4]", "f32[n,2,4]", "f32[n,8]" };
    for (int i = 0; i < 4; ++i, n = n->next)
        assert_string_equal(tlc_type_text(&w.ctx, n->out[0]), shapes[i]);
    tlc_ctx_fini(&w.ctx);
}

static void assert_refused(world *w, tlc_value *loss, const char *core)
{
    assert_int_equal(tlc_differentiate(&w->ctx, w->f, loss, &w->grads), TLC_E_UNSUPPORTED);
    assert_int_equal(w->ctx.n_diags, 1);
    assert_string_equal(w->ctx.diags[0].id, "E_GRADIENT");
    if (!strstr(w->ctx.diags[0].what, core))
        fail_msg("'%s' lacks '%s'", w->ctx.diags[0].what, core);
}

static void names_the_operator_without_gradient(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    tlc_value *w1 = global(&w, TLC_PARAM, 2, 8, 8);
    tlc_value *z = node(&w, TLC_OP_LINEAR, "", w.x, w1, NULL);
    z = node(&w, TLC_OP_CAST, "to=f32", z, NULL, NULL);
    z->def->name = "soft\n";
    assert_refused(&w, node(&w, TLC_OP_CROSS_ENTROPY, "", z, w.labels, NULL),
                   "cast (\"soft\\n\") has no gradient");
    assert_non_null(w.ctx.diags[0].hint);
    tlc_ctx_fini(&w.ctx);
}

static void refuses_what_it_cannot_differentiate(void **state)
{
    (void)state;
    world w;
    world_init(&w);
    tlc_value *w1 = global(&w, TLC_PARAM, 2, 8, 8);
    assert_refused(&w, node(&w, TLC_OP_LINEAR, "", w.x, w1, NULL), "the loss is linear");
    tlc_ctx_fini(&w.ctx);

    world_init(&w);
    w1 = global(&w, TLC_PARAM, 2, 8, 8);
    tlc_value *z = node(&w, TLC_OP_LINEAR, "act=relu", w.x, w1, NULL);
    assert_refused(&w, node(&w, TLC_OP_CROSS_ENTROPY, "", z, w.labels, NULL), "fused activation");
    tlc_ctx_fini(&w.ctx);

    world_init(&w);
    tlc_value *scale = global(&w, TLC_PARAM, 1, 8, 0);
    tlc_value *in[] = { w.x, scale, scale, scale, scale };
    tlc_node *n = tlc_node_add(w.f, NULL, TLC_OP_BATCH_NORM, NULL, in, 5);
    assert_int_equal(tlc_node_infer(&w.ctx, n), TLC_OK);
    z = n->out[0];
    assert_refused(&w, node(&w, TLC_OP_CROSS_ENTROPY, "", z, w.labels, NULL),
                   "by running statistics has no gradient by operand 1");
    tlc_ctx_fini(&w.ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(derives_an_mlp),
        cmocka_unit_test(stops_at_the_lowest_trained_parameter),
        cmocka_unit_test(passes_through_frozen_layers),
        cmocka_unit_test(adds_nothing_where_nothing_is_trained),
        cmocka_unit_test(sums_the_gradients_of_a_value_read_twice),
        cmocka_unit_test(sums_the_gradients_of_a_shared_parameter),
        cmocka_unit_test(sums_a_bias_over_the_batch),
        cmocka_unit_test(derives_a_convolutional_network),
        cmocka_unit_test(derives_batch_norms),
        cmocka_unit_test(views_go_back_to_their_operands_shape),
        cmocka_unit_test(names_the_operator_without_gradient),
        cmocka_unit_test(refuses_what_it_cannot_differentiate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
