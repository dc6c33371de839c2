/* cli_split.c: `tlc split FLAT -o DIR`: one folder of pictures, whose names begin with their
 * class, to DIR/train/CLASS, DIR/valid/CLASS and DIR/unlabelled.
 *
 * The class is what stands before the first dot or digit: cat.0.jpg, cat_017.png, cat-3.jpeg are
 * all of class cat; 17.jpg has none.  Each class is shuffled by itself, so that the shares hold in
 * every class.  Everything is made in a folder beside DIR that takes its name when it is whole.
 */
#define _GNU_SOURCE
#include "cli.h"

#include "tlb_escape.h"
#include "tlb_file.h"
#include "tlb_json.h"
#include "tlk_philox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct class {
    const char *name;
    size_t first, n, n_valid; /* its pictures: names[first .. first + n) */
} class;

typedef struct split {
    tlc_ctx *ctx;
    const tlb_args *a;
    const char *flat, *out;
    char *made;               /* where it is made: beside `out` */
    char **names;             /* of pictures, in order of class, then of bytes */
    size_t n, cap, n_other;
    class *classes;
    size_t n_classes, cap_classes;
    size_t n_unlabelled;      /* they come first: their class is "" */
} split;

static const char UNLABELLED[] = "unlabelled";

/* --- what is there ------------------------------------------------------------------------- */

static bool is_picture(const char *name)
{
    static const char *const endings[] = { ".jpg", ".jpeg", ".png" };
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; ++i) {
        size_t e = strlen(endings[i]);
        if (n > e && strcasecmp(name + n - e, endings[i]) == 0)
            return true;
    }
    return false;
}

/* Length of the class in a name; what joins it to a number is not part of it. */
static size_t class_bytes(const char *name)
{
    size_t n = strcspn(name, ".0123456789");
    while (n > 0 && strchr("_- (", name[n - 1]))
        --n;
    return n;
}

static int by_class_and_bytes(const void *x, const void *y)
{
    const char *a = *(char *const *)x, *b = *(char *const *)y;
    size_t na = class_bytes(a), nb = class_bytes(b), n = na < nb ? na : nb;
    int order = memcmp(a, b, n);
    if (order == 0)
        order = (na > nb) - (na < nb);
    return order ? order : strcmp(a, b);
}

static tlc_status read_names(split *s)
{
    tlc_arena *arena = &s->ctx->arena;
    DIR *d = opendir(s->flat);
    s->ctx->file = s->flat;
    if (!d)
        return tlc_fail(s->ctx, TLC_E_INPUT, "E_INPUT", "cannot read the folder: %s",
                        strerror(errno));
    for (struct dirent *e; (e = readdir(d));) {
        struct stat info;
        bool file = fstatat(dirfd(d), e->d_name, &info, 0) == 0 && S_ISREG(info.st_mode);
        if (!file || !is_picture(e->d_name)) {
            s->n_other += file;
            continue;
        }
        if ((int64_t)s->n >= s->ctx->limits.max[TLB_LIMIT_FOLDER]) {
            closedir(d);
            return tlc_fail(s->ctx, TLC_E_LIMIT, "E_LIMIT",
                            "more entries than the limit; --limit folder");
        }
        char *name = tlc_arena_strdup(arena, e->d_name);
        TLC_PUSH(arena, s->names, s->n, s->cap, name);
    }
    closedir(d);
    if (s->n > 0)
        qsort(s->names, s->n, sizeof *s->names, by_class_and_bytes);
    return TLC_OK;
}

/* Runs of one class in the sorted names. */
static void find_classes(split *s)
{
    for (size_t i = 0; i < s->n;) {
        size_t bytes = class_bytes(s->names[i]), end = i + 1;
        while (end < s->n && class_bytes(s->names[end]) == bytes &&
               memcmp(s->names[end], s->names[i], bytes) == 0)
            ++end;
        class c = { .name = tlc_arena_strndup(&s->ctx->arena, s->names[i], bytes), .first = i,
                    .n = end - i };
        if (bytes == 0)
            s->n_unlabelled = c.n;
        else
            TLC_PUSH(&s->ctx->arena, s->classes, s->n_classes, s->cap_classes, c);
        i = end;
    }
}

/* How many of a class go to valid: a share, or a number. */
static tlc_status count_valid(split *s, class *c)
{
    double valid = tlb_num(s->a, TLB_OPT_VALID_PART);
    c->n_valid = (size_t)llround(valid < 1 ? (double)c->n * valid : valid);
    if (c->n_valid < c->n)
        return TLC_OK;
    return tlc_fail(s->ctx, TLC_E_USAGE, "E_USAGE",
                    "class %s has %zu pictures: --valid %s leaves none to train on",
                    tlc_quote_name(s->ctx, c->name), c->n, tlb_text(s->a, TLB_OPT_VALID_PART));
}

static tlc_status check_classes(split *s)
{
    if ((int64_t)s->n_classes > s->ctx->limits.max[TLB_LIMIT_CLASSES])
        return tlc_fail(s->ctx, TLC_E_LIMIT, "E_LIMIT", "%zu classes; --limit classes",
                        s->n_classes);
    if (s->n_classes < 2) {
        tlc_fail(s->ctx, TLC_E_MALFORMED, "E_CLASS", "%zu class%s among %zu pictures, at least 2",
                 s->n_classes, s->n_classes == 1 ? "" : "es", s->n);
        return tlc_hint(s->ctx, "a name begins with its class: cat.0.jpg, dog_17.png");
    }
    for (size_t i = 0; i < s->n_classes; ++i)
        TLC_TRY(count_valid(s, &s->classes[i]));
    return TLC_OK;
}

/* --- what is made -------------------------------------------------------------------------- */

static tlc_status cannot_write(split *s, int error)
{
    s->ctx->file = s->out;
    return tlc_fail(s->ctx, TLC_E_OUTPUT, "E_OUTPUT", "cannot write: %s", strerror(error));
}

static tlc_status make_folder(split *s, const char *part, const char *name, char **out)
{
    *out = tlc_arena_printf(&s->ctx->arena, "%s/%s%s%s", s->made, part, *name ? "/" : "", name);
    return mkdir(*out, 0777) == 0 ? TLC_OK : cannot_write(s, errno);
}

static tlc_status copy_file(split *s, const char *from, const char *to)
{
    tlb_map map;
    int error = 0;
    s->ctx->file = from;
    if (tlb_map_file(from, &map, &error) != TLB_OK)
        return tlc_fail(s->ctx, TLC_E_INPUT, "E_INPUT", "cannot read: %s", strerror(error));
    int fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    size_t done = 0;
    while (fd >= 0 && done < map.n_bytes) {
        ssize_t n = write(fd, map.bytes + done, map.n_bytes - done);
        if (n < 0 && errno != EINTR)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    error = errno;
    bool whole = fd >= 0 && done == map.n_bytes;
    if (fd >= 0 && close(fd) != 0) {
        error = errno;
        whole = false;
    }
    tlb_unmap(&map);
    return whole ? TLC_OK : cannot_write(s, error);
}

/* Picture `name` into `folder`: a link to where it is, or a copy. */
static tlc_status place(split *s, const char *real, const char *name, const char *folder)
{
    tlc_arena_mark mark = tlc_arena_save(&s->ctx->arena);
    const char *from = tlc_arena_printf(&s->ctx->arena, "%s/%s", real, name);
    const char *to = tlc_arena_printf(&s->ctx->arena, "%s/%s", folder, name);
    if (tlb_flag(s->a, TLB_OPT_COPY))
        TLC_TRY(copy_file(s, from, to)); /* no rewind: the diagnostic may name them */
    else if (symlink(from, to) != 0)
        return cannot_write(s, errno);
    tlc_arena_rewind(&s->ctx->arena, mark);
    return TLC_OK;
}

/* The first n_valid of the shuffled class go to valid. */
static tlc_status place_class(split *s, const char *real, size_t index)
{
    const class *c = &s->classes[index];
    char *train, *valid;
    int64_t *order = TLC_NEW_ARRAY(&s->ctx->arena, int64_t, c->n);
    tlk_stream stream = { (uint64_t)tlb_int(s->a, TLB_OPT_SEED), (uint32_t)index, 1,
                          TLK_RANDOM_SPLIT };
    tlk_random_shuffle(stream, (int64_t)c->n, order);
    TLC_TRY(make_folder(s, "train", c->name, &train));
    TLC_TRY(make_folder(s, "valid", c->name, &valid));
    for (size_t i = 0; i < c->n; ++i)
        TLC_TRY(place(s, real, s->names[c->first + (size_t)order[i]],
                      i < c->n_valid ? valid : train));
    return TLC_OK;
}

static tlc_status place_all(split *s)
{
    char real[PATH_MAX], *folder;
    if (!realpath(s->flat, real))
        return tlc_fail(s->ctx, TLC_E_INPUT, "E_INPUT", "cannot read: %s", strerror(errno));
    TLC_TRY(make_folder(s, "train", "", &folder));
    TLC_TRY(make_folder(s, "valid", "", &folder));
    for (size_t i = 0; i < s->n_classes; ++i)
        TLC_TRY(place_class(s, real, i));
    if (s->n_unlabelled > 0)
        TLC_TRY(make_folder(s, UNLABELLED, "", &folder));
    for (size_t i = 0; i < s->n_unlabelled; ++i)
        TLC_TRY(place(s, real, s->names[i], folder));
    return TLC_OK;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info, (void)kind, (void)at;
    return remove(path);
}

/* Nothing is overwritten: `out` is not there, or an empty folder. */
static tlc_status check_out(split *s)
{
    struct stat info;
    s->ctx->file = s->out;
    if (lstat(s->out, &info) != 0)
        return TLC_OK;
    DIR *d = S_ISDIR(info.st_mode) ? opendir(s->out) : NULL;
    int n = 0;
    for (const struct dirent *e; d && (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    if (d && n == 0)
        return TLC_OK;
    return tlc_fail(s->ctx, TLC_E_OUTPUT, "E_EXISTS", "exists, and is no empty folder");
}

static tlc_status make_all(split *s)
{
    const char *slash = strrchr(s->out, '/');
    int folder = slash ? (int)(slash - s->out) + 1 : 0;
    s->made = tlc_arena_printf(&s->ctx->arena, "%.*s.tlc-%08lx.part", folder, s->out,
                               (unsigned long)getpid());
    if (mkdir(s->made, 0777) != 0)
        return cannot_write(s, errno);
    tlc_status status = place_all(s);
    if (!status && rename(s->made, s->out) != 0)
        status = cannot_write(s, errno);
    if (status)
        nftw(s->made, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return status;
}

/* --- what is said -------------------------------------------------------------------------- */

static void print_json(const split *s, size_t n_train, size_t n_valid)
{
    json_t *classes = json_array();
    for (size_t i = 0; i < s->n_classes; ++i)
        json_array_append_new(classes, tlb_json_string(s->classes[i].name));
    json_t *j = json_pack("{s:s, s:o, s:o, s:I, s:I, s:I, s:I}", "schema", "tlc.split/1", "out",
                          tlb_json_string(s->out), "classes", classes, "train_n",
                          (json_int_t)n_train, "valid_n", (json_int_t)n_valid, "unlabelled_n",
                          (json_int_t)s->n_unlabelled, "other_n", (json_int_t)s->n_other);
    char *text = j ? tlb_json_dump(j, 0) : NULL;
    if (text)
        puts(text);
    free(text);
    json_decref(j);
}

static void print_classes(const split *s)
{
    enum { SHOWN = 10 };
    char name[TLB_ESCAPED_NAME_BYTES], count[32];
    printf("classes   %zu: ", s->n_classes);
    for (size_t i = 0; i < s->n_classes && i < SHOWN; ++i) {
        const class *c = &s->classes[i];
        tlb_escape_name(name, sizeof name, c->name, strlen(c->name));
        printf("%s%s %s", i ? ", " : "", name, tlb_show_count(count, (int64_t)c->n));
    }
    if (s->n_classes > SHOWN)
        printf(", %zu more", s->n_classes - SHOWN);
    putchar('\n');
}

static void report(split *s)
{
    size_t n_train = 0, n_valid = 0;
    char shown[4 * PATH_MAX + 8], count[2][32];
    for (size_t i = 0; i < s->n_classes; ++i) {
        n_valid += s->classes[i].n_valid;
        n_train += s->classes[i].n - s->classes[i].n_valid;
    }
    if (s->a->json) {
        print_json(s, n_train, n_valid);
        return;
    }
    print_classes(s);
    tlb_shell_quote(shown, sizeof shown, s->out);
    printf("split     %s train, %s valid (--valid, --seed)\n",
           tlb_show_count(count[0], (int64_t)n_train), tlb_show_count(count[1], (int64_t)n_valid));
    if (s->n_unlabelled > 0)
        printf("no class  %s, in %s\n", tlb_show_count(count[0], (int64_t)s->n_unlabelled),
               UNLABELLED);
    printf("wrote     %s: %s (--copy)\n", shown,
           tlb_flag(s->a, TLB_OPT_COPY) ? "copies" : "links to the pictures");
    printf("next      tlc fit MODEL %s -o build/net\n", shown);
}

tlc_status tlc_cli_split(tlc_ctx *ctx, const tlb_args *a)
{
    const char *out = tlb_text(a, TLB_OPT_OUT);
    if (!out)
        return tlc_fail(ctx, TLC_E_USAGE, "E_USAGE", "split needs -o DIR");
    size_t n = strlen(out);
    while (n > 1 && out[n - 1] == '/')
        --n;
    split s = { .ctx = ctx, .a = a, .flat = a->inputs[0],
                .out = tlc_arena_strndup(&ctx->arena, out, n) };
    TLC_TRY(check_out(&s));
    TLC_TRY(read_names(&s));
    find_classes(&s);
    TLC_TRY(check_classes(&s));
    if (s.n_other > 0)
        tlc_warn(ctx, "W_FOLDER", "%zu file%s no picture by the name's ending", s.n_other,
                 s.n_other == 1 ? " is" : "s are");
    TLC_TRY(make_all(&s));
    ctx->file = NULL;
    if (!a->quiet)
        report(&s);
    return TLC_OK;
}
