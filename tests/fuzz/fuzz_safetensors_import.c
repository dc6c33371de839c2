/* libFuzzer harness: safetensors give a network its weights or are refused with one error.  The
 * input is the header and the data; its length is put in front. */
#include "../unit/pth_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    weights_run r;
    bytes b = { 0 };
    const uint8_t *end = n ? memchr(data, '\n', n) : NULL; /* between header and data */
    size_t header = end ? (size_t)(end - data) : n;
    put_int(&b, header, 8);
    put(&b, data, header);
    put(&b, data + header, n - header);
    run_weights(&r, linear_network, b, "w.safetensors");
    if (r.status != TLC_OK && (r.status == TLC_E_INTERNAL || r.ctx.n_diags == 0))
        abort();
    tlc_ctx_fini(&r.ctx);
    return 0;
}
