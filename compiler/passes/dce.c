/* dce.c: remove nodes that no return and no write needs, then globals that nothing reads.
 *
 * Trained parameters that are read by nothing but their own update stay: the update is a
 * write, and a write is needed.  The globals it reads are read, so one rule serves all.
 */
#include "pass_util.h"

tlc_status tlc_pass_dce(tlc_ctx *ctx, tlc_module *m, tlc_pass_env *env)
{
    (void)ctx;
    (void)env;
    for (tlc_func *f = m->first_func; f; f = f->next)
        tlc_func_prune(f);
    tlc_globals_prune(m);
    return TLC_OK;
}
