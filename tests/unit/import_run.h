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

/* Import the bytes as the file `path`, which need not exist. */
static inline void run_bytes(run *r, const pb *bytes, const char *path)
{
    run_begin(r);
    r->ctx.file = path;
    r->file = (tlc_file){ bytes->bytes, (int64_t)bytes->n, path, NULL };
    r->status = setjmp(r->exhausted) ? TLC_E_LIMIT
                                     : tlc_import_onnx(&r->ctx, &r->file, &r->module, &r->info);
    r->file.bytes = NULL; /* not ours to unmap; what lies beside it is */
}

static inline void run_net(run *r, net *m)
{
    pb bytes = net_bytes(m);
    run_bytes(r, &bytes, "net.onnx");
    if (r->status == TLC_OK) /* data of the module are views of these bytes */
        memcpy(tlc_arena_alloc(&r->ctx.arena, bytes.n + 1), bytes.bytes, bytes.n);
    free(bytes.bytes);
}

static inline void run_end(run *r)
{
    tlc_file_unmap(&r->file);
    tlc_ctx_fini(&r->ctx);
}

/* How many errors (or warnings) say `core`; NULL: any. */
static inline int run_count(const run *r, tlb_severity severity, const char *core)
{
    int n = 0;
    for (size_t i = 0; i < r->ctx.n_diags; ++i)
        n += r->ctx.diags[i].severity == severity
             && (!core || strstr(r->ctx.diags[i].what, core) != NULL);
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
