/* op_attrs.h: how an operator file writes the rows of its attribute table.
 *
 *     static const tlc_attr_def attrs[] = {
 *         TLC_ATTR_FLOAT_ROW(tlc_clip_attrs, lo, -HUGE_VAL, HUGE_VAL, "-inf"),
 *         TLC_ATTR_END
 *     };
 */
#ifndef TLC_OP_ATTRS_H
#define TLC_OP_ATTRS_H

#include "op.h"

#include <math.h>

/* The largest size of anything: no legal stride, pad or axis is above it. */
#define TLC_ATTR_MOST 2147483647.0

#define TLC_ATTR_ROW(type, member, kind, least, most, count, text) \
    { #member, kind, offsetof(type, member), least, most, count, text, NULL }
#define TLC_ATTR_INT_ROW(type, member, least, most, text) \
    TLC_ATTR_ROW(type, member, TLC_ATTR_INT, least, most, 0, text)
#define TLC_ATTR_FLOAT_ROW(type, member, least, most, text) \
    TLC_ATTR_ROW(type, member, TLC_ATTR_FLOAT, least, most, 0, text)
#define TLC_ATTR_BOOL_ROW(type, member, text) \
    TLC_ATTR_ROW(type, member, TLC_ATTR_BOOL, 0, 1, 0, text)
#define TLC_ATTR_INTS_ROW(type, member, least, most, count, text) \
    TLC_ATTR_ROW(type, member, TLC_ATTR_INTS, least, most, count, text)
#define TLC_ATTR_WORD_ROW(type, member, most, names, text) \
    { #member, TLC_ATTR_WORD, offsetof(type, member), 0, most, 0, text, names }
#define TLC_ATTR_ACT_ROW(type, member) \
    TLC_ATTR_WORD_ROW(type, member, TLC_ACT_CLIP, tlc_act_names, "none")
#define TLC_ATTR_TYPE_ROW(type, member, text) \
    TLC_ATTR_ROW(type, member, TLC_ATTR_TYPE, 0, TLC_TYPE_COUNT - 1, 0, text)
#define TLC_ATTR_END { NULL, TLC_ATTR_INT, 0, 0, 0, 0, NULL, NULL }

/* Of tlc_sgd_attrs and tlc_adam_attrs. */
extern const tlc_attr_def tlc_sgd_attr_rows[], tlc_adam_attr_rows[];

/* The names of a tlc_act as IR text spells them, in the enum's order. */
extern const char *const tlc_act_names[3];

#endif
