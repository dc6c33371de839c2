/* report_record.h: a run folder as reports and comparisons see it.  Its files may be hostile. */
#ifndef TLR_REPORT_RECORD_H
#define TLR_REPORT_RECORD_H

#include "draw_pictures.h"

#include "tlb_json.h"

typedef struct tlr_record {
    char *path;
    json_t *json;             /* run.json */
    const char *state, *model;
    const char **classes;     /* strings of json */
    size_t n_classes;
    int64_t *confusion;       /* n_classes squared, true by row; NULL: not measured */
    int64_t valid_n;          /* pictures in it */
    tlr_epoch_row *epochs;
    size_t n_epochs;
    int64_t best_epoch;       /* 0: none */
} tlr_record;

/**
 * Read run.json and metrics.jsonl of the folder `path`.
 * fails   as hostile-inputs 4.6; *file: which of them (static), *what: static text.  A run
 *         without metrics has no epochs and is whole.
 */
tlb_status tlr_record_read(const char *path, const tlb_limits *limits, tlr_record *out,
                           const char **file, const char **what);
void tlr_record_free(tlr_record *r);

const json_t *tlr_record_part(const tlr_record *r, const char *part); /* "result", "cost" ... */
double tlr_record_number(const tlr_record *r, const char *part, const char *key); /* NaN: none */
const char *tlr_record_text(const tlr_record *r, const char *part, const char *key); /* NULL */

/* Call `each` for every line of a JSON lines file that is an object and does not contain `skip`
 * (NULL: none is skipped).  A missing file has no lines.  *what: static text. */
typedef tlb_status tlr_json_line(void *self, json_t *line);
tlb_status tlr_json_lines(const char *path, const tlb_limits *limits, const char *skip,
                          tlr_json_line *each, void *self, const char **what);

#endif
