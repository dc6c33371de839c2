/* tlr_folder.c: a folder of class folders to a list of pictures.
 *
 * Links are followed.  A folder that is its own ancestor (same device and inode on the way down)
 * is a loop: counted, not entered.  Depth, entries and classes have limits.  Order is that of
 * bytes, whatever the file system says.
 */
#define _GNU_SOURCE
#include "tlr_image.h"

#include "tlb_escape.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

typedef struct ancestor {
    const struct ancestor *up;
    dev_t device;
    ino_t inode;
    int depth;
} ancestor;

typedef struct scan {
    const tlb_limits *limits;
    tlr_folder *out;
    size_t capacity;
    int64_t entries;
    tlb_status status; /* the first failure; E_INTERNAL never */
    char *where;
    const char *what;
} scan;

static bool fail(scan *s, tlb_status status, const char *where, const char *what)
{
    if (s->status == TLB_OK) {
        s->status = status;
        s->where = where ? strdup(where) : NULL;
        s->what = what;
    }
    return false;
}

static bool no_memory(scan *s)
{
    return fail(s, TLB_E_LIMIT, NULL, "out of memory");
}

static bool picture_name(const char *name)
{
    static const char *const endings[] = { ".jpg", ".jpeg", ".png" };
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; ++i) {
        size_t e = strlen(endings[i]);
        if (n >= e && strcasecmp(name + n - e, endings[i]) == 0)
            return true;
    }
    return false;
}

static char *join(scan *s, const char *folder, const char *name)
{
    size_t a = strlen(folder), b = strlen(name);
    int slash = a > 0 && folder[a - 1] != '/';
    char *path = malloc(a + (size_t)slash + b + 1);
    if (!path) {
        no_memory(s);
        return NULL;
    }
    memcpy(path, folder, a);
    if (slash)
        path[a] = '/';
    memcpy(path + a + slash, name, b + 1);
    return path;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const tlr_photo *)a)->path, ((const tlr_photo *)b)->path);
}

/* Takes `path`. */
static bool add_photo(scan *s, char *path, int label)
{
    tlr_folder *f = s->out;
    if (f->n_photos == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 256;
        tlr_photo *more = realloc(f->photos, capacity * sizeof *more);
        if (!more) {
            free(path);
            return no_memory(s);
        }
        f->photos = more;
        s->capacity = capacity;
    }
    f->photos[f->n_photos++] = (tlr_photo){ path, label };
    return true;
}

static bool is_loop(const ancestor *up, const struct stat *info)
{
    for (; up; up = up->up)
        if (up->device == info->st_dev && up->inode == info->st_ino)
            return true;
    return false;
}

static bool count_entry(scan *s, const char *path)
{
    if (++s->entries > s->limits->max[TLB_LIMIT_FOLDER])
        return fail(s, TLB_E_LIMIT, path, "more entries than the limit; --limit folder");
    return true;
}

/* Names of a folder's entries but for . and .., sorted.  false: s says why. */
static bool list(scan *s, const char *folder, char ***out, size_t *out_n)
{
    DIR *d = opendir(folder);
    if (!d)
        return errno == ENOMEM ? no_memory(s)
                               : fail(s, TLB_E_INPUT, folder, "cannot read the folder");
    char **names = NULL;
    size_t n = 0, capacity = 0;
    bool good = true;
    for (struct dirent *e; good && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        good = count_entry(s, folder);
        if (good && n == capacity) {
            capacity = capacity ? capacity * 2 : 64;
            char **more = realloc(names, capacity * sizeof *more);
            good = more ? true : no_memory(s);
            names = more ? more : names;
        }
        if (good && !(names[n] = strdup(e->d_name)))
            good = no_memory(s);
        else if (good)
            ++n;
    }
    closedir(d);
    if (n > 0)
        qsort(names, n, sizeof *names, by_bytes);
    *out = names;
    *out_n = n;
    return good;
}

static void free_names(char **names, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        free(names[i]);
    free(names);
}

static bool walk(scan *s, const char *folder, const struct stat *info, const ancestor *up,
                 int label);

/* One entry below a class: a folder is entered, a picture noted.  A dangling link with a
 * picture's name is noted too, so that reading it gives the error.  Takes `path`. */
static bool visit(scan *s, char *path, const char *name, const ancestor *up, int label)
{
    struct stat info;
    bool folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode), good = true;
    if (!folder && picture_name(name))
        return add_photo(s, path, label);
    if (!folder)
        ++s->out->n_other;
    else if (is_loop(up, &info))
        ++s->out->n_loops;
    else
        good = walk(s, path, &info, up, label);
    free(path);
    return good;
}

static bool walk(scan *s, const char *folder, const struct stat *info, const ancestor *up,
                 int label)
{
    ancestor here = { up, info->st_dev, info->st_ino, up ? up->depth + 1 : 1 };
    char **names = NULL;
    size_t n = 0;
    if (here.depth > s->limits->max[TLB_LIMIT_DEPTH])
        return fail(s, TLB_E_LIMIT, folder, "folders nested deeper than the limit; --limit depth");
    bool good = list(s, folder, &names, &n);
    for (size_t i = 0; good && i < n; ++i) {
        char *path = join(s, folder, names[i]);
        good = path && visit(s, path, names[i], &here, label);
    }
    free_names(names, n);
    return good;
}

/* Names that are folders; the others, pictures or not, belong to no class. */
static bool find_classes(scan *s, const char *root, const ancestor *top)
{
    char **names = NULL;
    size_t n = 0, kept = 0;
    bool good = list(s, root, &names, &n);
    for (size_t i = 0; i < n; ++i) {
        struct stat info;
        char *path = join(s, root, names[i]);
        bool folder = path && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
        bool loop = folder && is_loop(top, &info);
        s->out->n_loops += loop;
        s->out->n_other += path && !folder;
        free(path);
        if (folder && !loop)
            names[kept++] = names[i];
        else
            free(names[i]);
    }
    s->out->classes = names;
    s->out->n_classes = (int)kept;
    return good && s->status == TLB_OK;
}

/* As strcmp, but a folder's name that is no UTF-8 is also equal to its escaped form: run.json, which
 * is ASCII, keeps it so. */
static int compare_class(const char *folder, const char *given)
{
    int order = strcmp(folder, given);
    size_t n = strlen(folder), cap = 4 * n + 1, plain = 0;
    while (plain < n && (unsigned char)folder[plain] < 0x80)
        ++plain;
    if (order == 0 || plain == n)
        return order;
    char *escaped = malloc(cap);
    if (escaped && tlb_escape(escaped, cap, folder, n) == strlen(given) &&
        strcmp(escaped, given) == 0)
        order = 0;
    free(escaped);
    return order;
}

static bool check_classes(scan *s, const char *root, char *const *given, int n_given)
{
    const tlr_folder *f = s->out;
    if (f->n_classes > s->limits->max[TLB_LIMIT_CLASSES])
        return fail(s, TLB_E_LIMIT, root, "more class folders than the limit; --limit classes");
    if (!given && f->n_classes < 2)
        return fail(s, TLB_E_MALFORMED, root,
                    f->n_classes == 1 ? "one class folder, at least 2" : "no class folder");
    for (int i = 0; given && (i < f->n_classes || i < n_given); ++i) {
        int order = i >= f->n_classes ? 1
                    : i >= n_given    ? -1
                                      : compare_class(f->classes[i], given[i]);
        if (order != 0)
            return fail(s, TLB_E_MALFORMED, order < 0 ? f->classes[i] : given[i],
                        order < 0 ? "class is not among those trained on" : "class has no folder");
    }
    return true;
}

static bool walk_class(scan *s, const char *root, int label, const ancestor *top)
{
    size_t before = s->out->n_photos;
    struct stat info;
    char *path = join(s, root, s->out->classes[label]);
    bool good = path != NULL;
    if (good && stat(path, &info) != 0)
        good = fail(s, TLB_E_INPUT, path, "cannot read the folder");
    good = good && walk(s, path, &info, top, label);
    if (good && s->out->n_photos == before)
        good = fail(s, TLB_E_MALFORMED, path, "class folder holds no picture");
    free(path);
    return good;
}

/* What the root of a scan is. */
static bool enter_root(scan *s, const char *root, struct stat *info)
{
    if (stat(root, info) != 0)
        return fail(s, TLB_E_INPUT, root, "cannot read the folder");
    return S_ISDIR(info->st_mode) ? true : fail(s, TLB_E_INPUT, root, "not a folder");
}

static bool scan_root(scan *s, const char *root, char *const *given, int n_given)
{
    struct stat info;
    if (!enter_root(s, root, &info))
        return false;
    ancestor top = { NULL, info.st_dev, info.st_ino, 1 };
    bool good = find_classes(s, root, &top) && check_classes(s, root, given, n_given);
    for (int i = 0; good && i < s->out->n_classes; ++i)
        good = walk_class(s, root, i, &top);
    return good;
}

/* Sorted, to the caller; or what was wrong. */
static tlb_status hand_out(scan *s, bool good, tlr_folder *out, char **where, const char **what)
{
    *where = NULL;
    *what = NULL;
    if (good) {
        if (s->out->n_photos > 0)
            qsort(s->out->photos, s->out->n_photos, sizeof(tlr_photo), by_path);
        *out = *s->out;
        return TLB_OK;
    }
    tlr_folder_free(s->out);
    *where = s->where;
    *what = s->what;
    return s->status;
}

tlb_status tlr_folder_scan(const char *path, char *const *classes_given, int n_given,
                           const tlb_limits *limits, tlr_folder *out, char **where,
                           const char **what)
{
    tlr_folder f = { 0 };
    scan s = { .limits = limits, .out = &f };
    return hand_out(&s, scan_root(&s, path, classes_given, n_given), out, where, what);
}

tlb_status tlr_folder_list(const char *path, const tlb_limits *limits, tlr_folder *out,
                           char **where, const char **what)
{
    tlr_folder f = { 0 };
    scan s = { .limits = limits, .out = &f };
    struct stat info;
    bool good = enter_root(&s, path, &info) && walk(&s, path, &info, NULL, -1);
    return hand_out(&s, good, out, where, what);
}

void tlr_folder_free(tlr_folder *f)
{
    for (size_t i = 0; i < f->n_photos; ++i)
        free(f->photos[i].path);
    for (int i = 0; i < f->n_classes; ++i)
        free(f->classes[i]);
    free(f->photos);
    free(f->classes);
    *f = (tlr_folder){ 0 };
}
