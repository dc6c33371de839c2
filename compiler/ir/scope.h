/* scope.h: names and what they stand for, as the text form's printer and parser need them. */
#ifndef TLC_SCOPE_H
#define TLC_SCOPE_H

#include "arena.h"

#include <stdbool.h>

typedef struct tlc_scope_entry tlc_scope_entry;

/* Empty when zeroed but for the arena. */
typedef struct tlc_scope {
    tlc_arena *arena;
    tlc_scope_entry *root;
    uint64_t random;
} tlc_scope;

/* A name and a number differ even where their bytes are equal: %"5" is not %5. */
typedef struct tlc_name {
    const char *bytes;
    size_t len;
    bool is_number;
} tlc_name;

/* What `name` stands for, or NULL. */
void *tlc_scope_find(const tlc_scope *s, tlc_name name);
/* Give `name` (its bytes are kept, not copied) a meaning; false if it has one. */
bool tlc_scope_add(tlc_scope *s, tlc_name name, void *meaning);

#endif
