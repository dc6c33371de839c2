/* liveness.c: how long each value of a function is needed, and which values share a buffer.
 *
 * One sweep forwards, after one that notes the last reader of every value.
 *
 * Invariant: buffer[b].to is the last reader of all values that share b so far, so a buffer whose
 * `to` is the current node holds nothing that anyone reads later.  A view cannot escape it: the
 * view's node reads its operand, and from there on the view's readers count for the buffer.
 */
#include "plan_parts.h"

typedef struct sweep {
    const tlc_func *f;
    tlc_lives *lives;
    tlc_arena *arena;
    int *last;  /* by value id: last node that reads it, views among them; -1: none */
    int opening;
    bool in_place, keep;
} sweep;

static void collect_last(sweep *s)
{
    int at = 0;
    for (const tlc_node *n = s->f->first; n; n = n->next, ++at)
        for (int i = 0; i < n->n_in; ++i)
            if (n->in[i])
                s->last[n->in[i]->id] = at;
    for (size_t i = 0; i < s->f->n_out; ++i)
        s->last[s->f->out[i]->id] = at;
    for (const tlc_node *n = s->f->last; n; n = n->prev)
        if (tlc_kernel_is_alias(n) && s->last[n->in[0]->id] < s->last[n->out[0]->id])
            s->last[n->in[0]->id] = s->last[n->out[0]->id];
}

/* Does what is alive from node `from` to node `to` live in the opening alone? */
static bool is_within(const sweep *s, int from, int to)
{
    return from >= 0 && to < s->opening;
}

static void new_buffer(sweep *s, const tlc_value *v, int from)
{
    tlc_lives *l = s->lives;
    int to = s->keep ? s->f->n_nodes : s->last[v->id] > from ? s->last[v->id] : from;
    size_t n = l->n;
    const bool within = is_within(s, from, to);
    tlc_buffer b = { .bytes = tlc_value_bytes(v) * (within ? TLC_FEW : 1), .from = from, .to = to };
    if (!within && to < s->opening)
        b.to = s->opening - 1; /* every round of the opening reads its part */
    TLC_PUSH(s->arena, l->grows, n, l->cap_grows, tlc_shape_has_n(&v->shape) && !within);
    TLC_PUSH(s->arena, l->buffer, l->n, l->cap, b);
    l->of_value[v->id] = (int)l->n - 1;
}

static bool lie_alike(const tlc_value *a, const tlc_value *b)
{
    return tlc_shape_equal(&a->shape, &b->shape) && tlc_layout_equal(&a->layout, &b->layout) &&
           tlc_type_bytes(a->type) == tlc_type_bytes(b->type);
}

/* Does an operand of another form than `y` lie in `buffer` too?  Then writing y would spoil it
 * before it is read. */
static bool read_otherwise(const sweep *s, const tlc_node *n, int buffer)
{
    for (int i = 0; i < n->n_in; ++i) {
        const tlc_value *x = n->in[i];
        if (x && s->lives->of_value[x->id] == buffer && !lie_alike(x, n->out[0]))
            return true;
    }
    return false;
}

/* Is the result of node `at` wanted in the opening alone, if `buffer` is? */
static bool of_one_size(const sweep *s, const tlc_node *n, int at, int buffer)
{
    return at >= s->opening || (is_within(s, s->lives->buffer[buffer].from, at) &&
                                is_within(s, at, s->last[n->out[0]->id]));
}

/* The buffer of an operand that the result of node `at` may take over; -1: none. */
static int in_place_buffer(const sweep *s, const tlc_node *n, int at)
{
    if (!s->in_place || !tlc_op_has(n->op, TLC_T_INPLACE))
        return -1;
    for (int i = 0; i < n->n_in; ++i) {
        const tlc_value *x = n->in[i];
        if (!x || !tlc_shape_equal(&x->shape, &n->out[0]->shape))
            continue;
        int b = s->lives->of_value[x->id]; /* the first of its shape alone is promised */
        bool dies = b >= 0 && s->lives->buffer[b].to == at && of_one_size(s, n, at, b);
        return dies && lie_alike(x, n->out[0]) && !read_otherwise(s, n, b) ? b : -1;
    }
    return -1;
}

static void share(sweep *s, const tlc_value *v, int buffer)
{
    tlc_buffer *b = &s->lives->buffer[buffer];
    s->lives->of_value[v->id] = buffer;
    if (b->to < s->last[v->id])
        b->to = s->last[v->id];
}

static void place_results(sweep *s, const tlc_node *n, int at)
{
    if (tlc_kernel_is_alias(n)) {
        int b = s->lives->of_value[n->in[0]->id];
        if (b >= 0)
            share(s, n->out[0], b);
        return;
    }
    int reuse = n->n_out == 1 ? in_place_buffer(s, n, at) : -1;
    if (reuse >= 0) {
        share(s, n->out[0], reuse);
        return;
    }
    for (int i = 0; i < n->n_out; ++i)
        new_buffer(s, n->out[i], at);
}

void tlc_plan_lives(tlc_arena *arena, const tlc_func *f, int opening, bool in_place, bool keep,
                    tlc_lives *out)
{
    int n_values = f->module->n_values;
    sweep s = { .f = f, .lives = out, .arena = arena, .opening = opening, .in_place = in_place,
                .keep = keep };
    *out = (tlc_lives){ .of_value = TLC_NEW_ARRAY(arena, int, n_values) };
    s.last = TLC_NEW_ARRAY(arena, int, n_values);
    for (int i = 0; i < n_values; ++i)
        out->of_value[i] = s.last[i] = -1;
    collect_last(&s);
    for (size_t i = 0; i < f->n_in; ++i)
        new_buffer(&s, f->in[i], -1);
    int at = 0;
    for (const tlc_node *n = f->first; n; n = n->next)
        place_results(&s, n, at++);
}
