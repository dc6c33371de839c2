/* text.h: the .tir text form (docs/ir.md has the grammar) and the verifier. */
#ifndef TLC_TEXT_H
#define TLC_TEXT_H

#include "cwriter.h"
#include "op.h"

/* Print `m`; printing what was parsed from this printer's text gives the same bytes. */
void tlc_print_module(tlc_cwriter *w, const tlc_module *m);
/* One node as a line without newline: what stands above each emitted function. */
void tlc_print_node(tlc_cwriter *w, const tlc_node *n, bool names_as_plain_comment);

/**
 * Parse text[len] (file ctx->file, for messages: WHERE is line:column).
 * base_dir  folder in which `data "file"` is looked up, by tlc_data_open; NULL: data refused.
 * fails     E_MALFORMED with the ids of hostile-inputs 4.7; E_LIMIT; E_INPUT data file missing.
 */
TLC_MUST_USE tlc_status tlc_parse_module(tlc_ctx *ctx, const char *text, size_t len,
                                         const char *base_dir, tlc_module **out);

/* Hold every rule of graph.h and every operator's infer against `m`: definition before use,
 * dense ids, result types as inferred, no read after a write, returns defined.
 * A broken rule is a bug of a pass (E_INTERNAL) unless the module came from text. */
TLC_MUST_USE tlc_status tlc_verify_module(tlc_ctx *ctx, const tlc_module *m);
#endif
