/* kernel.c: the rows of kernels.def as a table, and the search over it.
 *
 * First row that serves wins.  Target cpu in float searches its own rows and then the reference's,
 * which end every list; everything else has the reference's alone.
 */
#include "kernel.h"

#define TLC_KERNEL(name, OP, TARGET, flags, header, report) \
    extern const tlc_kernel_fns tlc_kernel_fns_##name;
#include "kernels.def"
#undef TLC_KERNEL

static tlc_kernel rows[] = {
#define TLC_KERNEL(k_name, OP, TARGET, k_flags, k_header, k_report)                 \
    { .name = #k_name, .report = k_report, .header = k_header, .op = TLC_OP_##OP,   \
      .target = TLC_TARGET_##TARGET, .flags = k_flags },
#include "kernels.def"
#undef TLC_KERNEL
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

static void fill(tlc_kernel *k, const tlc_kernel_fns *fns)
{
    k->serves = fns->serves;
    k->layouts = fns->layouts;
    k->literal = fns->literal;
    k->scratch_bytes = fns->scratch_bytes;
    k->launch = fns->launch;
}

/* A member of another file's structure is no constant expression, so the functions are filled in
 * before main; from then on the table only is read, by any thread. */
__attribute__((constructor)) static void fill_rows(void)
{
    tlc_kernel *k = rows;
#define TLC_KERNEL(name, OP, TARGET, flags, header, report) fill(k++, &tlc_kernel_fns_##name);
#include "kernels.def"
#undef TLC_KERNEL
}

bool tlc_kernel_is_alias(const tlc_node *n)
{
    return tlc_op_has(n->op, TLC_T_VIEW) && n->in[0]->layout.kind == TLC_PLAIN &&
           n->out[0]->layout.kind == TLC_PLAIN &&
           tlc_layout_equal(&n->in[0]->layout, &n->out[0]->layout);
}

/* Flags of rows that an option must ask for, and which of them `o` asks for. */
enum { OPTIONAL = TLC_K_OPENBLAS | TLC_K_TF32 | TLC_K_BF16 };

static unsigned asked_for(const tlc_options *o)
{
    return (o->openblas ? TLC_K_OPENBLAS : 0u) |
           (o->precision == TLC_PRECISION_TF32 ? TLC_K_TF32 : 0u) |
           (o->precision == TLC_PRECISION_BF16 ? TLC_K_BF16 : 0u);
}

static const tlc_kernel *search(const tlc_node *n, tlc_target target, unsigned asked)
{
    for (size_t i = 0; i < N_ROWS; ++i)
        if (rows[i].op == n->op && rows[i].target == target &&
            !(rows[i].flags & OPTIONAL & ~asked) && rows[i].serves(n))
            return &rows[i];
    return NULL;
}

const tlc_kernel *tlc_kernel_choose(const tlc_node *n, const tlc_options *o)
{
    const tlc_kernel *k = NULL;
    if (tlc_kernel_is_alias(n))
        return NULL;
    if (o->target == TLC_TARGET_CUDA) /* a device runs no kernel of the host's */
        return search(n, TLC_TARGET_CUDA, asked_for(o));
    if (o->target == TLC_TARGET_CPU && o->precision == TLC_PRECISION_FP32)
        k = search(n, TLC_TARGET_CPU, asked_for(o));
    return k ? k : search(n, TLC_TARGET_REF, 0);
}
