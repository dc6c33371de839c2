/* trainer_report.c: `trainer report`, which draws a run again, and `trainer preview`, which
 * shows a batch before anything is trained. */
#define _GNU_SOURCE
#include "report.h"
#include "trainer_cli.h"

#include "tlk_philox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- report --------------------------------------------------------------------------- */

static const char *const files[] = { "report.html", "curves.png", "confusion.png", "worst.png",
                                     "preview.png" };
enum { N_FILES = sizeof files / sizeof *files };

static bool holds(const char *run, const char *name)
{
    char *path = NULL;
    bool is = asprintf(&path, "%s/%s", run, name) >= 0 && access(path, F_OK) == 0;
    free(path);
    return is;
}

static void print_files(const char *run)
{
    const char *before = "";
    printf("wrote     %s: ", trainer_safe(run));
    for (int i = 0; i < N_FILES; ++i)
        if (holds(run, files[i])) {
            printf("%s%s", before, files[i]);
            before = ", ";
        }
    putchar('\n');
}

static void print_files_json(const char *run)
{
    json_t *list = json_array();
    for (int i = 0; i < N_FILES; ++i)
        if (holds(run, files[i]))
            json_array_append_new(list, json_string(files[i]));
    json_t *j = json_pack("{s:s, s:o, s:o}", "schema", "tlc.report/1", "run",
                          tlb_json_string(run), "files", list);
    char *text = j ? tlb_json_dump(j, 0) : NULL;
    if (text)
        puts(text);
    free(text);
    json_decref(j);
}

tlb_status trainer_report(trainer *t)
{
    trainer_run run;
    tlb_status status = trainer_run_find(&run, t->args);
    if (status == TLB_OK)
        status = tlr_report_write(t->args, run.path);
    if (status == TLB_OK && t->args->json)
        print_files_json(run.path);
    else if (status == TLB_OK && !t->args->quiet)
        print_files(run.path);
    trainer_run_close(&run);
    return status;
}

/* --- preview -------------------------------------------------------------------------- */

json_t *trainer_preview_list(const trainer_data *d, uint64_t seed)
{
    int64_t n = d->samples.n_train;
    int64_t *order = d->paths ? malloc((size_t)n * sizeof *order + 1) : NULL;
    if (!order)
        return json_null();
    json_t *list = json_array();
    tlk_epoch_order(seed, 0, n, order);
    for (int64_t i = 0; i < n && i < TLR_MOST_PREVIEW && i < tlr_the_model->max_batch; ++i)
        json_array_append_new(list, json_pack("{s:o, s:o}", "path",
                                              tlb_json_string(d->paths[order[i]]), "label",
                                              tlb_json_string(d->classes[d->labels[order[i]]])));
    free(order);
    return list;
}

static tlb_status write_canvas(const tlb_args *a, tlr_canvas *c, const char *path)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    int error = 0;
    if (!c || !tlr_canvas_png(c, &bytes, &n))
        return tlb_error(a, TLB_E_LIMIT, "E_MEMORY", NULL, NULL, NULL, "out of memory");
    tlb_status status = tlb_write_file(path, bytes, n, &error);
    if (status != TLB_OK)
        tlb_error(a, status, "E_OUTPUT", path, NULL, NULL, "cannot write: %s", strerror(error));
    free(bytes);
    return status;
}

static tlb_status draw_preview(const tlb_args *a, const trainer_data *d, const char *path)
{
    tlr_tile tiles[TLR_MOST_PREVIEW];
    size_t n = 0, unread = 0;
    json_t *list = trainer_preview_list(d, (uint64_t)tlb_int(a, TLB_OPT_SEED));
    tlr_load_preview(a, list, tlb_flag(a, TLB_OPT_EXIF), tiles, &n, &unread);
    json_decref(list);
    if (unread > 0)
        tlb_warning(a, "W_PICTURE", a->inputs[0], NULL, "%zu picture%s not shown: cannot be read",
                    unread, unread == 1 ? " is" : "s are");
    tlr_canvas *c = tlr_draw_tiles("First batch, as the network sees it", tiles, n,
                                   TLR_PREVIEW_COLUMNS, &tlr_theme_light);
    tlb_status status = write_canvas(a, c, path);
    tlr_canvas_destroy(c);
    tlr_tiles_free(tiles, n);
    return status;
}

static void print_preview(const tlb_args *a, const char *path)
{
    json_t *j = a->json ? json_pack("{s:s, s:o}", "schema", "tlc.preview/1", "file",
                                    tlb_json_string(path)) : NULL;
    char *text = j ? tlb_json_dump(j, 0) : NULL;
    if (text)
        puts(text);
    else if (!a->quiet)
        printf("wrote     %s\n", trainer_safe(path));
    free(text);
    json_decref(j);
}

tlb_status trainer_preview(trainer *t)
{
    const tlb_args *a = t->args;
    const char *lacks = tlr_canvas_lacks(), *out = tlb_text(a, TLB_OPT_OUT);
    trainer_data d = { 0 };
    out = out ? out : "preview.png";
    if (lacks)
        return tlb_error(a, TLB_E_UNSUPPORTED, "E_PICTURES", NULL, NULL, NULL, "no pictures: %s",
                         lacks);
    tlb_status status = trainer_data_open(&d, a, a->inputs[0], DATA_TRAIN, trainer_threads(a),
                                          NULL, 0);
    if (status == TLB_OK)
        status = draw_preview(a, &d, out);
    if (status == TLB_OK)
        print_preview(a, out);
    trainer_data_close(&d);
    return status;
}
