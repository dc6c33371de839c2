/* kernels_cpu.h: what the rows of the tuned CPU kernels share: questions, layouts, literals. */
#ifndef TLC_KERNELS_CPU_H
#define TLC_KERNELS_CPU_H

#include "kernel.h"
#include "tlk.h"

#include <inttypes.h>
#include <math.h>

/* Padding 3 channels to a block of 16 would do five times the work. */
enum { STEM_CHANNELS = 4 };

static const tlc_layout plain = { .kind = TLC_PLAIN };
static const tlc_layout blocked = { .kind = TLC_C16 };

static inline tlc_layout layout_of(tlc_layout_kind kind)
{
    return (tlc_layout){ .kind = kind };
}

/* One picture after another, in float: what every kernel here takes and gives. */
static inline bool is_batch(const tlc_value *v)
{
    return v->type == TLC_F32 && tlc_shape_has_n(&v->shape);
}

static inline bool is_map(const tlc_value *v)
{
    return is_batch(v) && v->shape.rank == 4;
}

static inline int64_t channels(const tlc_value *v)
{
    return v->shape.rank > 1 ? v->shape.dim[1] : v->shape.dim[0];
}

/* ".x = { h, w, top, left, bottom, right }"; a value without planes counts as 1x1. */
static inline void w_plane(tlc_cwriter *w, const char *field, const tlc_value *v)
{
    const bool map = v->shape.rank == 4;
    const int *halo = v->layout.halo;
    tlc_w(w, ", .%s = { %" PRId64 ", %" PRId64 ", %d, %d, %d, %d }", field,
          map ? v->shape.dim[2] : 1, map ? v->shape.dim[3] : 1, halo[0], halo[1], halo[2],
          halo[3]);
}

static inline void w_number(tlc_cwriter *w, const char *field, double x)
{
    tlc_w(w, ", .%s = ", field);
    if (isinf(x))
        tlc_w(w, x > 0 ? "INFINITY" : "-INFINITY");
    else
        tlc_w_double(w, x);
}

static inline void w_act(tlc_cwriter *w, tlc_act act, double lo, double hi)
{
    static const char *const names[] = { "TLK_ACT_NONE", "TLK_ACT_RELU", "TLK_ACT_CLIP" };
    tlc_w(w, ", .act = %s", names[act]);
    if (act != TLC_ACT_CLIP)
        return;
    w_number(w, "lo", lo);
    w_number(w, "hi", hi);
}

#endif
