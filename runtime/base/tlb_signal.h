/* tlb_signal.h: a mapped file that becomes shorter while it is read.
 *
 * For programs alone: a library leaves the signals of its application as they are.
 */
#ifndef TLB_SIGNAL_H
#define TLB_SIGNAL_H

#include "tlb_options.h"

/* From now on reading a mapped file past its new end is an error like others: one line in the form
 * that `a` asks for, and exit code TLB_E_INPUT.  What a run wrote before stays whole, as after a kill. */
void tlb_catch_shrunk_files(const tlb_args *a);

#endif
