/* tlb_status.h: one table of outcomes for programs (exit codes) and libraries (statuses). */
#ifndef TLB_STATUS_H
#define TLB_STATUS_H

typedef enum tlb_status {
#define TLB_STATUS(NAME, code, name, meaning) TLB_##NAME = code,
#include "tlb_status.def"
#undef TLB_STATUS
} tlb_status;

#endif
