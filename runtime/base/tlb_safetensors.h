/* tlb_safetensors.h: named tensors in the safetensors format.
 * https://huggingface.co/docs/safetensors: u64 header length, JSON header, data. */
#ifndef TLB_SAFETENSORS_H
#define TLB_SAFETENSORS_H

#include "tlb_file.h"
#include "tlb_limits.h"

typedef struct tlb_tensor {
    const char *name;      /* bytes; JSON-escaped when written */
    const char *dtype;     /* "F32" "F64" "I64" "U8" */
    int rank;
    int64_t dim[8];
    const void *data;      /* reading: view of the file */
    uint64_t n_bytes;
} tlb_tensor;

/* Writer: header first, then each tensor's bytes in the order given, by tlb_out_write. */
tlb_status tlb_safetensors_header(tlb_out *o, const tlb_tensor *tensors, size_t n,
                                  const char *const *metadata, size_t n_metadata); /* key, value pairs */

typedef struct tlb_safetensors { tlb_tensor *tensors; size_t n_tensors; void *owned; } tlb_safetensors;
/* Parse bytes[n] strictly (hostile-inputs 4.4); names and dims owned by *out.  *what: what is
 * wrong (static text). */
tlb_status tlb_safetensors_parse(const void *bytes, size_t n, const tlb_limits *limits,
                                 tlb_safetensors *out, const char **what);
const tlb_tensor *tlb_safetensors_find(const tlb_safetensors *s, const char *name);
void tlb_safetensors_free(tlb_safetensors *s);
#endif
