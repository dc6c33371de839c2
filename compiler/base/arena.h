/* arena.h: memory of one compilation.
 *
 * Everything the compiler allocates lives in an arena and dies with it; nothing
 * is freed piecemeal.  A pass that needs scratch takes a mark and rewinds.
 *
 * Exhaustion never returns NULL: it jumps to the `jmp_buf` that the entry point
 * of the API call installed (tlc_ctx_enter), so code between never tests for it.
 * Under AddressSanitizer each allocation is its own malloc block, so that
 * overruns are seen.
 */
#ifndef TLC_ARENA_H
#define TLC_ARENA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

typedef struct tlc_arena_block tlc_arena_block;

typedef struct tlc_arena {
    tlc_arena_block *top;    /* newest block; blocks form a list towards the oldest */
    size_t used;             /* bytes used in `top` */
    size_t total_bytes;      /* bytes held in all blocks */
    jmp_buf *on_exhausted;   /* where exhaustion goes; NULL aborts */
} tlc_arena;

/* A point to rewind to: everything allocated after it is dropped. */
typedef struct tlc_arena_mark {
    tlc_arena_block *top;
    size_t used;
} tlc_arena_mark;

void tlc_arena_init(tlc_arena *a, jmp_buf *on_exhausted);
void tlc_arena_fini(tlc_arena *a);

/* `bytes` zeroed bytes aligned to 16.  `bytes` 0 gives a valid pointer. */
void *tlc_arena_alloc(tlc_arena *a, size_t bytes);

/* The same, but NULL without memory: for who holds something outside of the arena meanwhile. */
void *tlc_arena_try_alloc(tlc_arena *a, size_t bytes);

/* `count` elements of `size` bytes, zeroed; an overflowing product is exhaustion. */
void *tlc_arena_array(tlc_arena *a, size_t count, size_t size);

/* A copy of `len` bytes with a NUL after them. */
char *tlc_arena_strndup(tlc_arena *a, const char *s, size_t len);
char *tlc_arena_strdup(tlc_arena *a, const char *s);
char *tlc_arena_printf(tlc_arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *tlc_arena_vprintf(tlc_arena *a, const char *fmt, va_list ap);

tlc_arena_mark tlc_arena_save(const tlc_arena *a);
void tlc_arena_rewind(tlc_arena *a, tlc_arena_mark mark);

#define TLC_NEW(arena, type) ((type *)tlc_arena_alloc((arena), sizeof(type)))
#define TLC_NEW_ARRAY(arena, type, count) \
    ((type *)tlc_arena_array((arena), (size_t)(count), sizeof(type)))

/* Growable array in an arena: `T *v; size_t n, cap;` held by the caller. */
#define TLC_PUSH(arena, v, n, cap, item)                                              \
    do {                                                                              \
        if ((n) == (cap)) {                                                           \
            (v) = tlc_arena_grow((arena), (v), (n), &(cap), sizeof *(v));             \
        }                                                                             \
        (v)[(n)++] = (item);                                                          \
    } while (0)
void *tlc_arena_grow(tlc_arena *a, void *old, size_t n, size_t *cap, size_t size);

#endif
