/* test_import_operators.c: what ONNX's operators beyond those of plain classifiers become: Resize,
 * comparisons, Where, attention. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "import_expect.h"

#include <math.h>

/* --- Resize ---------------------------------------------------------------- */

static pb floats(const char *name, int64_t n, const float *v)
{
    return tensor_raw(name, ELEM_FLOAT, 1, &n, v, (size_t)n * sizeof *v);
}

/* A resize of [n,3,8,8] by attributes "name=text", at most two of them; "" none. */
static net resize_net(int64_t opset, const char *operands, const char *one, const char *two)
{
    pb node = node_of(opset < 10 ? "Upsample" : "Resize", "r", operands, "y");
    const char *given[] = { one, two };
    for (int i = 0; i < 2; ++i) {
        char name[64];
        size_t len = strcspn(given[i], "=");
        snprintf(name, sizeof name, "%.*s", (int)len, given[i]);
        if (given[i][0])
            attr_text(&node, name, given[i] + len + 1);
    }
    net m = with(image_net(opset), node);
    net_init(&m, floats("scales", 4, (float[]){ 1, 1, 2, 0.5f }));
    net_init(&m, floats("larger", 4, (float[]){ 1, 1, 2, 3 }));
    net_init(&m, floats("roi", 0, (float[]){ 0 }));
    net_init(&m, tensor_ints("sizes", INTS(1, 3, 15, 4)));
    return m;
}

static net with_attr(net m, const char *name, int64_t v)
{
    attr_int(&m.node[m.n_node - 1], name, v);
    return m;
}

static void test_resize_positions(void **state)
{
    (void)state;
    static const struct {
        int64_t opset;
        const char *operands, *one, *two, *want;
    } good[] = {
        { 11, "x,roi,scales", "", "",
          "f32[n,3,16,4] = resize|step_h=0.5, offset_h=-0.25, step_w=2, offset_w=0.5, "
          "mode=half_down" },
        { 13, "x,,scales", "mode=linear", "coordinate_transformation_mode=asymmetric",
          "{size=[16,4], step_h=0.5, step_w=2}" },
        { 13, "x,,scales", "mode=cubic", "coordinate_transformation_mode=align_corners",
          "step_h=0.466666666666666|step_w=2.3333333333333335, mode=cubic}" },
        { 13, "x,,scales", "nearest_mode=ceil", "coordinate_transformation_mode=pytorch_half_pixel",
          "offset_h=-0.25, step_w=2, offset_w=0.5, mode=ceil" },
        { 11, "x,roi,scales", "nearest_mode=round_prefer_ceil",
          "coordinate_transformation_mode=tf_half_pixel_for_nn",
          "step_h=0.5, offset_h=0.25, step_w=2, offset_w=1, mode=half_up" },
        { 19, "x,,scales", "nearest_mode=floor",
          "coordinate_transformation_mode=half_pixel_symmetric",
          "step_h=0.5, offset_h=-0.25, step_w=2, offset_w=0.5, mode=floor" },
        { 10, "x,larger", "", "",
          "{size=[16,24], step_h=0.5, step_w=0.3333333333333333, mode=floor}" },
        { 10, "x,scales", "mode=linear", "", "{size=[16,4], step_h=0.5, step_w=2}" },
        { 9, "x,larger", "mode=linear", "",
          "{size=[16,24], step_h=0.5, step_w=0.3333333333333333}" },
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; ++i)
        expect(resize_net(good[i].opset, good[i].operands, good[i].one, good[i].two), good[i].want);
}

static void test_resize_sizes(void **state)
{
    (void)state;
    pb sizes = node_of("Resize", "r", "x,,,hw", "y");
    attr_ints(&sizes, "axes", INTS(3, 2));
    attr_text(&sizes, "keep_aspect_ratio_policy", "not_larger");
    net m = with_init(with(image_net(18), sizes), tensor_ints("hw", INTS(20, 12)));
    expect(m, "f32[n,3,12,12] = resize|step_h=0.6666666666666666");
    m = with_init(with(image_net(13), node_of("Resize", "r", "x,,same", "y")),
                  floats("same", 4, (float[]){ 1, 1, 1, 1 }));
    attr_text(&m.node[0], "coordinate_transformation_mode", "asymmetric");
    expect(m, "identity");
    net fixed = { .ir_version = 8, .opset = 13 };
    net_input(&fixed, value_info("x", ELEM_FLOAT, 4, (int64_t[]){ 1, 3, 8, 8 }));
    net_output(&fixed, "y");
    net_node(&fixed, node_of("Resize", "r", "x,,,sizes", "y"));
    net_init(&fixed, tensor_ints("sizes", INTS(1, 3, 15, 4)));
    expect(fixed, "f32[n,3,15,4] = resize");
}

static void test_resize_refusals(void **state)
{
    (void)state;
    static const char *const scales = "x,,scales";
    expect_fail(with_attr(resize_net(18, scales, "mode=linear", ""), "antialias", 1),
                TLC_E_UNSUPPORTED, "Resize with antialias 1 is not supported");
    expect_fail(resize_net(13, scales, "coordinate_transformation_mode=tf_crop_and_resize", ""),
                TLC_E_UNSUPPORTED, "tf_crop_and_resize");
    expect_fail(resize_net(13, scales, "mode=area", ""), TLC_E_UNSUPPORTED, "mode \"area\"");
    expect_fail(resize_net(13, scales, "nearest_mode=up", ""), TLC_E_MALFORMED, "nearest_mode is");
    expect_fail(resize_net(10, "x,scales", "", ""), TLC_E_UNSUPPORTED, "fewer nearest elements");
    expect_fail(resize_net(9, "x,scales", "", ""), TLC_E_MALFORMED, "scales[3] is 0.5, at least 1");
    expect_fail(resize_net(7, "x,larger", "", ""), TLC_E_UNSUPPORTED, "Upsample of opset 7");
    expect_fail(resize_net(13, "x,,,sizes", "", ""), TLC_E_UNSUPPORTED, "Resize of axis 0");
    expect_fail(resize_net(13, "x", "", ""), TLC_E_MALFORMED, "the scales, is absent");
    expect_fail(resize_net(13, "x,,x", "", ""), TLC_E_UNSUPPORTED, "the scales, is not constant");
    expect_fail(resize_net(13, "x,,roi", "", ""), TLC_E_MALFORMED, "a list of 1 to 8 floats");
    expect_fail(resize_net(13, "x,,sizes", "", ""), TLC_E_MALFORMED, "a list of 1 to 8 floats");
    expect_fail(with_init(with(vector_net(13), node_of("Resize", "r", "x,,s", "y")),
                          floats("s", 2, (float[]){ 1, 2 })),
                TLC_E_UNSUPPORTED, "Resize of rank 2");
}

/* Scales and sizes that no plane can have. */
static void test_resize_hostile(void **state)
{
    (void)state;
    static const float bad[][4] = {
        { 1, 1, -2, 1 }, { 1, 1, 0, 1 }, { 1, 1, 1e30f, 1 }, { 1, 1, 0.01f, 1 },
        { 1, 1, NAN, 1 }, { 1, 1, INFINITY, 1 },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i)
        expect_fail(with_init(with(image_net(13), node_of("Resize", "r", "x,,s", "y")),
                              floats("s", 4, bad[i])), TLC_E_MALFORMED, "scales[2] is");
    for (int64_t size = -1; size < 1; ++size) {
        pb node = node_of("Resize", "r", "x,,,hw", "y");
        attr_ints(&node, "axes", INTS(2, 3));
        expect_fail(with_init(with(image_net(18), node), tensor_ints("hw", INTS(size, 8))),
                    TLC_E_MALFORMED, "sizes[0] is");
    }
    expect_fail(with_init(with(image_net(13), node_of("Resize", "r", "x,,s", "y")),
                          floats("s", 4, (float[]){ 1, 1, 1e6f, 1e6f })), TLC_E_LIMIT, "limit");
    expect_fail(with_init(with(image_net(13), node_of("Resize", "r", "x,,s", "y")),
                          floats("s", 3, (float[]){ 1, 1, 2 })), TLC_E_MALFORMED,
                "scales has 3 numbers, 4 wanted");
}

/* --- comparisons ------------------------------------------------------------- */

/* x [n,3,8,8] reshaped to [0,2,4,-1] where `node` says so of the shape beside [0,3,9,8], else to
 * [0,3,8,-1]; e, l are that they are equal, less. */
static net logic_net(pb node)
{
    net m = image_net(13);
    net_node(&m, node_of("Shape", "s", "x", "s"));
    net_node(&m, node_of("Equal", "e", "s,k", "e"));
    net_node(&m, node_of("Less", "l", "s,k", "l"));
    net_node(&m, node);
    net_node(&m, node_of("Where", "w", "c,a,b", "w"));
    net_node(&m, node_of("Reshape", "r", "x,w", "y"));
    net_init(&m, tensor_ints("k", INTS(0, 3, 9, 8)));
    net_init(&m, tensor_ints("a", INTS(0, 2, 4, -1)));
    net_init(&m, tensor_ints("b", INTS(0, 3, 8, -1)));
    return m;
}

static void test_comparisons(void **state)
{
    (void)state;
    expect(logic_net(node_of("Identity", "i", "e", "c")), "f32[n,2,8,12] = reshape");
    expect(logic_net(node_of("Greater", "i", "s,k", "c")), "f32[n,3,8,8] = reshape");
    expect(logic_net(node_of("Identity", "i", "l", "c")), "f32[n,3,4,16] = reshape");
    expect(logic_net(node_of("GreaterOrEqual", "i", "s,k", "c")), "f32[n,2,8,12] = reshape");
    expect(logic_net(node_of("LessOrEqual", "i", "s,k", "c")), "f32[n,2,4,24] = reshape");
    expect(logic_net(node_of("And", "i", "e,l", "c")), "f32[n,3,8,8] = reshape");
    expect(logic_net(node_of("Or", "i", "e,l", "c")), "f32[n,2,4,24] = reshape");
    expect(logic_net(node_of("Not", "i", "e", "c")), "f32[n,3,4,16] = reshape");
    expect_fail(with(vector_net(13), node_of("Equal", "i", "x,x", "y")), TLC_E_UNSUPPORTED,
                "Equal of values that are not constant");
    /* nothing is known of n beside 3 */
    net m = with(with(image_net(13), node_of("Shape", "s", "x", "s")),
                 node_of("Less", "i", "s,k", "y"));
    expect_fail(with_init(m, tensor_ints("k", INTS(3, 3, 3, 3))), TLC_E_UNSUPPORTED,
                "not constant");
}

static void test_where_min_max(void **state)
{
    (void)state;
    net m = with(vector_net(13), node_of("Where", "w", "c,x,z", "y"));
    net_init(&m, tensor_raw("c", ELEM_BOOL, 1, (int64_t[]){ 6 },
                            (unsigned char[]){ 1, 0, 1, 0, 0, 1 }, 6));
    net_init(&m, float_scalar("z", 3));
    expect(m, "f32[n,6] = where");
    m = with(vector_net(13), node_of("Max", "m", "x,z,x", "y"));
    expect(with_init(m, float_scalar("z", 3)), "max|f32[n,6] = max");
    expect(with(vector_net(13), node_of("Min", "m", "x,x", "y")), "f32[n,6] = min");
    expect(with(vector_net(13), node_of("Round", "m", "x", "y")), "f32[n,6] = round");
    pb mod = node_of("Mod", "m", "x,x", "y");
    attr_int(&mod, "fmod", 1);
    expect_fail(with(vector_net(13), mod), TLC_E_UNSUPPORTED, "fmod 1");
    expect_fail(with(vector_net(13), node_of("Mod", "m", "x,x", "y")), TLC_E_MALFORMED, "a is f32");
}

/* --- a batch that is not in front ------------------------------------------------ */

/* x [n,4,6] as [4,n,6]; then `node`. */
static net moved_net(int64_t batch, pb node)
{
    net m = input_net(13, 3, (int64_t[]){ batch, 4, 6 });
    pb swap = node_of("Transpose", "t", "x", "m");
    attr_ints(&swap, "perm", INTS(1, 0, 2));
    net_node(&m, swap);
    net_node(&m, node);
    net_init(&m, tensor_ints("heads", INTS(4, -1, 3)));
    net_init(&m, tensor_ints("rows", INTS(-1, 6)));
    net_init(&m, tensor_ints("mixed", INTS(-1, 3)));
    net_init(&m, tensor_ints("back", INTS(4, -1, 6)));
    net_init(&m, tensor_ramp("w", 2, (int64_t[]){ 6, 6 }, 0, 1));
    return m;
}

static net swapped_back(net m, const char *of)
{
    pb swap = node_of("Transpose", "u", of, "y");
    attr_ints(&swap, "perm", INTS(1, 0, 2));
    return with(m, swap);
}

/* Two heads: [4,n,6], [4,2n,3], [2n,4,3] and its products; back to [n,4,6]. */
static net attention_net(int64_t batch)
{
    net m = moved_net(batch, node_of("Reshape", "h", "m,heads", "h"));
    pb swap = node_of("Transpose", "s", "h", "q"), turn = node_of("Transpose", "k", "h", "k");
    attr_ints(&swap, "perm", INTS(1, 0, 2));
    attr_ints(&turn, "perm", INTS(1, 2, 0));
    net_node(&m, swap);
    net_node(&m, turn);
    net_node(&m, node_of("MatMul", "qk", "q,k", "qk"));
    net_node(&m, node_of("Softmax", "p", "qk", "p"));
    net_node(&m, node_of("MatMul", "pq", "p,q", "v"));
    swap = node_of("Transpose", "b", "v", "b");
    attr_ints(&swap, "perm", INTS(1, 0, 2));
    net_node(&m, swap);
    net_node(&m, node_of("Reshape", "r", "b,rows", "r"));
    net_node(&m, node_of("MatMul", "o", "r,w", "o"));
    net_node(&m, node_of("Reshape", "g", "o,back", "g"));
    return swapped_back(m, "g");
}

static void test_moved_batch(void **state)
{
    (void)state;
    expect(attention_net(-1), "f32[n,2,4,4] = batch_matmul|softmax|f32[n,2,4,3] = batch_matmul"
                              "|conv2d|f32[n,4,6] = reshape");
    /* one picture: a function that is applied to each */
    net m = moved_net(1, node_of("Softmax", "s", "m", "s"));
    attr_int(&m.node[1], "axis", 1);
    expect(swapped_back(m, "s"), "softmax|f32[n,4,6] = reshape");
    expect(swapped_back(moved_net(-1, node_of("Add", "a", "m,m", "a")), "a"),
           "f32[n,4,1,6] = add|f32[n,4,6] = reshape");
}

static void test_moved_batch_refused(void **state)
{
    (void)state;
    net m = moved_net(-1, node_of("Softmax", "s", "m", "s"));
    attr_int(&m.node[1], "axis", 1);
    expect_fail(swapped_back(m, "s"), TLC_E_UNSUPPORTED, "Softmax along the batch");
    pb norm = node_of("LayerNormalization", "l", "m,w", "y"); /* over all of [4,n,6] */
    attr_int(&norm, "axis", 0);
    expect_fail(moved_net(-1, norm), TLC_E_UNSUPPORTED, "LayerNormalization over the batch");
    m = moved_net(-1, node_of("Softmax", "s", "m", "y"));
    m.opset = 11;
    attr_int(&m.node[1], "axis", 0);
    expect_fail(m, TLC_E_UNSUPPORTED, "Softmax over the batch");
    expect_fail(with(moved_net(-1, node_of("Identity", "i", "x", "z")),
                     node_of("Gemm", "g", "x,w", "y")), TLC_E_MALFORMED, "");
    expect_fail(moved_net(-1, node_of("Identity", "i", "m", "y")), TLC_E_UNSUPPORTED,
                "the batch is not the output's leading dimension");
    m = moved_net(-1, node_of("Reshape", "r", "m,rows", "r"));
    net_node(&m, node_of("Reshape", "q", "r,mixed", "y"));
    net_node(&m, node_of("Add", "a", "m,r", "z"));
    expect_fail(m, TLC_E_UNSUPPORTED, "Add of values with the batch in different places");
    expect_fail(moved_net(-1, node_of("Gather", "g", "x,heads", "y")), TLC_E_UNSUPPORTED,
                "Gather of the batch");
    pb squeeze = node_of("GlobalAveragePool", "p", "m", "y");
    expect_fail(moved_net(-1, squeeze), TLC_E_UNSUPPORTED, "GlobalAveragePool over the batch");
    m = moved_net(-1, node_of("Reshape", "r", "m,fixed", "y"));
    expect_fail(with_init(m, tensor_ints("fixed", INTS(4, 6, 1))), TLC_E_UNSUPPORTED,
                "parts or mixes pictures");
    m = moved_net(-1, node_of("Reshape", "r", "m,parted", "y"));
    expect_fail(with_init(m, tensor_ints("parted", INTS(3, -1, 8))), TLC_E_UNSUPPORTED,
                "parts or mixes pictures");
    /* with a fixed batch of 2 nothing says which number is the batch's */
    expect_fail(moved_net(2, node_of("Identity", "i", "m", "y")), TLC_E_UNSUPPORTED, "batch");
}

/* A constant before every picture, and one position of it after all. */
static void test_class_token(void **state)
{
    (void)state;
    net m = input_net(13, 3, (int64_t[]){ -1, 4, 6 });
    pb join = node_of("Concat", "c", "token,x", "c");
    attr_int(&join, "axis", 1);
    net_node(&m, join);
    pb pick = node_of("Gather", "g", "c,last", "y");
    attr_int(&pick, "axis", 1);
    net_node(&m, pick);
    net_init(&m, tensor_ramp("token", 3, (int64_t[]){ 1, 1, 6 }, 0, 1));
    net_init(&m, tensor_raw("last", ELEM_INT64, 0, NULL, (int64_t[]){ -1 }, 8));
    expect(m, "f32[1,5,6] = pad|f32[n,5,6] = pad|f32[n,5,6] = add|f32[n,1,6] = slice|"
              "f32[n,6] = squeeze");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize_positions),
        cmocka_unit_test(test_resize_sizes),
        cmocka_unit_test(test_resize_refusals),
        cmocka_unit_test(test_resize_hostile),
        cmocka_unit_test(test_comparisons),
        cmocka_unit_test(test_where_min_max),
        cmocka_unit_test(test_moved_batch),
        cmocka_unit_test(test_moved_batch_refused),
        cmocka_unit_test(test_class_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
