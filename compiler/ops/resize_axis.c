/* resize_axis.c: the table of coordinate_transformation_mode. */
#include "resize_axis.h"

#include <stddef.h>

typedef tlc_resize_axis axis;
typedef tlc_resize_line line;

static line half_pixel(const axis *a)
{
    return (line){ a->step, 0.5 * a->step - 0.5 };
}

static line pytorch_half_pixel(const axis *a)
{
    return a->to > 1 ? half_pixel(a) : (line){ 0, 0 };
}

/* As if the size were scale * from, of which `to` is the whole number below: both centred. */
static line half_pixel_symmetric(const axis *a)
{
    line l = half_pixel(a);
    double from = (double)a->from;
    l.offset += from / 2 * (1 - (double)a->to / (a->scale * from));
    return l;
}

static line align_corners(const axis *a)
{
    return (line){ a->to > 1 ? (double)(a->from - 1) / (double)(a->to - 1) : 0, 0 };
}

static line asymmetric(const axis *a)
{
    return (line){ a->step, 0 };
}

static line tf_half_pixel_for_nn(const axis *a)
{
    return (line){ a->step, 0.5 * a->step };
}

const tlc_resize_row tlc_resize_rows[] = {
    { "half_pixel", 11, 0, half_pixel },
    { "asymmetric", 11, 0, asymmetric },
    { "align_corners", 11, 0, align_corners },
    { "pytorch_half_pixel", 11, 0, pytorch_half_pixel },
    { "half_pixel_symmetric", 19, 0, half_pixel_symmetric },
    { "tf_half_pixel_for_nn", 11, 13, tf_half_pixel_for_nn },
    { NULL, 0, 0, NULL },
};
