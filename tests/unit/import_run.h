/* import_run.h: import bytes or a file in a test, and look at what came out. */
#ifndef IMPORT_RUN_H
#define IMPORT_RUN_H

#include "import.h"
#include "onnx_build.h"
#include "text.h"

#include <stdio.h>

typedef struct run {
    tlc_ctx ctx;
    jmp_buf exhausted;
    tlc_file file;
    tlc_module *module; /* NULL unless status is 0 */
    tlc_import_info info;
    tlc_status status;
} run;

static inline void run_begin(run *r)
{
    memset(r, 0, sizeof *r);
    tlc_ctx_init(&r->ctx, &r->exhausted);
}

/* Import the bytes as the file `path`, which need not exist.  They are freed here; the copy that
 * is read lies in the context's arena, so ASan sees reads past the end. */
static inline void run_bytes(run *r, pb bytes, const char *path)
{
    run_begin(r);
    r->ctx.file = path;
    if (setjmp(r->exhausted)) {
        r->status = TLC_E_LIMIT;
        return;
    }
    unsigned char *copy = tlc_arena_alloc(&r->ctx.arena, bytes.n);
    if (bytes.n)
        memcpy(copy, bytes.bytes, bytes.n);
    r->file = (tlc_file){ copy, (int64_t)bytes.n, path, NULL };
    pb_free(&bytes);
    r->status = tlc_import_onnx(&r->ctx, &r->file, &r->module, &r->info);
}

static inline void run_net(run *r, net *m)
{
    run_bytes(r, net_bytes(m), "net.onnx");
}

static inline void run_end(run *r)
{
    r->file.bytes = NULL; /* in the arena; what lies beside it is mapped */
    tlc_file_unmap(&r->file);
    tlc_ctx_fini(&r->ctx);
}

/* How many errors (or warnings) say `core`; NULL: any. */
static inline int run_count(const run *r, tlb_severity severity, const char *core)
{
    int n = 0;
    for (size_t i = 0; i < r->ctx.n_diags; ++i)
        n += r->ctx.diags[i].severity == severity &&
             (!core || strstr(r->ctx.diags[i].what, core) != NULL);
    return n;
}

static inline void run_show(const run *r)
{
    printf("  status %d\n", (int)r->status);
    for (size_t i = 0; i < r->ctx.n_diags; ++i)
        tlb_diag_print(stdout, "tlc", &r->ctx.diags[i], false, false);
}

static inline tlc_func *run_forward(const run *r)
{
    return tlc_func_find(r->module, "forward");
}

/* The graph without its globals' bytes: one line a node. */
static inline const char *run_text(run *r)
{
    tlc_cwriter w = tlc_cwriter_make(&r->ctx.arena);
    for (const tlc_node *n = run_forward(r)->first; n; n = n->next) {
        tlc_print_node(&w, n, true);
        tlc_w(&w, "\n");
    }
    return w.text;
}

#endif
