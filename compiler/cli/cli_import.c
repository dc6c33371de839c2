/* cli_import.c: the network that a command names, as its options want it. */
#include "cli.h"

#include <stdlib.h>

/* "CxHxW" to three numbers of at least 1; false: it is something else. */
static bool read_size(const char *text, int64_t out[3])
{
    for (int i = 0; i < 3; ++i) {
        char *end;
        if (*text < '1' || *text > '9')
            return false;
        out[i] = strtoll(text, &end, 10);
        if (*end != (i < 2 ? 'x' : '\0'))
            return false;
        text = end + 1;
    }
    return true;
}

bool tlc_cli_input_is_size(const tlb_args *a)
{
    int64_t ignored[3];
    return tlb_given(a, TLB_OPT_INPUT) && read_size(tlb_text(a, TLB_OPT_INPUT), ignored);
}

static tlc_status read_input(tlc_ctx *ctx, const tlb_args *a, tlc_import_options *o)
{
    if (tlc_cli_input_is_size(a))
        (void)read_size(tlb_text(a, TLB_OPT_INPUT), o->input);
    const char *text = tlb_text(a, TLB_OPT_INPUT_SIZE);
    if (text && !read_size(text, o->input))
        return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE",
                        "--input is %s, not CxHxW such as 3x64x64: each at least 1",
                        tlc_quote_name(ctx, text));
    return TLC_OK;
}

tlc_status tlc_cli_import(tlc_ctx *ctx, const tlb_args *a, tlc_file *file, tlc_module **out,
                          tlc_import_info *info)
{
    tlc_import_options o = { .weights = tlb_text(a, TLB_OPT_WEIGHTS),
                             .classes = tlb_int(a, TLB_OPT_CLASSES) };
    TLC_TRY(read_input(ctx, a, &o));
    return tlc_import_network(ctx, a->inputs[0], &o, file, out, info);
}
