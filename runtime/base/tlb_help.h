/* tlb_help.h: help texts from the tables of commands and options. */
#ifndef TLB_HELP_H
#define TLB_HELP_H

#include "tlb_options.h"

typedef struct tlb_command_row {
    tlb_program program;
    const char *name, *arguments;
    int fewest, most; /* arguments; most -1: any number */
    const char *summary;
} tlb_command_row;

typedef enum tlb_kind {
    TLB_KIND_FLAG,
    TLB_KIND_INT,
    TLB_KIND_COUNT,
    TLB_KIND_NUM,
    TLB_KIND_TEXT,
    TLB_KIND_PATH,
    TLB_KIND_LIST
} tlb_kind;

typedef struct tlb_option_row {
    const char *name;
    int letter;
    tlb_kind kind;
    const char *arg, *value; /* value: the default, NULL none */
    double least, most;      /* most <= least: no upper bound */
    uint64_t commands;       /* bit by tlb_command */
    const char *help;
} tlb_option_row;

extern const tlb_command_row tlb_commands[TLB_CMD_COUNT];
extern const tlb_option_row tlb_option_rows[TLB_OPT_COUNT];

void tlb_help_program(FILE *out, tlb_program p, bool color);                /* --help */
void tlb_help_command(FILE *out, tlb_program p, tlb_command c, bool color); /* COMMAND --help */
void tlb_help_all(FILE *out, tlb_program p, tlb_command c, bool color);     /* help COMMAND */

#endif
