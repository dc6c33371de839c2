/* tlb_options.c: getopt_long over the table, with whole names only, ranges, and suggestions. */
#include "tlb_options.h"

#include "tlb_escape.h"
#include "tlb_help.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const tlb_command_row tlb_commands[TLB_CMD_COUNT] = {
#define TLB_COMMAND(ID, PROGRAM, name, arguments, fewest, most, summary) \
    { TLB_PROGRAM_##PROGRAM, name, arguments, fewest, most, summary },
#include "tlb_commands.def"
#undef TLB_COMMAND
};

#define C(ID) (UINT64_C(1) << TLB_CMD_##ID)
#define ALL UINT64_MAX
const tlb_option_row tlb_option_rows[TLB_OPT_COUNT] = {
#define TLB_OPTION(ID, name, letter, kind, arg, value, least, most, commands, help) \
    { name, letter, TLB_KIND_##kind, arg, value, least, most, commands, help },
#include "tlb_options.def"
#undef TLB_OPTION
};
#undef C
#undef ALL

static const char *const program_names[] = { "tlc", "trainer", "predictor" };

const char *tlb_program_name(tlb_program p)
{
    return program_names[p];
}

const char *tlb_command_name(tlb_command c)
{
    return tlb_commands[c].name;
}

const char *tlb_option_name(tlb_option o)
{
    return tlb_option_rows[o].name;
}

/* --- errors ---------------------------------------------------------------- */

static void print_diag(const tlb_args *a, const tlb_diag *d)
{
    fflush(stdout);
    tlb_diag_print(stderr, program_names[a->program], d, a->json_diagnostics, a->color_err);
}

tlb_status tlb_error(const tlb_args *a, tlb_status code, const char *id, const char *file,
                     const char *where, const char *hint, const char *fmt, ...)
{
    char what[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    print_diag(a, &(tlb_diag){ TLB_ERROR, code, id, file, where, what, hint });
    return code;
}

void tlb_warning(const tlb_args *a, const char *id, const char *file, const char *where,
                 const char *fmt, ...)
{
    if (a->quiet)
        return;
    char what[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    print_diag(a, &(tlb_diag){ TLB_WARNING, TLB_OK, id, file, where, what, NULL });
}

static tlb_status usage_error(const tlb_args *a, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static tlb_status usage_error(const tlb_args *a, const char *hint, const char *fmt, ...)
{
    char what[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return tlb_error(a, TLB_E_USAGE, "E_USAGE", NULL, NULL, hint, "%s", what);
}

/* --- suggestions ------------------------------------------------------------ */

/* Damerau-Levenshtein distance (adjacent transpositions count once), for short names. */
static int edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 40 };
    int d[LONGEST + 1][LONGEST + 1], na = (int)strlen(a), nb = (int)strlen(b);
    if (na > LONGEST || nb > LONGEST)
        return LONGEST;
    for (int i = 0; i <= na; ++i) {
        for (int j = 0; j <= nb; ++j) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            int best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = d[i - 1][j] + 1 < best ? d[i - 1][j] + 1 : best;
            best = d[i][j - 1] + 1 < best ? d[i][j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                d[i - 2][j - 2] + 1 < best)
                best = d[i - 2][j - 2] + 1;
            d[i][j] = best;
        }
    }
    return d[na][nb];
}

void tlb_suggest(const char *typed, const char *candidate, const char **best, int *distance)
{
    enum { ONE_EDIT = 1, BEGINNING, TWO_EDITS, TOO_FAR };
    int edits = edit_distance(typed, candidate), d = TOO_FAR;
    if (edits <= 1)
        d = ONE_EDIT;
    else if (typed[0] && strncmp(typed, candidate, strlen(typed)) == 0)
        d = BEGINNING;
    else if (edits == 2)
        d = TWO_EDITS;
    if (d < TOO_FAR && d < *distance) {
        *best = candidate;
        *distance = d;
    }
}

static bool serves(const tlb_args *a, int option)
{
    return (tlb_option_rows[option].commands >> a->command) & 1;
}

static tlb_status unknown_option(const tlb_args *a, const char *typed)
{
    char shown[TLB_ESCAPED_NAME_BYTES], hint[64];
    const char *best = NULL;
    int distance = TLB_FAR;
    for (int i = 0; i < TLB_OPT_COUNT; ++i)
        if (serves(a, i))
            tlb_suggest(typed, tlb_option_rows[i].name, &best, &distance);
    tlb_escape_name(shown, sizeof shown, typed, strlen(typed));
    if (best)
        snprintf(hint, sizeof hint, "did you mean --%s?", best);
    return usage_error(a, best ? hint : NULL, "unknown option --%s", shown);
}

static tlb_status unknown_command(const tlb_args *a, const char *typed)
{
    char shown[TLB_ESCAPED_NAME_BYTES], hint[64];
    const char *best = NULL;
    int distance = TLB_FAR;
    for (int i = 0; i < TLB_CMD_COUNT; ++i)
        if (tlb_commands[i].program == a->program)
            tlb_suggest(typed, tlb_commands[i].name, &best, &distance);
    tlb_escape_name(shown, sizeof shown, typed, strlen(typed));
    if (best)
        snprintf(hint, sizeof hint, "did you mean %s?", best);
    else
        snprintf(hint, sizeof hint, "%s --help lists them", program_names[a->program]);
    return usage_error(a, hint, "unknown command \"%s\"", shown);
}

/* --- values ------------------------------------------------------------------ */

static tlb_status out_of_range(const tlb_args *a, const tlb_option_row *row, const char *text)
{
    char shown[TLB_ESCAPED_NAME_BYTES];
    tlb_escape_name(shown, sizeof shown, text, strlen(text));
    if (row->most > row->least)
        return usage_error(a, NULL, "--%s is %s, at least %.17g, at most %.17g", row->name, shown,
                           row->least, row->most);
    return usage_error(a, NULL, "--%s is %s, at least %.17g", row->name, shown, row->least);
}

static bool parse_number(const tlb_option_row *row, const char *text, tlb_value *v)
{
    char *end;
    errno = 0;
    switch (row->kind) {
    case TLB_KIND_COUNT:
        if (*text == '-' || !tlb_parse_count(text, &v->count))
            return *text == '-' && (v->number = -1, strtod(text, &end), *end == '\0');
        v->number = (double)v->count;
        return true;
    case TLB_KIND_INT:
        v->count = strtoll(text, &end, 10);
        v->number = (double)v->count;
        break;
    default:
        v->number = strtod(text, &end);
    }
    return *text && !*end && errno == 0 && isfinite(v->number);
}

/* strtod and strtoll take blanks, hexadecimal, "inf" and "nan" too. */
static bool is_plain_number(const char *text)
{
    return text[strspn(text, "0123456789+-.eEKMG")] == '\0';
}

static tlb_status set_value(tlb_args *a, int option, const char *text)
{
    const tlb_option_row *row = &tlb_option_rows[option];
    tlb_value *v = &a->value[option];
    v->text = text;
    switch (row->kind) {
    case TLB_KIND_FLAG:
        v->flag = text && strcmp(text, "true") == 0;
        return TLB_OK;
    case TLB_KIND_LIST:
        a->lists[a->n_lists++] = (tlb_list_item){ (tlb_option)option, text };
        return TLB_OK;
    case TLB_KIND_INT:
    case TLB_KIND_COUNT:
    case TLB_KIND_NUM:
        if (!is_plain_number(text) || !parse_number(row, text, v)) {
            char shown[TLB_ESCAPED_NAME_BYTES];
            tlb_escape_name(shown, sizeof shown, text, strlen(text));
            return usage_error(a, NULL, "--%s is \"%s\", not a number", row->name, shown);
        }
        if (v->number < row->least || (row->most > row->least && v->number > row->most))
            return out_of_range(a, row, text);
        return TLB_OK;
    default:
        return TLB_OK;
    }
}

static tlb_status give_value(tlb_args *a, int option, const char *text)
{
    const tlb_option_row *row = &tlb_option_rows[option];
    if (a->value[option].given && row->kind != TLB_KIND_LIST)
        return usage_error(a, NULL, "--%s is given twice", row->name);
    a->value[option].given = true;
    return set_value(a, option, text);
}

static bool is_enabled(const char *when, bool terminal)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    if (strcmp(when, "always") == 0)
        return true;
    if (strcmp(when, "never") == 0 || (no_color && *no_color) || (term && !strcmp(term, "dumb")))
        return false;
    return terminal;
}

/* Options that act on the parser itself. */
static tlb_status apply_common(tlb_args *a)
{
    const char *when = tlb_text(a, TLB_OPT_COLOR), *form = tlb_text(a, TLB_OPT_DIAGNOSTICS);
    if (strcmp(when, "auto") && strcmp(when, "always") && strcmp(when, "never"))
        return usage_error(a, NULL, "--color is auto, always or never");
    if (strcmp(form, "text") && strcmp(form, "json"))
        return usage_error(a, NULL, "--diagnostics is text or json");
    a->quiet = tlb_flag(a, TLB_OPT_QUIET);
    a->json = tlb_flag(a, TLB_OPT_JSON);
    a->json_diagnostics = strcmp(form, "json") == 0;
    a->color_out = is_enabled(when, isatty(STDOUT_FILENO));
    a->color_err = is_enabled(when, isatty(STDERR_FILENO));
    for (int i = 0; i < a->n_lists; ++i) {
        char shown[TLB_ESCAPED_NAME_BYTES];
        const char *text = a->lists[i].text;
        if (a->lists[i].option != TLB_OPT_LIMIT || tlb_limits_set(&a->limits, text))
            continue;
        tlb_escape_name(shown, sizeof shown, text, strlen(text));
        return usage_error(a, "NAME=N, as dim=4K", "no limit \"%s\"", shown);
    }
    return TLB_OK;
}

/* --- parsing ----------------------------------------------------------------- */

enum { NEGATED = 1 << 16 };

static int find_option(const tlb_args *a, const char *name, size_t len)
{
    for (int i = 0; i < TLB_OPT_COUNT; ++i)
        if (serves(a, i) && strlen(tlb_option_rows[i].name) == len &&
            strncmp(tlb_option_rows[i].name, name, len) == 0)
            return i;
    if (len > 3 && strncmp(name, "no-", 3) == 0) {
        int i = find_option(a, name + 3, len - 3);
        if (i >= 0 && tlb_option_rows[i].kind == TLB_KIND_FLAG)
            return i | NEGATED;
    }
    if (len == 6 && strncmp(name, "output", 6) == 0 && serves(a, TLB_OPT_OUT))
        return TLB_OPT_OUT;
    return -1;
}

static int option_of_letter(const tlb_args *a, int letter)
{
    for (int i = 0; i < TLB_OPT_COUNT; ++i)
        if (serves(a, i) && tlb_option_rows[i].letter == letter)
            return i;
    return -1;
}

/* Is the value of the letters in `word` ("-o", "-qo") the next word? */
static bool letters_take_next(const tlb_args *a, const char *word)
{
    for (const char *s = word + 1; *s; ++s) {
        int option = option_of_letter(a, *s);
        if (option >= 0 && tlb_option_rows[option].kind != TLB_KIND_FLAG)
            return s[1] == '\0';
    }
    return false;
}

/* getopt accepts abbreviations, so names are looked up whole before it runs. */
static tlb_status check_names(const tlb_args *a, int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; ++i) {
        if (strncmp(argv[i], "--", 2) != 0) {
            i += argv[i][0] == '-' && letters_take_next(a, argv[i]);
            continue;
        }
        size_t len = strcspn(argv[i] + 2, "=");
        int found = find_option(a, argv[i] + 2, len);
        if (found < 0) {
            char name[256];
            snprintf(name, sizeof name, "%.*s", (int)(len < 255 ? len : 255), argv[i] + 2);
            return unknown_option(a, name);
        }
        bool takes = !(found & NEGATED) && tlb_option_rows[found].kind != TLB_KIND_FLAG;
        if (!takes && argv[i][2 + len])
            return usage_error(a, NULL, "--%.*s takes no value", (int)len, argv[i] + 2);
        if (takes && !argv[i][2 + len])
            ++i; /* its value is the next word, whatever that looks like */
    }
    return TLB_OK;
}

/* Long options of the command, with `--no-` forms of flags and the alias --output. */
static int long_options(const tlb_args *a, struct option *rows, char (*negated)[48])
{
    int n = 0;
    for (int i = 0; i < TLB_OPT_COUNT; ++i) {
        const tlb_option_row *row = &tlb_option_rows[i];
        if (!serves(a, i))
            continue;
        bool flag = row->kind == TLB_KIND_FLAG;
        rows[n++] = (struct option){ row->name, flag ? no_argument : required_argument, NULL,
                                     256 + i };
        if (flag) {
            snprintf(negated[i], 48, "no-%s", row->name);
            rows[n++] = (struct option){ negated[i], no_argument, NULL, (256 + i) | NEGATED };
        }
    }
    if (serves(a, TLB_OPT_OUT))
        rows[n++] = (struct option){ "output", required_argument, NULL, 256 + TLB_OPT_OUT };
    rows[n] = (struct option){ 0 };
    return n;
}

static tlb_status unknown_letter(const tlb_args *a, char letter)
{
    char shown[8];
    tlb_escape(shown, sizeof shown, &letter, 1);
    return usage_error(a, NULL, "unknown option -%s", shown);
}

static tlb_status parse_words(tlb_args *a, int argc, char **argv)
{
    struct option rows[2 * TLB_OPT_COUNT + 2];
    char negated[TLB_OPT_COUNT][48];
    long_options(a, rows, negated);
    optind = 0; /* GNU: start over */
    opterr = 0;
    int c;
    while ((c = getopt_long(argc, argv, ":o:qh", rows, NULL)) != -1) {
        if (c == ':')
            return usage_error(a, NULL, "%s needs a value", argv[optind - 1]);
        int option = c >= 256 ? (c & ~NEGATED) - 256 : option_of_letter(a, c);
        if (c == '?' || option < 0)
            return unknown_letter(a, (char)(optopt ? optopt : c));
        const char *text = c & NEGATED ? "false" : optarg ? optarg : "true";
        tlb_status status = give_value(a, option, text);
        if (status)
            return status;
    }
    a->n_inputs = argc - optind;
    a->inputs = (const char **)argv + optind;
    return TLB_OK;
}

static tlb_status set_defaults(tlb_args *a)
{
    for (int i = 0; i < TLB_OPT_COUNT; ++i)
        if (tlb_option_rows[i].value) {
            tlb_status status = set_value(a, i, tlb_option_rows[i].value);
            if (status)
                return status;
        }
    return TLB_OK;
}

static int find_command(tlb_program program, const char *name)
{
    for (int i = 0; i < TLB_CMD_COUNT; ++i)
        if (tlb_commands[i].program == program && strcmp(tlb_commands[i].name, name) == 0)
            return i;
    return -1;
}

static tlb_status check_inputs(const tlb_args *a)
{
    const tlb_command_row *c = &tlb_commands[a->command];
    if (a->n_inputs < c->fewest)
        return usage_error(a, NULL, "%s needs an input: %s", c->name, c->arguments);
    if (c->most >= 0 && a->n_inputs > c->most) {
        char shown[TLB_ESCAPED_NAME_BYTES];
        const char *extra = a->inputs[c->most];
        tlb_escape_name(shown, sizeof shown, extra, strlen(extra));
        return usage_error(a, NULL, "unexpected argument \"%s\"", shown);
    }
    return TLB_OK;
}

/* `help [COMMAND]`, --help, --version; true if one of them was answered. */
static bool answer_help(tlb_args *a, const char *version, tlb_status *status)
{
    bool is_help = strcmp(tlb_commands[a->command].name, "help") == 0;
    if (tlb_flag(a, TLB_OPT_VERSION)) {
        printf("%s\n", version);
    } else if (tlb_flag(a, TLB_OPT_HELP)) {
        tlb_help_command(stdout, a->program, a->command, a->color_out);
    } else if (is_help && a->n_inputs == 0) {
        tlb_help_program(stdout, a->program, a->color_out);
    } else if (is_help) {
        int c = find_command(a->program, a->inputs[0]);
        if (c < 0)
            *status = unknown_command(a, a->inputs[0]);
        else
            tlb_help_all(stdout, a->program, (tlb_command)c, a->color_out);
    } else {
        return false;
    }
    return true;
}

static tlb_status parse_command(tlb_args *a, int argc, char **argv, const char *version, bool *done)
{
    tlb_status status = set_defaults(a);
    if (!status)
        status = check_names(a, argc - 2, argv + 2);
    if (!status)
        status = parse_words(a, argc - 1, argv + 1);
    if (!status)
        status = apply_common(a);
    if (!status && answer_help(a, version, &status))
        *done = true;
    else if (!status)
        status = check_inputs(a);
    return status;
}

static tlb_status unknown_first(const tlb_args *a, const char *typed)
{
    char shown[TLB_ESCAPED_NAME_BYTES];
    tlb_escape_name(shown, sizeof shown, typed, strlen(typed));
    return usage_error(a, "a COMMAND comes first; --help lists them", "unknown option %s", shown);
}

/* Errors of the command line itself come in the form that it asks for, wherever it does. */
static bool wants_json_diagnostics(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; ++i)
        if (!strcmp(argv[i], "--diagnostics=json") ||
            (!strcmp(argv[i], "--diagnostics") && i + 1 < argc && !strcmp(argv[i + 1], "json")))
            return true;
    return false;
}

tlb_status tlb_args_parse(tlb_args *a, tlb_program program, int argc, char **argv,
                          const char *version, bool *done)
{
    *a = (tlb_args){ .program = program };
    *done = false;
    a->json_diagnostics = wants_json_diagnostics(argc, argv);
    tlb_limits_init(&a->limits);
    /* Room for every LIST item that argv can hold; getopt reorders words, so it gets its own. */
    a->lists = calloc((size_t)argc + 1, sizeof *a->lists);
    a->words = calloc((size_t)argc + 1, sizeof *a->words);
    if (!a->lists || !a->words)
        return tlb_error(a, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
    for (int i = 0; i < argc; ++i)
        a->words[i] = argv[i];
    argv = a->words;
    const char *first = argc > 1 ? argv[1] : "--help";
    if (!strcmp(first, "--help") || !strcmp(first, "-h")) {
        tlb_help_program(stdout, program, is_enabled("auto", isatty(STDOUT_FILENO)));
        *done = true;
        return TLB_OK;
    }
    if (!strcmp(first, "--version")) {
        printf("%s\n", version);
        *done = true;
        return TLB_OK;
    }
    if (first[0] == '-')
        return unknown_first(a, first);
    int command = find_command(program, first);
    if (command < 0)
        return unknown_command(a, first);
    a->command = (tlb_command)command;
    return parse_command(a, argc, argv, version, done);
}

void tlb_args_free(tlb_args *a)
{
    free(a->lists);
    free(a->words);
    a->lists = NULL;
    a->words = NULL;
}
