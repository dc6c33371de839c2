/* tlr_pack.c: tensors between the layouts of kernels and row-major order.
 *
 * Every layout is seen as at most six nested loops over the logical index with a stride for
 * each, channels split in block and lane; so one function moves all of them.  Used where
 * weights are saved and values are shown, never in a step.
 */
#include "tlr_pack.h"

#include "tlr_session.h"

#include <string.h>

enum { LANES = TLK_BLOCK };

/* Stored offset of logical index (a, b, y, x), in elements:
 * a/split_a*block_a + a%split_a*lane_a + the same of b + y*step_y + x*step_x + start. */
typedef struct map {
    int64_t a, b, y, x; /* logical extents */
    int64_t split_a, block_a, lane_a, split_b, block_b, lane_b;
    int64_t step_y, step_x, start;
} map;

static int64_t blocks(int64_t channels)
{
    return (channels + LANES - 1) / LANES;
}

int64_t tlr_type_bytes(tlr_type t)
{
    static const uint8_t bytes[] = { [TLR_F32] = 4, [TLR_F64] = 8, [TLR_I64] = 8,
                                     [TLR_I32] = 4, [TLR_U8] = 1,  [TLR_BOOL] = 1 };
    return bytes[t];
}

int64_t tlr_tensor_elems(const tlr_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; ++i)
        n *= t->dim[i];
    return n;
}

int64_t tlr_value_elems(const tlr_value *v)
{
    int64_t n = 1;
    for (int i = 1; i < v->rank; ++i)
        n *= v->dim[i];
    return n;
}

static int64_t dim_or_1(int rank, const int64_t *dim, int i)
{
    return i < rank ? dim[i] : 1;
}

/* Plain order of any rank: the trailing dimensions make one run. */
static map plain_map(int64_t elems)
{
    return (map){ .a = 1, .b = 1, .y = 1, .x = elems, .split_a = 1, .split_b = 1, .step_x = 1 };
}

/* [c/16][16] of a vector: channels alone are logical. */
static map vector_map(int64_t c)
{
    return (map){ .a = 1, .b = c, .y = 1, .x = 1, .split_a = 1, .split_b = LANES,
                  .block_b = LANES, .lane_b = 1 };
}

/* [n][c/16][h][w][16] with a halo around each plane; rank 2 has planes of one value. */
static map c16_map(int rank, const int64_t *dim, const int halo[4])
{
    int64_t h = dim_or_1(rank, dim, 2), w = dim_or_1(rank, dim, 3);
    int64_t cols = halo[1] + w + halo[3], plane = (halo[0] + h + halo[2]) * cols * LANES;
    return (map){ .a = dim[0], .b = dim[1], .y = h, .x = w,
                  .split_a = 1, .block_a = blocks(dim[1]) * plane,
                  .split_b = LANES, .block_b = plane, .lane_b = 1,
                  .step_y = cols * LANES, .step_x = LANES,
                  .start = (halo[0] * cols + halo[1]) * LANES };
}

/* [n][c][h][w] with a halo. */
static map halo_map(const int64_t *dim, const int halo[4])
{
    int64_t cols = halo[1] + dim[3] + halo[3], plane = (halo[0] + dim[2] + halo[2]) * cols;
    return (map){ .a = dim[0], .b = dim[1], .y = dim[2], .x = dim[3],
                  .split_a = 1, .block_a = dim[1] * plane, .split_b = 1, .block_b = plane,
                  .step_y = cols, .step_x = 1, .start = halo[0] * cols + halo[1] };
}

/* [n][h][w][c]; what stands before the last three axes counts as pictures. */
static map nhwc_map(int rank, const int64_t *dim)
{
    int64_t pictures = 1, c = dim[rank - 3], h = dim[rank - 2], w = dim[rank - 1];
    for (int i = 0; i < rank - 3; ++i)
        pictures *= dim[i];
    return (map){ .a = pictures, .b = c, .y = h, .x = w,
                  .split_a = 1, .block_a = c * h * w, .split_b = 1, .block_b = 1,
                  .step_y = w * c, .step_x = c };
}

/* The CPU's weights; every layout has 16 output channels innermost. */
static map weight_map(tlr_layout layout, int rank, const int64_t *dim)
{
    int64_t ic = dim_or_1(rank, dim, 1), kh = dim_or_1(rank, dim, 2), kw = dim_or_1(rank, dim, 3);
    map m = { .a = dim[0], .b = ic, .y = kh, .x = kw, .split_a = LANES, .lane_a = 1 };
    if (layout == TLR_OI16) { /* [oc/16][ic/16][kh][kw][16 ic][16 oc] */
        m.split_b = LANES, m.lane_b = LANES, m.step_x = LANES * LANES;
        m.step_y = kw * m.step_x, m.block_b = kh * m.step_y, m.block_a = blocks(ic) * m.block_b;
    } else if (layout == TLR_STEM16) { /* [oc/16][kh][kw][ic][16 oc] */
        m.split_b = 1, m.block_b = LANES, m.step_x = ic * LANES;
        m.step_y = kw * m.step_x, m.block_a = kh * m.step_y;
    } else { /* DW16 [c/16][kh][kw][16] and LIN16 [out/16][in][16 out] */
        m.split_b = 1, m.block_b = layout == TLR_LIN16 ? LANES : 0, m.step_x = LANES;
        m.step_y = kw * LANES, m.block_a = layout == TLR_LIN16 ? ic * LANES : kh * m.step_y;
    }
    return m;
}

static map tensor_map(const tlr_tensor *t)
{
    static const int none[4];
    switch (t->layout) {
    case TLR_PLAIN:
        return plain_map(tlr_tensor_elems(t));
    case TLR_C16:
        return t->rank == 1 ? vector_map(t->dim[0]) : c16_map(t->rank, t->dim, none);
    case TLR_NHWC:
        return nhwc_map(t->rank, t->dim);
    default:
        return weight_map(t->layout, t->rank, t->dim);
    }
}

static map value_map(const tlr_value *v, int64_t n)
{
    int64_t dim[TLR_MAX_RANK];
    memcpy(dim, v->dim, sizeof dim);
    dim[0] = n;
    if (v->layout == TLR_C16)
        return c16_map(v->rank, dim, v->halo);
    if (v->layout == TLR_NHWC)
        return nhwc_map(v->rank, dim);
    if (v->rank == 4 && (v->halo[0] | v->halo[1] | v->halo[2] | v->halo[3]))
        return halo_map(dim, v->halo);
    return plain_map(n * tlr_value_elems(v));
}

static int64_t row_start(const map *m, int64_t a, int64_t b, int64_t y)
{
    return m->start + a / m->split_a * m->block_a + a % m->split_a * m->lane_a +
           b / m->split_b * m->block_b + b % m->split_b * m->lane_b + y * m->step_y;
}

/* Move one row of x: `unpack` from strided to dense, else back. */
static void move_row(const map *m, size_t bytes, char *stored, char *dense, int unpack)
{
    for (int64_t x = 0; x < m->x; ++x) {
        char *s = stored + (size_t)(x * m->step_x) * bytes, *d = dense + (size_t)x * bytes;
        memcpy(unpack ? d : s, unpack ? s : d, bytes);
    }
}

static void move(const map *m, size_t bytes, char *stored, char *dense, int unpack)
{
    for (int64_t a = 0; a < m->a; ++a)
        for (int64_t b = 0; b < m->b; ++b)
            for (int64_t y = 0; y < m->y; ++y) {
                move_row(m, bytes, stored + (size_t)row_start(m, a, b, y) * bytes, dense, unpack);
                dense += (size_t)m->x * bytes;
            }
}

void tlr_unpack(const tlr_tensor *t, const void *stored, void *logical)
{
    map m = tensor_map(t);
    move(&m, (size_t)tlr_type_bytes(t->type), (char *)stored, logical, 1);
}

void tlr_pack(const tlr_tensor *t, const void *logical, void *stored)
{
    map m = tensor_map(t);
    memset(stored, 0, (size_t)t->bytes); /* lanes past the last channel stay zero */
    move(&m, (size_t)tlr_type_bytes(t->type), stored, (char *)logical, 0);
}

void tlr_value_unpack(const tlr_value *v, int64_t n, const void *stored, void *logical)
{
    map m = value_map(v, n);
    move(&m, (size_t)tlr_type_bytes(v->type), (char *)stored, logical, 1);
}
