/* resize_axis.h: ONNX's ways to say where the elements of a resized axis lie, by name; what reads
 * files and what writes them share the table.
 */
#ifndef TLC_RESIZE_AXIS_H
#define TLC_RESIZE_AXIS_H

#include <stdint.h>

/* Sizes, what ONNX calls the scale, and 1 / scale: exactly from / to where sizes were given. */
typedef struct tlc_resize_axis {
    int64_t from, to;
    double scale, step;
} tlc_resize_axis;

/* Element i of the result lies at step * i + offset. */
typedef struct tlc_resize_line {
    double step, offset;
} tlc_resize_line;

typedef struct tlc_resize_row {
    const char *name; /* coordinate_transformation_mode; NULL ends the table */
    int64_t since, until; /* opsets that have it; until 0: all later ones */
    tlc_resize_line (*of)(const tlc_resize_axis *a);
} tlc_resize_row;

extern const tlc_resize_row tlc_resize_rows[];

#endif
