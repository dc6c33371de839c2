/* libFuzzer harness: a PyTorch file of either format gives a network its weights or is refused
 * with one error.  The first byte chooses: the whole file, or a pickle that is put into an
 * archive, which mutation alone would hardly keep whole. */
#include "../unit/pth_build.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    weights_run r;
    bytes b = { 0 };
    if (n > 0 && data[0] == 'Z') {
        pth x = base_pth();
        put(&x.raw, data + 1, n - 1);
        b = pth_bytes(&x);
    } else {
        put(&b, data, n);
    }
    run_weights(&r, linear_network, b, "w.pth");
    if (r.status != TLC_OK && (r.status == TLC_E_INTERNAL || r.ctx.n_diags == 0))
        abort();
    tlc_ctx_fini(&r.ctx);
    return 0;
}
