/* ctx.h: what every part of the compiler is handed: arena, diagnostics, limits.
 *
 * Errors are values.  The function that knows what is wrong calls tlc_fail once;
 * it files a diagnostic and returns its status.  Everyone else forwards with
 * TLC_TRY.  Library code never prints and never exits.
 */
#ifndef TLC_CTX_H
#define TLC_CTX_H

#include "arena.h"

#include "tlb_diag.h"
#include "tlb_limits.h"

#include <stdbool.h>
#include <stdint.h>

/* The exit codes of the programs, and of the runtime: one table, tlb_status.def. */
typedef tlb_status tlc_status;
#define TLC_OK TLB_OK
#define TLC_E_INTERNAL TLB_E_INTERNAL
#define TLC_E_USAGE TLB_E_USAGE
#define TLC_E_INPUT TLB_E_INPUT
#define TLC_E_MALFORMED TLB_E_MALFORMED
#define TLC_E_UNSUPPORTED TLB_E_UNSUPPORTED
#define TLC_E_LIMIT TLB_E_LIMIT
#define TLC_E_OUTPUT TLB_E_OUTPUT

#define TLC_MUST_USE __attribute__((warn_unused_result))
#define TLC_TRY(call)                         \
    do {                                      \
        tlc_status status_ = (call);          \
        if (status_ != TLC_OK)                \
            return status_;                   \
    } while (0)

typedef struct tlc_ctx {
    tlc_arena arena;            /* lives as long as the compilation */
    tlb_limits limits;
    const char *file;           /* what the user typed; NULL where there is none */
    char where[512];            /* node, tensor, entry, offset of what is being read; "" none */
    tlb_diag *diags;            /* in order of reporting; strings in `arena` */
    size_t n_diags, cap_diags;
    struct tlc_data_file *data_files; /* mapped files that values view (data.h) */
    bool verify_between_passes; /* debug builds and tests */
    int64_t folded_bytes;       /* counted towards the limit `folded` so far */
    int64_t weights_bytes;      /* towards `weights` */
} tlc_ctx;

void tlc_ctx_init(tlc_ctx *ctx, jmp_buf *on_exhausted);
void tlc_ctx_fini(tlc_ctx *ctx);

/* Set WHERE of the diagnostics that follow; an empty format clears it.  Text that
 * comes from a file goes through tlc_quote first. */
void tlc_at(tlc_ctx *ctx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* File an error and return `code`.  `id` is stable ("E_SHAPE").  The message says
 * the number found and the number allowed, and starts in lower case.
 * A ';' separates no hint: use tlc_hint for that. */
tlc_status tlc_fail(tlc_ctx *ctx, tlc_status code, const char *id, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Add what would help to the error just filed. Returns its code. */
tlc_status tlc_hint(tlc_ctx *ctx, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void tlc_warn(tlc_ctx *ctx, const char *id, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* `len` bytes from a file, escaped, cut if long, in double quotes (hostile names are data). */
const char *tlc_quote(tlc_ctx *ctx, const char *bytes, size_t len);
const char *tlc_quote_name(tlc_ctx *ctx, const char *name); /* NUL-terminated */

#endif
