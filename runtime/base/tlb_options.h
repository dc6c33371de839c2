/* tlb_options.h: the command line of tlc, trainer and predictor from one table.
 *
 * Any order of options and arguments, `--` ends options, `--a V` and `--a=V`, `--no-a` for
 * flags; no abbreviations.  Errors are usage errors with a suggestion for a mistyped name.
 */
#ifndef TLB_OPTIONS_H
#define TLB_OPTIONS_H

#include "tlb_diag.h"
#include "tlb_limits.h"

#include <stdint.h>

typedef enum tlb_program { TLB_PROGRAM_TLC, TLB_PROGRAM_TRAINER, TLB_PROGRAM_PREDICTOR } tlb_program;

typedef enum tlb_command {
#define TLB_COMMAND(ID, PROGRAM, name, arguments, fewest, most, summary) TLB_CMD_##ID,
#include "tlb_commands.def"
#undef TLB_COMMAND
    TLB_CMD_COUNT
} tlb_command;

typedef enum tlb_option {
#define TLB_OPTION(ID, name, letter, kind, arg, value, least, most, commands, help) TLB_OPT_##ID,
#include "tlb_options.def"
#undef TLB_OPTION
    TLB_OPT_COUNT
} tlb_option;

typedef struct tlb_value {
    bool given;         /* by the user */
    bool flag;          /* FLAG */
    int64_t count;      /* INT, COUNT */
    double number;      /* NUM (INT and COUNT too) */
    const char *text;   /* as typed, or the default; NULL: none */
} tlb_value;

typedef struct tlb_list_item { tlb_option option; const char *text; } tlb_list_item;

typedef struct tlb_args {
    tlb_program program;
    tlb_command command;
    tlb_value value[TLB_OPT_COUNT];
    char **words;                   /* argv, reordered: options first */
    const char **inputs;            /* the arguments; points into words */
    int n_inputs;
    tlb_list_item *lists;           /* every LIST option in the order given */
    int n_lists;
    tlb_limits limits;              /* --limit applied */
    bool quiet, json, json_diagnostics, color_out, color_err;
} tlb_args;

const char *tlb_program_name(tlb_program p);   /* "tlc" */
const char *tlb_command_name(tlb_command c);
const char *tlb_option_name(tlb_option o);     /* "replace-head" */

/**
 * Parse argv.  --help and --version (and `help COMMAND`) are answered on stdout and *done set.
 * version   what --version prints after the program's name.
 * returns   TLB_OK, or TLB_E_USAGE (or TLB_E_LIMIT) after printing the one error line.
 */
tlb_status tlb_args_parse(tlb_args *a, tlb_program program, int argc, char **argv,
                          const char *version, bool *done);
void tlb_args_free(tlb_args *a);

static inline bool tlb_given(const tlb_args *a, tlb_option o) { return a->value[o].given; }
static inline bool tlb_flag(const tlb_args *a, tlb_option o) { return a->value[o].flag; }
static inline int64_t tlb_int(const tlb_args *a, tlb_option o) { return a->value[o].count; }
static inline double tlb_num(const tlb_args *a, tlb_option o) { return a->value[o].number; }
static inline const char *tlb_text(const tlb_args *a, tlb_option o) { return a->value[o].text; }

/* Keep `candidate` in *best if it begins with what was typed or is two edits away, and is the
 * nearest so far; *distance starts as TLB_FAR. */
enum { TLB_FAR = 4 };
void tlb_suggest(const char *typed, const char *candidate, const char **best, int *distance);

/* Print an error line for the program and return `code`: WHAT is printf-formatted. */
tlb_status tlb_error(const tlb_args *a, tlb_status code, const char *id, const char *file,
                     const char *where, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 7, 8)));
void tlb_warning(const tlb_args *a, const char *id, const char *file, const char *where,
                 const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* --- numbers as reports show them ------------------------------------------
 * Each writes into buf and returns it. */
char *tlb_show_count(char buf[32], int64_t n);           /* 25,557,032 */
char *tlb_show_time(char buf[32], double seconds);       /* 0.3 s, 1:05, 1:02:03 */
char *tlb_show_bytes(char buf[32], int64_t bytes);       /* 89.59 MiB */
char *tlb_show_percent(char buf[32], double share);      /* 98.7 % */

/* A table: header with names left and numbers right, two spaces between columns. */
typedef struct tlb_table tlb_table;
tlb_table *tlb_table_create(int columns, const char *const *headers, const bool *right);
void tlb_table_row(tlb_table *t, const char *const *cells);   /* copies the cells */
void tlb_table_print(tlb_table *t, FILE *out, bool color);
void tlb_table_destroy(tlb_table *t);

#endif
