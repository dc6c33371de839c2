/* tlb_diag.h: one error or warning, and its one line on stderr.
 *
 *     PROGRAM: error: FILE: WHERE: WHAT; HINT
 *
 * An empty part goes with its colon.  FILE is escaped here; WHERE, WHAT and HINT
 * carry text from files only after tlb_escape_name.
 */
#ifndef TLB_DIAG_H
#define TLB_DIAG_H

#include "tlb_status.h"

#include <stdbool.h>
#include <stdio.h>

typedef enum tlb_severity { TLB_ERROR, TLB_WARNING } tlb_severity;

typedef struct tlb_diag {
    tlb_severity severity;
    tlb_status code;   /* 0 for a warning */
    const char *id;    /* stable: "E_SHAPE" */
    const char *file;  /* what the user typed; NULL: none.  Not yet escaped */
    const char *where; /* node, tensor, offset, line:column; NULL: none */
    const char *what;
    const char *hint;  /* NULL: none */
} tlb_diag;

/* Print `d` as one line: text, or with `json` one ASCII JSON object.  `color`: severity in colour. */
void tlb_diag_print(FILE *out, const char *program, const tlb_diag *d, bool json, bool color);

#endif
