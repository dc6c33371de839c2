/* test_passes.c: golden cases of the passes, tests/passes/<pass>.tir.
 *
 * A file is a list of cases with lines of `// -----` between them.  A case is IR text, a line
 * `// ==>` and the IR text expected, or one line `// ==> error ID: part of the message`.
 * Its first line may be `// run: PASS... [OPTION...]`; without one, that of the case before
 * holds.  TLC_UPDATE_GOLDEN=1 writes what came out into the files, for review.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pass.h"
#include "text.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char separator[] = "// -----\n", arrow[] = "// ==>", run_line[] = "// run:";

/* --- text ------------------------------------------------------------------------- */

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    fseek(f, 0, SEEK_END);
    long len = ftell(f);
    rewind(f);
    char *text = calloc((size_t)len + 1, 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, (size_t)len, f), (size_t)len);
    fclose(f);
    return text;
}

/* The line that begins with `mark`, or NULL. */
static char *find_line(char *text, const char *mark)
{
    for (char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, mark, strlen(mark)) == 0)
            return at;
    }
    return NULL;
}

/* --- options ------------------------------------------------------------------------ */

enum { MAX_WORDS = 32 };

typedef struct setup {
    tlc_options options;
    tlc_freeze_rule rules[MAX_WORDS];
    tlc_findings findings;
    const char *passes[MAX_WORDS];
    int n_passes;
    int64_t folded_limit; /* 0: the default */
} setup;

static void set_flag(setup *s, const char *word)
{
    tlc_options *o = &s->options;
    if (strcmp(word, "--train") == 0)
        o->train = true;
    else if (strcmp(word, "--freeze-backbone") == 0)
        o->freeze_backbone = true;
    else if (strcmp(word, "--nesterov") == 0)
        o->nesterov = true;
    else if (strcmp(word, "--keep-gradients") == 0)
        o->keep_gradients = true;
    else if (strcmp(word, "--no-fuse") == 0)
        o->no_fuse = true;
    else
        fail_msg("unknown option %s", word);
}

static void add_rule(setup *s, bool freeze, const char *glob)
{
    s->rules[s->options.n_freeze_rules++] = (tlc_freeze_rule){ freeze, glob };
    s->options.freeze_rules = s->rules;
}

static void set_option(setup *s, const char *name, const char *value)
{
    tlc_options *o = &s->options;
    if (strcmp(name, "--replace-head") == 0)
        o->replace_head = value;
    else if (strcmp(name, "--head") == 0)
        o->head = value;
    else if (strcmp(name, "--freeze-until") == 0)
        o->freeze_until = value;
    else if (strcmp(name, "--freeze") == 0 || strcmp(name, "--unfreeze") == 0)
        add_rule(s, name[2] == 'f', value);
    else if (strcmp(name, "--optimizer") == 0)
        o->optimizer = value[0] == 's' ? TLC_SGD : value[4] ? TLC_ADAMW : TLC_ADAM;
    else if (strcmp(name, "--bn") == 0)
        o->bn = value[0] == 'f' ? TLC_BN_FROZEN : value[0] == 's' ? TLC_BN_STATS : TLC_BN_DEFAULT;
    else if (strcmp(name, "--label-smoothing") == 0)
        o->label_smoothing = atof(value);
    else if (strcmp(name, "--target") == 0)
        o->target = strcmp(value, "ref") == 0    ? TLC_TARGET_REF
                    : strcmp(value, "cuda") == 0 ? TLC_TARGET_CUDA
                                                 : TLC_TARGET_CPU;
    else if (strcmp(name, "--batch") == 0)
        o->batch = strtol(value, NULL, 10);
    else if (strcmp(name, "--precision") == 0)
        o->precision = strcmp(value, "fp64") == 0   ? TLC_PRECISION_FP64
                       : strcmp(value, "tf32") == 0 ? TLC_PRECISION_TF32
                       : strcmp(value, "bf16") == 0 ? TLC_PRECISION_BF16
                                                    : TLC_PRECISION_FP32;
    else
        fail_msg("unknown option %s", name);
}

/* Cuts `line` into words; a pass, --flag or --name=value each. */
static setup parse_run_line(char *line)
{
    setup s = { 0 };
    for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n")) {
        char *value = strchr(word, '=');
        if (strncmp(word, "--", 2) != 0) {
            s.passes[s.n_passes++] = word;
        } else if (value) {
            *value = 0;
            set_option(&s, word, value + 1);
        } else {
            set_flag(&s, word);
        }
    }
    return s;
}

/* --- one case ------------------------------------------------------------------------ */

static tlc_status run_named(tlc_ctx *ctx, tlc_module *m, setup *s)
{
    tlc_pass_env env = { .options = &s->options, .findings = &s->findings };
    env.facts = TLC_FACT_FROZEN | TLC_FACT_SPLIT; /* a case shows one pass alone */
    s->options.freeze_rules = s->rules;
    if (s->n_passes == 1 && strcmp(s->passes[0], "pipeline") == 0)
        return tlc_pipeline_run(ctx, m, &env, NULL, NULL);
    for (int i = 0; i < s->n_passes; ++i) {
        const tlc_pass *p = tlc_pass_find(s->passes[i]);
        if (!p)
            fail_msg("no pass %s", s->passes[i]);
        TLC_TRY(tlc_pass_run(ctx, p, m, &env));
    }
    return TLC_OK;
}

static char *copy_text(const char *fmt, const char *a, const char *b)
{
    int len = snprintf(NULL, 0, fmt, a, b);
    char *text = calloc((size_t)len + 1, 1);
    assert_non_null(text);
    snprintf(text, (size_t)len + 1, fmt, a, b);
    return text;
}

/* What stands behind the arrow for this input: caller frees. */
static char *outcome(const char *input, setup *s)
{
    tlc_ctx ctx;
    jmp_buf exhausted;
    tlc_module *m = NULL;
    char *text;
    if (setjmp(exhausted))
        fail_msg("out of memory");
    tlc_ctx_init(&ctx, &exhausted);
    ctx.verify_between_passes = true;
    tlc_status status = tlc_parse_module(&ctx, input, strlen(input), NULL, &m);
    if (status == TLC_OK)
        status = run_named(&ctx, m, s);
    if (status == TLC_OK) {
        tlc_cwriter w = tlc_cwriter_make(&ctx.arena);
        tlc_print_module(&w, m);
        text = copy_text("%s\n%s", arrow, w.text);
    } else {
        const tlb_diag *d = &ctx.diags[ctx.n_diags - 1];
        char *head = copy_text("%s error %s", arrow, d->id);
        const char *where = d->where ? d->where : "";
        char *what = copy_text(d->where ? "%s: %s" : "%s%s", where, d->what);
        text = copy_text("%s: %s\n", head, what);
        free(head);
        free(what);
    }
    tlc_ctx_fini(&ctx);
    return text;
}

/* An expected error names a part of the message. */
static bool agrees(const char *got, const char *expected)
{
    static const char error[] = "// ==> error ";
    if (strncmp(expected, error, sizeof error - 1) != 0)
        return strcmp(got, expected) == 0;
    const char *colon = strchr(expected, ':');
    size_t id_len = colon ? (size_t)(colon - expected) : strlen(expected) - 1;
    if (strncmp(got, expected, id_len) != 0)
        return false;
    char *part = copy_text("%s%s", colon ? colon + 2 : "", "");
    part[strcspn(part, "\n")] = 0;
    bool found = strstr(got, part) != NULL;
    free(part);
    return found;
}

/* --- one file -------------------------------------------------------------------------- */

typedef struct file_run {
    const char *path;
    char run[512]; /* the run line in force */
    FILE *update;  /* the file being written anew; NULL: compare */
    int number, failed;
} file_run;

static void run_case(file_run *r, char *text, bool last)
{
    char words[sizeof r->run];
    char *expected = find_line(text, arrow);
    const char *run = find_line(text, run_line);
    ++r->number;
    if (run)
        snprintf(r->run, sizeof r->run, "%.*s", (int)strcspn(run, "\n"), run);
    assert_true(r->run[0] != 0);
    snprintf(words, sizeof words, "%s", r->run + sizeof run_line - 1);
    char *wanted = copy_text("%s%s", expected ? expected : "", "");
    if (expected)
        *expected = 0;
    setup s = parse_run_line(words);
    char *got = outcome(text, &s);
    bool good = agrees(got, wanted);
    if (r->update) {
        fprintf(r->update, "%s%s%s", text, good ? wanted : got, last ? "" : separator);
    } else if (!good) {
        print_error("%s: case %d\n--- input\n%s--- expected\n%s--- got\n%s", r->path, r->number,
                    text, wanted, got);
        ++r->failed;
    }
    free(wanted);
    free(got);
}

static void test_file(void **state)
{
    file_run r = { .path = *state };
    char *text = read_file(r.path);
    assert_non_null(text);
    if (getenv("TLC_UPDATE_GOLDEN"))
        assert_non_null(r.update = fopen(r.path, "wb"));
    for (char *at = text; at;) {
        char *next = find_line(at, separator);
        if (next) {
            *next = 0;
            next += sizeof separator - 1;
        }
        run_case(&r, at, !next);
        at = next;
    }
    if (r.update)
        fclose(r.update);
    free(text);
    assert_int_equal(r.failed, 0);
}

/* --- all ---------------------------------------------------------------------------------- */

static void test_every_pass_has_cases(void **state)
{
    const glob_t *files = *state;
    for (size_t i = 0; i < tlc_n_passes; ++i) {
        bool found = false;
        for (size_t j = 0; j < files->gl_pathc; ++j) {
            const char *base = strrchr(files->gl_pathv[j], '/') + 1;
            size_t len = strlen(tlc_passes[i].name);
            found |= strncmp(base, tlc_passes[i].name, len) == 0 && base[len] == '.';
        }
        if (!found)
            fail_msg("tests/passes/%s.tir is missing", tlc_passes[i].name);
    }
}

static void test_needs_are_checked(void **state)
{
    (void)state;
    tlc_ctx ctx;
    jmp_buf exhausted;
    if (setjmp(exhausted))
        fail_msg("out of memory");
    tlc_ctx_init(&ctx, &exhausted);
    tlc_options options = { 0 };
    tlc_findings findings = { 0 };
    tlc_pass_env env = { .options = &options, .findings = &findings };
    tlc_module *m = tlc_module_make(&ctx, "m");
    assert_int_equal(tlc_pass_run(&ctx, tlc_pass_find("fuse"), m, &env), TLC_E_USAGE);
    assert_non_null(strstr(ctx.diags[0].what, "needs split"));
    assert_int_equal(tlc_pass_run(&ctx, tlc_pass_find("dce"), m, &env), TLC_OK);
    assert_null(tlc_pass_find("nothing"));
    tlc_ctx_fini(&ctx);
}

/* --- what passes report ------------------------------------------------------------------ */

static const char report_net[] =
    "module \"net\"\n"
    "param %conv.weight : f32[2,1,1,1] = splat 1\n"
    "param %one : f32[2] = splat 1\n"
    "param %fc.weight : f32[10,2] = splat 1\n"
    "func @forward(%x: f32[n,1,2,2]) -> f32[n,10] {\n"
    "  %0 : f32[n,2,2,2] = conv2d %x, %conv.weight\n"
    "  %1 : f32[n,2,2,2] = batch_norm %0, %one, %one, %one, %one\n"
    "  %2 : f32[n,2] = reduce_mean %1 {axes=[2,3], keepdims=false}\n"
    "  %3 : f32[n,10] = linear %2, %fc.weight ; \"/fc\\n/Gemm\"\n"
    "  return %3\n"
    "}\n";

/* Passes that ran, to see that the callback follows each. */
static tlc_status note_pass(void *self, const tlc_pass *p, const tlc_module *m)
{
    char *names = self;
    assert_non_null(m->first_func);
    strcat(strcat(names, p->name), " ");
    return TLC_OK;
}

static void test_findings(void **state)
{
    (void)state;
    tlc_ctx ctx;
    jmp_buf exhausted;
    tlc_module *m = NULL;
    char names[256] = "";
    if (setjmp(exhausted))
        fail_msg("out of memory");
    tlc_ctx_init(&ctx, &exhausted);
    tlc_options o = { .replace_head = "2", .freeze_backbone = true, .train = true };
    tlc_findings found = { 0 };
    tlc_pass_env env = { .options = &o, .findings = &found };
    assert_int_equal(tlc_parse_module(&ctx, report_net, sizeof report_net - 1, NULL, &m), TLC_OK);
    assert_int_equal(tlc_pipeline_run(&ctx, m, &env, note_pass, names), TLC_OK);
    assert_string_equal(names, "fold_constants canonicalise replace_head freeze fold_bn split "
                               "differentiate dce winograd split_sums fuse assign_layouts ");
    assert_string_equal(found.head_node, "/fc\\n/Gemm");
    assert_int_equal(found.head_in.dim[1], 2);
    assert_int_equal(found.head_out_old.dim[1], 10);
    assert_int_equal(found.params_model, 2 + 2 + 20);
    assert_int_equal(found.params_frozen, 2 + 2); /* weight and the bias that folding made */
    assert_int_equal(found.params_trained, 4 + 2);
    assert_int_equal(found.n_trained, 2);
    assert_string_equal(found.trained_names[0], "fc.weight");
    assert_string_equal(found.trained_names[1], "fc.bias");
    assert_int_equal(found.bn_folded, 1);
    assert_string_equal(found.cut_because, "ends before fc, the first trained layer");
    tlc_ctx_fini(&ctx);
}

int main(void)
{
    const char *source = getenv("TLC_SOURCE");
    const char *folder = source ? "/tests/passes/" : "passes/";
    char *pattern = copy_text("%s%s*.tir", source ? source : "", folder);
    glob_t files = { 0 };
    if (glob(pattern, 0, NULL, &files) != 0) {
        fprintf(stderr, "no cases at %s; TLC_SOURCE names the source folder\n", pattern);
        return 1;
    }
    struct CMUnitTest *tests = calloc(files.gl_pathc + 3, sizeof *tests);
    for (size_t i = 0; i < files.gl_pathc; ++i)
        tests[i] = (struct CMUnitTest){ .name = strrchr(files.gl_pathv[i], '/') + 1,
                                        .test_func = test_file,
                                        .initial_state = files.gl_pathv[i] };
    size_t n = files.gl_pathc;
    tests[n++] = (struct CMUnitTest){ .name = "every pass has cases",
                                      .test_func = test_every_pass_has_cases,
                                      .initial_state = &files };
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_needs_are_checked);
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_findings);
    int failed = _cmocka_run_group_tests("passes", tests, n, NULL, NULL);
    free(tests);
    free(pattern);
    globfree(&files);
    return failed;
}
