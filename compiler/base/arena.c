/* arena.c: bump allocation from a list of blocks that double in size. */
#include "arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Given by a test that wants each allocation to be able to fail alone. */
#ifdef TLC_ARENA_ONE_BLOCK_EACH
#elif defined(__SANITIZE_ADDRESS__)
#define TLC_ARENA_ONE_BLOCK_EACH 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TLC_ARENA_ONE_BLOCK_EACH 1
#endif
#endif
#ifndef TLC_ARENA_ONE_BLOCK_EACH
#define TLC_ARENA_ONE_BLOCK_EACH 0
#endif

enum { FIRST_BLOCK = 64 * 1024, LARGEST_BLOCK = 4 * 1024 * 1024, ALIGN = 16 };

struct tlc_arena_block {
    tlc_arena_block *below;
    size_t capacity;
    _Alignas(16) unsigned char data[];
};

void tlc_arena_init(tlc_arena *a, jmp_buf *on_exhausted)
{
    *a = (tlc_arena){ .on_exhausted = on_exhausted };
}

static void drop_top(tlc_arena *a)
{
    tlc_arena_block *b = a->top;
    a->total_bytes -= b->capacity;
    a->top = b->below;
    free(b);
}

void tlc_arena_fini(tlc_arena *a)
{
    while (a->top)
        drop_top(a);
    a->used = 0;
}

static _Noreturn void exhausted(tlc_arena *a)
{
    if (!a->on_exhausted)
        abort();
    longjmp(*a->on_exhausted, 1);
}

static void push_block(tlc_arena *a, size_t need)
{
    size_t capacity = need;
    if (!TLC_ARENA_ONE_BLOCK_EACH) {
        capacity = a->top ? a->top->capacity * 2 : FIRST_BLOCK;
        if (capacity > LARGEST_BLOCK)
            capacity = LARGEST_BLOCK;
        if (capacity < need)
            capacity = need;
    }
    if (capacity > SIZE_MAX - sizeof(tlc_arena_block))
        exhausted(a);
    tlc_arena_block *b = malloc(sizeof *b + capacity);
    if (!b)
        exhausted(a);
    b->below = a->top;
    b->capacity = capacity;
    a->top = b;
    a->used = 0;
    a->total_bytes += capacity;
}

void *tlc_arena_alloc(tlc_arena *a, size_t bytes)
{
    if (bytes > SIZE_MAX - ALIGN)
        exhausted(a);
    /* ASan must see the exact end, so only there the size is not rounded up. */
    size_t need = TLC_ARENA_ONE_BLOCK_EACH ? bytes : (bytes + ALIGN - 1) / ALIGN * ALIGN;
    if (!a->top || TLC_ARENA_ONE_BLOCK_EACH || a->top->capacity - a->used < need)
        push_block(a, need);
    void *p = a->top->data + a->used;
    a->used += need;
    return memset(p, 0, bytes);
}

void *tlc_arena_try_alloc(tlc_arena *a, size_t bytes)
{
    jmp_buf here, *outer = a->on_exhausted;
    if (setjmp(here) != 0) {
        a->on_exhausted = outer;
        return NULL;
    }
    a->on_exhausted = &here;
    void *p = tlc_arena_alloc(a, bytes);
    a->on_exhausted = outer;
    return p;
}

void *tlc_arena_array(tlc_arena *a, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        exhausted(a);
    return tlc_arena_alloc(a, count * size);
}

char *tlc_arena_strndup(tlc_arena *a, const char *s, size_t len)
{
    char *p = tlc_arena_alloc(a, len + 1);
    if (len)
        memcpy(p, s, len);
    return p;
}

char *tlc_arena_strdup(tlc_arena *a, const char *s)
{
    return tlc_arena_strndup(a, s, strlen(s));
}

char *tlc_arena_vprintf(tlc_arena *a, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int len = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (len < 0)
        exhausted(a);
    char *p = tlc_arena_alloc(a, (size_t)len + 1);
    vsnprintf(p, (size_t)len + 1, fmt, ap);
    return p;
}

char *tlc_arena_printf(tlc_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *p = tlc_arena_vprintf(a, fmt, ap);
    va_end(ap);
    return p;
}

tlc_arena_mark tlc_arena_save(const tlc_arena *a)
{
    return (tlc_arena_mark){ a->top, a->used };
}

void tlc_arena_rewind(tlc_arena *a, tlc_arena_mark mark)
{
    while (a->top != mark.top)
        drop_top(a);
    a->used = mark.used;
}

void *tlc_arena_grow(tlc_arena *a, void *old, size_t n, size_t *cap, size_t size)
{
    size_t larger = *cap ? *cap * 2 : 8;
    void *p = tlc_arena_array(a, larger, size);
    if (n)
        memcpy(p, old, n * size);
    *cap = larger;
    return p;
}
