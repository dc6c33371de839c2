/* predictor.h: the parts of the program `predictor`. */
#ifndef PREDICTOR_H
#define PREDICTOR_H

#include "tlb_options.h"
#include "tlr.h"
#include "tlr_session.h"

/* Open the model's weights (--weights, or the compiled folder's) for batches of `max_batch` on
 * --threads; says what is wrong.  need_trained: refuse weights whose head is not trained. */
tlb_status predictor_open(const tlb_args *a, int max_batch, int need_trained, tlr_session **out);
int predictor_threads(const tlb_args *a);
/* "out of memory", said. */
tlb_status predictor_no_memory(const tlb_args *a);

/* One a command. */
tlb_status predictor_infer(const tlb_args *a);
tlb_status predictor_classify(const tlb_args *a);
tlb_status predictor_bench(const tlb_args *a);
tlb_status predictor_info(const tlb_args *a);
#endif
