/* import_expect.h: networks of one or two ONNX nodes, and what is expected of their import. */
#ifndef IMPORT_EXPECT_H
#define IMPORT_EXPECT_H

#include "import_run.h"

static inline net input_net(int64_t opset, int rank, const int64_t *dims)
{
    net m = { .ir_version = 8, .opset = opset };
    net_input(&m, value_info("x", ELEM_FLOAT, rank, dims));
    net_output(&m, "y");
    return m;
}

static inline net image_net(int64_t opset)
{
    return input_net(opset, 4, (int64_t[]){ -1, 3, 8, 8 });
}

static inline net vector_net(int64_t opset)
{
    return input_net(opset, 2, (int64_t[]){ -1, 6 });
}

/* Import; the printed nodes must hold each of `wanted` (split by '|'), in order. */
static inline void expect(net m, const char *wanted)
{
    run r;
    run_net(&r, &m);
    if (r.status != TLC_OK)
        run_show(&r);
    assert_int_equal(r.status, TLC_OK);
    assert_int_equal(tlc_verify_module(&r.ctx, r.module), TLC_OK);
    const char *text = run_text(&r), *at = text;
    while (*wanted) {
        char part[128];
        size_t n = strcspn(wanted, "|");
        snprintf(part, sizeof part, "%.*s", (int)n, wanted);
        const char *found = strstr(at, part);
        if (!found)
            printf("no '%s' in\n%s", part, text);
        assert_non_null(found);
        at = found + strlen(part);
        wanted += n + (wanted[n] == '|');
    }
    run_end(&r);
}

static inline void expect_fail(net m, tlc_status status, const char *core)
{
    run r;
    run_net(&r, &m);
    if (r.status != status || run_count(&r, TLB_ERROR, core) != 1)
        run_show(&r);
    assert_int_equal(r.status, status);
    assert_int_equal(run_count(&r, TLB_ERROR, core), 1);
    run_end(&r);
}

static inline pb float_scalar(const char *name, float x)
{
    return tensor_raw(name, ELEM_FLOAT, 0, NULL, &x, sizeof x);
}

static inline net with(net m, pb node)
{
    net_node(&m, node);
    return m;
}

static inline net with_init(net m, pb tensor)
{
    net_init(&m, tensor);
    return m;
}

#endif
