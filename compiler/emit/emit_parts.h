/* emit_parts.h: what the files of emit/ share and nobody else needs. */
#ifndef TLC_EMIT_PARTS_H
#define TLC_EMIT_PARTS_H

#include "emit.h"

/* One run of tlc_emit_folder: everything the texts are a function of. */
typedef struct tlc_emission {
    tlc_ctx *ctx;
    const tlc_module *m;
    const tlc_plan *p;
    const tlc_emit_spec *spec;
    const tlc_func *features, *head, *step, *prepare, *update; /* NULL: none; head is @forward where nothing
                                                       * was cut */
    const tlc_node **writer; /* by value id: the node of @step or @update that writes it first of its
                              * operands; NULL: none */
    const char *symbol;              /* of the descriptor: "NAME_model", "NAME_cpu_model" */
    const struct tlc_emission *cpu;  /* the same network for the processor; NULL: none */
    tlc_sha256 code; /* the graph as it is emitted: what weights.bin is held against */
} tlc_emission;

/* --- emit.c ------------------------------------------------------------------ */

/* Every file of the folder but weights.bin, in memory; fills what `e` lacks besides ctx, m, p and
 * spec.  The last is manifest.json.  fails  E_NAME, E_IO, E_MEMORY */
TLC_MUST_USE tlc_status tlc_emit_texts(tlc_emission *e, tlc_embedded **out, size_t *out_n);

/* --- c.c, describe.c: model.c -------------------------------------------------- */

const char *tlc_emit_model_c(const tlc_emission *e);
const char *tlc_emit_header(const tlc_emission *e);      /* NAME.h */
const char *tlc_emit_the_model_c(const tlc_emission *e); /* which model the programs hold */
/* The constant descriptor and its tables, at the end of model.c. */
void tlc_emit_descriptor(const tlc_emission *e, tlc_cwriter *w);
/* Comment at the top of a file. */
void tlc_emit_banner(const tlc_emission *e, tlc_cwriter *w, const char *file);
/* "n41_conv2d"; an update is called by what it writes, "u12_adam_update". */
void tlc_emit_node_name(tlc_cwriter *w, const tlc_node *n);
/* The node's line of IR, its kernel and cost, as a comment. */
void tlc_emit_node_comment(const tlc_emission *e, tlc_cwriter *w, const tlc_node *n,
                           const tlc_kernel *k);
/* The literal of the node's shape, its lines broken between fields. */
void tlc_emit_literal(const tlc_emission *e, tlc_cwriter *w, const tlc_node *n,
                      const tlc_kernel *k);
/* Does any node of `f` run code? */
bool tlc_emit_has_code(const tlc_emission *e, const tlc_func *f);
/* The kernel of each node of `f` in order: an entry of plan->kernel. */
const tlc_kernel *const *tlc_emit_kernels(const tlc_emission *e, const tlc_func *f);
/* `name` if it may stand in a comment (hostile-inputs 5: at most 80 bytes of [A-Za-z0-9_./:-]),
 * else "?"; NULL: "?". */
const char *tlc_emit_plain_name(const char *name);
/* By position in `f`: does the node serve nothing but the training of the backbone?  Such nodes run
 * where f->step[TLK_GROUP_BACKBONE].t is above 0 alone. */
const bool *tlc_emit_backbone_part(const tlc_emission *e, const tlc_func *f);
/* Is `v` a gradient that @step keeps for @update?  Does the backbone's rate train it (or, of a kept
 * gradient, its parameter)? */
bool tlc_emit_is_gradient(const tlc_emission *e, const tlc_value *v);
bool tlc_emit_is_backbone(const tlc_emission *e, const tlc_value *v);
const char *tlc_emit_target_name(tlc_target t);       /* "cpu" */
const char *tlc_emit_precision_name(tlc_precision p); /* "fp32" */

/* --- cuda.c ------------------------------------------------------------------- */

/* model.c between banner and descriptor: each function's launches, and the program's source. */
void tlc_emit_cuda_host(const tlc_emission *e, tlc_cwriter *w);
const char *tlc_emit_model_cu(const tlc_emission *e);
/* Do products go to matrix units, which compute capability 8.0 has? */
bool tlc_emit_cuda_on_matrix_units(const tlc_emission *e);
struct tlc_sources;
/* src/model_cu.h: model.cu and what it includes as strings, for the compiler at run time. */
const char *tlc_emit_model_cu_h(const tlc_emission *e, const char *model_cu,
                                const struct tlc_sources *s);

/* --- layout.c ------------------------------------------------------------------ */

/* Takes the next `n` bytes; false stops the stream. */
typedef bool tlc_sink(void *self, const void *bytes, size_t n);
/* The bytes of `v` as they lie in memory in its layout, in order and in small pieces, so that a
 * weight of any size passes through a fixed buffer.  False: the sink stopped. */
bool tlc_emit_pack(const tlc_value *v, tlc_sink *sink, void *self);

/* --- folder.c ------------------------------------------------------------------ */

/* A file of the folder being written; after the first failure writing does nothing. */
typedef struct tlc_folder_file {
    int fd;
    int error;       /* errno; 0: none */
    uint64_t at;     /* bytes so far */
    size_t held;     /* in `buffer` */
    unsigned char buffer[1 << 16];
} tlc_folder_file;

void tlc_folder_put(tlc_folder_file *f, const void *bytes, size_t n);
void tlc_folder_hole(tlc_folder_file *f, uint64_t n);                 /* zeros that take no room */
void tlc_folder_patch(tlc_folder_file *f, const void *bytes, size_t n); /* over the file's start */

/* A file too large to be made in memory first. */
typedef struct tlc_folder_stream {
    const char *path;
    void (*write)(tlc_folder_file *f, const void *self);
    const void *self;
} tlc_folder_stream;

/* Write `files` and `streams` under a temporary name beside `out_dir`, and put the folder in its
 * place.  On failure nothing is left. */
TLC_MUST_USE tlc_status tlc_folder_write(tlc_ctx *ctx, const char *out_dir,
                                         const tlc_embedded *files, size_t n_files,
                                         const tlc_folder_stream *streams, size_t n_streams);

/* --- weights.c ------------------------------------------------------------------- */

void tlc_emit_weights(tlc_folder_file *f, const void *emission);

/* --- sources.c ------------------------------------------------------------------- */

/* The embedded files that the output needs, that of e->cpu included, sorted by path. */
typedef struct tlc_sources {
    const tlc_embedded **file;
    size_t n;
} tlc_sources;
tlc_sources tlc_emit_sources(const tlc_emission *e);
/* Does any of the sources under `folder` ("" all) include <header>? */
bool tlc_sources_use(const tlc_sources *s, const char *folder, const char *header);
const char *tlc_base_name(const char *path);
bool tlc_starts_with(const char *text, const char *prefix);
bool tlc_ends_with(const char *text, const char *suffix);

/* --- export.c ---------------------------------------------------------------------- */

/* export.json and export.bin; false: out of memory. */
bool tlc_emit_export(const tlc_emission *e, tlc_embedded out[2]);

/* --- manifest.c, build.c ---------------------------------------------------------- */

/* JSON text; files: paths of the folder, sorted.  NULL: out of memory. */
const char *tlc_emit_manifest(const tlc_emission *e, const char *const *files, size_t n_files);
const char *tlc_emit_makefile(const tlc_emission *e, const tlc_sources *s);
const char *tlc_emit_cmake(const tlc_emission *e, const tlc_sources *s);

#endif
