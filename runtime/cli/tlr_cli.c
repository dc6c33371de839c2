/* tlr_cli.c: what trainer and predictor share, but for predictions (tlr_predictions.c). */
#define _GNU_SOURCE
#include "tlr_cli.h"

#include "tlb_json.h"
#include "tlr.h"
#include "tlr_pixels.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *tlr_cli_version(const char *program)
{
    static char text[256];
    const tlr_model *m = tlr_the_model;
    snprintf(text, sizeof text, "%s (tlc) %s\nmodel %s %.12s, target %s, %s", program, m->version,
             m->name, m->graph_sha256, m->target, m->precision);
    return text;
}

/* FOLDER/name under the folder where the program lies; `folder` ends with a slash or is empty. */
static char *path_beside(const char *folder, const char *name)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe);
    if (n <= 0 || n == (ssize_t)sizeof exe)
        return NULL;
    while (n > 0 && exe[n - 1] != '/')
        --n;
    size_t room = (size_t)n + strlen(folder) + strlen(name) + 1;
    char *path = malloc(room);
    if (path)
        snprintf(path, room, "%.*s%s%s", (int)n, exe, folder, name);
    return path;
}

char *tlr_cli_beside(const char *name)
{
    return path_beside("", name);
}

char *tlr_cli_of_model(const char *name)
{
    return path_beside(tlr_the_model == tlr_the_cpu_model ? "cpu/" : "", name);
}

const char *tlr_cli_id(tlb_status status)
{
    switch (status) {
#define TLB_STATUS(NAME, code, name, meaning) \
    case TLB_##NAME: \
        return #NAME;
#include "tlb_status.def"
#undef TLB_STATUS
    }
    return "E_INTERNAL";
}

tlb_status tlr_cli_end(const tlb_args *a, tlb_status status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    return tlb_error(a, TLB_E_OUTPUT, "E_OUTPUT", NULL, NULL, NULL,
                     "cannot write standard output: %s", strerror(errno ? errno : EIO));
}

tlb_status tlr_cli_device_check(const tlb_args *a)
{
    const tlr_model *m = tlr_the_model;
    const char *trouble = m->device ? m->device->trouble(m->program) : NULL;
    return trouble ? tlb_error(a, TLB_E_UNSUPPORTED, "E_DEVICE", NULL, NULL,
                               "--device cpu, or auto, runs without", "%s", trouble)
                   : TLB_OK;
}

/* The device's own version where the device starts; else say why not. */
static void choose_automatically(const tlb_args *a)
{
    const tlr_model *m = tlr_the_model;
    if (!m->device || m->device->open(m->program) == 0)
        return;
    tlb_warning(a, "W_DEVICE", NULL, NULL, "%s; going on on the CPU",
                m->device->trouble(m->program));
    tlr_the_model = tlr_the_cpu_model;
}

tlb_status tlr_cli_choose_device(const tlb_args *a)
{
    const char *wanted = tlb_text(a, TLB_OPT_DEVICE);
    bool cuda = wanted && strcmp(wanted, "cuda") == 0, cpu = wanted && strcmp(wanted, "cpu") == 0;
    if (wanted && !cuda && !cpu && strcmp(wanted, "auto") != 0)
        return tlb_error(a, TLB_E_USAGE, "E_USAGE", NULL, NULL, NULL,
                         "--device is cuda, cpu or auto");
    if (cuda && !tlr_the_model->device)
        return tlb_error(a, TLB_E_UNSUPPORTED, "E_DEVICE", NULL, NULL,
                         "compile with --target cuda",
                         "the network is compiled for target %s alone", tlr_the_model->target);
    if (cpu && tlr_the_cpu_model)
        tlr_the_model = tlr_the_cpu_model;
    else if (wanted && !cuda && !cpu && tlr_the_cpu_model)
        choose_automatically(a);
    return TLB_OK;
}

tlb_status tlr_cli_weights_error(const tlb_args *a, int status, const char *file)
{
    static const struct {
        tlr_status status;
        const char *what, *hint;
    } rows[] = {
        { TLR_E_USAGE, "batch or threads are out of range", NULL },
        { TLR_E_INPUT, "cannot read: not a regular file", NULL },
        { TLR_E_MALFORMED, "cut or damaged: checksum or size differs", NULL },
        { TLR_E_UNSUPPORTED, "weights of another model or version", "compile again" },
        { TLR_E_LIMIT, "out of memory", "a smaller --batch" },
    };
    int error = status == TLR_E_INPUT ? errno : 0; /* tlr_open_file ended on it */
    if (error)
        return tlb_error(a, TLB_E_INPUT, "E_INPUT", file, NULL, NULL, "cannot read: %s",
                         strerror(error));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if ((int)rows[i].status == status)
            return tlb_error(a, (tlb_status)status, tlr_cli_id((tlb_status)status), file, NULL,
                             rows[i].hint, "%s", rows[i].what);
    return tlb_error(a, TLB_E_INTERNAL, "E_INTERNAL", file, NULL, NULL, "status %d", status);
}

char *tlr_cli_json(const char *text)
{
    json_t *value = tlb_json_string(text);
    char *out = value ? tlb_json_dump(value, 0) : NULL;
    json_decref(value);
    return out;
}

/* --- pictures ------------------------------------------------------------- */

static tlb_status no_memory(tlr_image_note *note)
{
    note->what = "out of memory";
    return TLB_E_LIMIT;
}

tlb_status tlr_cli_read_stdin(const tlb_limits *limits, uint8_t **out, size_t *out_n,
                              tlr_image_note *note)
{
    size_t n = 0, capacity = 1 << 16, most = (size_t)limits->max[TLB_LIMIT_FILE];
    uint8_t *bytes = malloc(capacity);
    while (bytes) {
        n += fread(bytes + n, 1, capacity - n, stdin);
        if (n < capacity)
            break;
        if (n > most) {
            free(bytes);
            note->what = "more bytes than the limit; --limit file";
            return TLB_E_LIMIT;
        }
        uint8_t *more = realloc(bytes, capacity *= 2);
        if (!more)
            free(bytes);
        bytes = more;
    }
    *out = bytes;
    *out_n = n;
    return bytes ? TLB_OK : no_memory(note);
}

static tlb_status load(const tlr_loader *l, const char *path, tlr_rgb *out, tlr_image_note *note)
{
    uint8_t *bytes;
    size_t n;
    *note = (tlr_image_note){ 0 };
    if (strcmp(path, "-") != 0)
        return tlr_image_load(path, l->limits, l->exif, out, note);
    tlb_status st = tlr_cli_read_stdin(l->limits, &bytes, &n, note);
    if (st != TLB_OK)
        return st;
    st = tlr_image_decode(bytes, n, l->limits, l->exif, out, note);
    free(bytes);
    return st;
}

static tlb_status grow_scratch(tlr_loader *l, size_t bytes)
{
    if (bytes <= l->scratch_bytes)
        return TLB_OK;
    void *more = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!more)
        return TLB_E_LIMIT;
    free(l->scratch);
    l->scratch = more;
    l->scratch_bytes = bytes;
    return TLB_OK;
}

/* Decode and cut; `crop`: bytes of the crop, else numbers of the input. */
static tlb_status load_to(tlr_loader *l, const char *path, int crop, void *to,
                          tlr_image_note *note)
{
    tlr_rgb rgb;
    tlb_status st = load(l, path, &rgb, note);
    if (st != TLB_OK)
        return st;
    const tlr_preprocess *p = l->preprocess;
    tlr_picture pic = { rgb.pixels, rgb.width, rgb.height, (ptrdiff_t)rgb.width * 3, TLR_RGB };
    if (grow_scratch(l, tlr_pixels_scratch_bytes(p, rgb.width, rgb.height)) != TLB_OK) {
        st = no_memory(note);
    } else {
        tlr_status done = crop ? tlr_pixels_to_crop(p, &pic, to, l->scratch)
                               : tlr_pixels_to_input(p, &pic, l->type, to, l->scratch);
        st = done == TLR_OK ? TLB_OK : TLB_E_UNSUPPORTED;
        if (done != TLR_OK)
            note->what = "the network takes no pictures";
    }
    tlr_rgb_free(&rgb);
    return st;
}

tlb_status tlr_load_input(tlr_loader *l, const char *path, void *input, tlr_image_note *note)
{
    return load_to(l, path, 0, input, note);
}

tlb_status tlr_load_crop(tlr_loader *l, const char *path, uint8_t *rgb, tlr_image_note *note)
{
    return load_to(l, path, 1, rgb, note);
}

void tlr_loader_free(tlr_loader *l)
{
    free(l->scratch);
    l->scratch = NULL;
    l->scratch_bytes = 0;
}

tlb_status tlr_cli_picture_note(const tlb_args *a, const char *path, tlb_status status,
                                const tlr_image_note *note)
{
    const char *what = note->what ? note->what : "cannot decode";
    if (status == TLB_OK && note->warning)
        tlb_warning(a, "W_PICTURE", path, NULL, "%s", what);
    else if (status != TLB_OK && note->os_error)
        tlb_error(a, status, tlr_cli_id(status), path, NULL, NULL, "%s: %s", what,
                  strerror(note->os_error));
    else if (status != TLB_OK)
        tlb_error(a, status, tlr_cli_id(status), path, NULL, NULL, "%s", what);
    return status;
}
