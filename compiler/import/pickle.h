/* pickle.h: Python's pickle, as far as a state_dict goes.
 *
 * A list of names that are refused would always lack one, so there is a list of the opcodes and
 * of the names that are served, and everything else ends with E_UNSUPPORTED.  Nothing is ever
 * called: a name stands for a row of a table.  Values are never walked here, so that lists in
 * themselves and tuples of tuples cost what their opcodes cost.
 */
#ifndef TLC_PICKLE_H
#define TLC_PICKLE_H

#include "weights.h"

typedef enum tlc_pickle_kind {
    TLC_PICKLE_NONE,
    TLC_PICKLE_BOOL,
    TLC_PICKLE_INT,
    TLC_PICKLE_FLOAT,
    TLC_PICKLE_TEXT,
    TLC_PICKLE_TUPLE,
    TLC_PICKLE_LIST,
    TLC_PICKLE_DICT,
    TLC_PICKLE_GLOBAL,
    TLC_PICKLE_STORAGE,
    TLC_PICKLE_TENSOR,
    TLC_PICKLE_MARK /* on the stack alone */
} tlc_pickle_kind;

/* Small, as a megabyte can make a million of them. */
typedef struct tlc_pickle_value {
    tlc_pickle_kind kind;
    union {
        int64_t integer;  /* BOOL, INT */
        const char *text; /* TEXT: UTF-8 without NUL, ended by one */
        struct {          /* TUPLE, LIST; DICT: key, value, key, value */
            struct tlc_pickle_value **items;
            size_t n, cap;
        };
        struct { /* STORAGE: these elements of it */
            tlc_storage *storage;
            int64_t from, view_elems;
        };
        const struct tlc_pickle_global *global;
        tlc_weight *tensor; /* without a name */
    };
} tlc_pickle_value;

typedef struct tlc_pickle {
    tlc_ctx *ctx;
    const char *entry; /* for messages: "data.pkl" */
    const unsigned char *bytes;
    size_t n, at;
    int64_t ops;       /* counted over all pickles of a file */
    /* Find the bytes of a storage, or take note of it. */
    tlc_status (*on_storage)(void *self, tlc_storage *s);
    void *self;
    /* of the pickle that is being read */
    size_t op_at;
    tlc_pickle_value **stack, **memo;
    size_t depth, stack_cap, memo_cap;
} tlc_pickle;

/**
 * Read one pickle from p->at; p->at is then behind its STOP.
 * fails   E_MALFORMED, E_UNSUPPORTED, E_LIMIT pickle-ops and pickle-stack (hostile-inputs 4.3)
 */
TLC_MUST_USE tlc_status tlc_pickle_read(tlc_pickle *p, tlc_pickle_value **out);

/* The value of the key in a DICT, the last if it is given twice; NULL: none. */
tlc_pickle_value *tlc_pickle_get(const tlc_pickle_value *dict, const char *key);

#endif
