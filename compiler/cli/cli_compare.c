/* cli_compare.c: `tlc compare RUN...`: who wins, by how much, at what cost. */
#include "cli.h"
#include "cli_compare.h"

#include "tlb_escape.h"
#include "tlb_file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- reading -------------------------------------------------------------------------- */

static const char *base_of(tlc_ctx *ctx, const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        --n;
    size_t at = n;
    while (at > 0 && path[at - 1] != '/')
        --at;
    return tlc_arena_strndup(&ctx->arena, path + at, n - at);
}

static tlc_status read_one(tlc_ctx *ctx, const char *path, tlc_compared *c)
{
    const char *file, *what;
    ctx->file = path;
    tlb_status status = tlr_record_read(path, &ctx->limits, &c->record, &file, &what);
    if (status != TLB_OK) {
        tlc_at(ctx, "%s", file);
        return tlc_fail(ctx, (tlc_status)status, "E_RUN", "%s", what);
    }
    const tlr_record *r = &c->record;
    c->name = base_of(ctx, path);
    c->accuracy = tlr_record_number(r, "result", "accuracy");
    c->low = tlr_record_number(r, "result", "accuracy_low");
    c->high = tlr_record_number(r, "result", "accuracy_high");
    c->seconds = tlr_record_number(r, "cost", "wall_s");
    c->peak_bytes = tlr_record_number(r, "cost", "peak_bytes");
    c->trained = tlr_record_number(r, "model", "trained");
    return TLC_OK;
}

static void tell_apart(tlc_compared *runs, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        for (size_t k = 0; k < n; ++k)
            if (k != i && strcmp(runs[i].name, runs[k].name) == 0)
                runs[i].name = runs[i].record.path;
}

static void warn_data(tlc_ctx *ctx, const tlc_compared *runs, size_t n)
{
    const char *first = tlr_record_text(&runs[0].record, "data", "hash");
    for (size_t i = 1; i < n; ++i) {
        const char *hash = tlr_record_text(&runs[i].record, "data", "hash");
        if (first && hash && strcmp(first, hash) != 0) {
            ctx->file = runs[i].record.path;
            tlc_warn(ctx, "W_DATA", "not the first run's pictures: accuracies do not compare");
        }
    }
    ctx->file = NULL;
}

/* --- the table ------------------------------------------------------------------------ */

static const char *safe(tlc_ctx *ctx, const char *name)
{
    char *out = tlc_arena_alloc(&ctx->arena, TLB_ESCAPED_NAME_BYTES);
    tlb_escape_name(out, TLB_ESCAPED_NAME_BYTES, name, strlen(name));
    return out;
}

static void accuracy_text(char buf[64], const tlc_compared *c)
{
    snprintf(buf, 64, "-");
    if (isfinite(c->accuracy) && isfinite(c->low) && isfinite(c->high))
        snprintf(buf, 64, "%.1f %% (%.1f to %.1f)", 100 * c->accuracy, 100 * c->low,
                 100 * c->high);
}

static void print_row(tlc_ctx *ctx, tlb_table *t, const tlc_compared *c)
{
    char accuracy[64], text[3][32] = { "-", "-", "-" };
    accuracy_text(accuracy, c);
    if (isfinite(c->trained))
        tlb_show_count(text[0], (int64_t)c->trained);
    if (isfinite(c->seconds))
        tlb_show_time(text[1], c->seconds);
    if (isfinite(c->peak_bytes))
        tlb_show_count(text[2], llround(c->peak_bytes / (1024 * 1024)));
    const char *cells[] = { safe(ctx, c->name), safe(ctx, c->record.model), text[0], accuracy,
                            text[1], text[2] };
    tlb_table_row(t, cells);
}

static void print_table(tlc_ctx *ctx, const tlb_args *a, const tlc_compared *runs, size_t n)
{
    static const char *const headers[] = { "run", "network", "trained", "accuracy (95 %)", "time",
                                           "peak MiB" };
    static const bool right[] = { false, false, true, true, true, true };
    tlb_table *t = tlb_table_create(6, headers, right);
    for (size_t i = 0; i < n; ++i)
        print_row(ctx, t, &runs[i]);
    tlb_table_print(t, stdout, a->color_out);
    tlb_table_destroy(t);
}

static const tlc_compared *best_of(const tlc_compared *runs, size_t n)
{
    const tlc_compared *best = NULL;
    for (size_t i = 0; i < n; ++i)
        if (isfinite(runs[i].accuracy) && (!best || runs[i].accuracy > best->accuracy))
            best = &runs[i];
    return best;
}

/* Is the best one better, or only luckier? */
static void print_winner(tlc_ctx *ctx, const tlc_compared *runs, size_t n)
{
    enum { NAMED = 4 };
    const tlc_compared *best = best_of(runs, n);
    size_t overlap = 0;
    if (!best || n < 2)
        return;
    for (size_t i = 0; i < n; ++i)
        overlap += &runs[i] != best && runs[i].high >= best->low;
    printf("%s", safe(ctx, best->name));
    if (overlap == 0) {
        printf(" is best: no other interval reaches its own. ");
        return;
    }
    size_t shown = 0;
    for (size_t i = 0; i < n && shown < NAMED; ++i)
        if (&runs[i] != best && runs[i].high >= best->low) {
            printf(", %s", safe(ctx, runs[i].name));
            ++shown;
        }
    if (shown < overlap)
        printf(" and %zu more", overlap - shown);
    printf(": intervals overlap. ");
}

/* --- JSON ----------------------------------------------------------------------------- */

static void print_json(const tlc_compared *c)
{
    json_t *j = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "schema",
                          "tlc.compare/1", "run", tlb_json_string(c->record.path), "network",
                          tlb_json_string(c->record.model), "state",
                          tlb_json_string(c->record.state), "trained", tlb_json_real(c->trained),
                          "accuracy", tlb_json_real(c->accuracy), "accuracy_low",
                          tlb_json_real(c->low), "accuracy_high", tlb_json_real(c->high),
                          "wall_s", tlb_json_real(c->seconds), "peak_bytes",
                          tlb_json_real(c->peak_bytes));
    if (isfinite(c->trained))
        json_object_set_new(j, "trained", json_integer((json_int_t)c->trained));
    if (isfinite(c->peak_bytes))
        json_object_set_new(j, "peak_bytes", json_integer((json_int_t)c->peak_bytes));
    char *text = j ? tlb_json_dump(j, 0) : NULL;
    if (text)
        puts(text);
    free(text);
    json_decref(j);
}

/* --- the picture ---------------------------------------------------------------------- */

static tlc_status write_picture(tlc_ctx *ctx, const tlc_compared *runs, size_t n, const char *out)
{
    uint8_t *png = NULL;
    size_t bytes = 0;
    int error = 0;
    tlr_canvas *c = tlc_compare_draw(runs, n);
    bool drawn = c && tlr_canvas_png(c, &png, &bytes);
    tlr_canvas_destroy(c);
    if (!drawn)
        return tlc_fail(ctx, TLC_E_LIMIT, "E_MEMORY", "out of memory");
    tlb_status status = tlb_write_file(out, png, bytes, &error);
    free(png);
    if (status == TLB_OK)
        return TLC_OK;
    ctx->file = out;
    return tlc_fail(ctx, TLC_E_OUTPUT, "E_OUTPUT", "cannot write: %s", strerror(error));
}

static tlc_status report(tlc_ctx *ctx, const tlb_args *a, const tlc_compared *runs, size_t n)
{
    const char *out = tlb_text(a, TLB_OPT_OUT), *lacks = tlr_canvas_lacks();
    out = out ? out : "compare.png";
    warn_data(ctx, runs, n);
    if (lacks)
        tlc_warn(ctx, "W_PICTURES", "no picture: %s", lacks);
    else
        TLC_TRY(write_picture(ctx, runs, n, out));
    for (size_t i = 0; i < n && a->json; ++i)
        print_json(&runs[i]);
    if (a->json)
        return TLC_OK;
    print_table(ctx, a, runs, n);
    print_winner(ctx, runs, n);
    if (!lacks)
        printf("wrote %s", safe(ctx, out));
    putchar('\n');
    return TLC_OK;
}

tlc_status tlc_cli_compare(tlc_ctx *ctx, const tlb_args *a)
{
    size_t n = (size_t)a->n_inputs;
    tlc_compared *runs = TLC_NEW_ARRAY(&ctx->arena, tlc_compared, n);
    tlc_status status = TLC_OK;
    for (size_t i = 0; i < n && status == TLC_OK; ++i)
        status = read_one(ctx, a->inputs[i], &runs[i]);
    if (status == TLC_OK) {
        ctx->file = NULL;
        tell_apart(runs, n);
        status = report(ctx, a, runs, n);
    }
    for (size_t i = 0; i < n; ++i)
        tlr_record_free(&runs[i].record);
    return status;
}
