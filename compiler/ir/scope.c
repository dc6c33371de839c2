/* scope.c: a treap (Seidel and Aragon 1996).
 *
 * Names come from hostile files, so a hash table with a known function could be flooded.  A
 * search tree whose shape follows from random priorities alone cannot: every operation takes
 * O(log n) expected, whatever the names.  Insertion splits top-down, so nothing recurses.
 */
#include "scope.h"

#include <string.h>

struct tlc_scope_entry {
    tlc_name name;
    void *meaning;
    uint64_t priority;
    tlc_scope_entry *left, *right;
};

static int compare(tlc_name a, tlc_name b)
{
    if (a.is_number != b.is_number)
        return a.is_number ? -1 : 1;
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len ? memcmp(a.bytes, b.bytes, a.len) : 0;
}

void *tlc_scope_find(const tlc_scope *s, tlc_name name)
{
    const tlc_scope_entry *at = s->root;
    while (at) {
        int order = compare(name, at->name);
        if (order == 0)
            return at->meaning;
        at = order < 0 ? at->left : at->right;
    }
    return NULL;
}

/* splitmix64: priorities need to be unrelated to the names, not secret. */
static uint64_t next_priority(tlc_scope *s)
{
    uint64_t x = s->random += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

/* Part the tree at `at` into names before and after `name`. */
static void split(tlc_scope_entry *at, tlc_name name, tlc_scope_entry **before,
                  tlc_scope_entry **after)
{
    while (at) {
        if (compare(at->name, name) < 0) {
            *before = at;
            before = &at->right;
            at = at->right;
        } else {
            *after = at;
            after = &at->left;
            at = at->left;
        }
    }
    *before = *after = NULL;
}

bool tlc_scope_add(tlc_scope *s, tlc_name name, void *meaning)
{
    if (tlc_scope_find(s, name))
        return false;
    tlc_scope_entry *e = TLC_NEW(s->arena, tlc_scope_entry);
    e->name = name;
    e->meaning = meaning;
    e->priority = next_priority(s);
    tlc_scope_entry **at = &s->root;
    while (*at && (*at)->priority >= e->priority)
        at = compare(name, (*at)->name) < 0 ? &(*at)->left : &(*at)->right;
    split(*at, name, &e->left, &e->right);
    *at = e;
    return true;
}
