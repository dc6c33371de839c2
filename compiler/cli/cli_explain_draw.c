/* cli_explain_draw.c: the plan as a picture: what lies where in memory (up) while nodes run
 * (right), each buffer a rectangle of its kind's colour.
 *
 * Moments stand side by side, as they follow each other in time: features, then the step.  The
 * memory that a moment always holds (weights; trained parameters and optimizer) lies at the
 * bottom, fixed buffers above it, what grows with the batch on top, one worker's scratch last.
 */
#include "cli_explain.h"

#include "draw_scale.h"
#include "plan_parts.h"

#include <math.h>
#include <string.h>

enum {
    WIDTH = 1600, HEIGHT = 900, LEFT = 150, RIGHT = 420, TOP = 130, BOTTOM = 90, SWATCH = 26,
    TICKS = 8, MOST_MOMENTS = 2
};

typedef enum kind { WEIGHTS, TRAINED, SCRATCH, ACTIVATION, GRADIENT, KINDS } kind;
static const char *const kind_names[KINDS] = { "weights", "trained, optimizer", "scratch",
                                               "activations", "gradients" };
static const int kind_series[KINDS] = { 4, 3, 2, 0, 1 };

typedef struct moment {
    const tlc_func *f;
    const char *name;
    double from;              /* nodes before it on the schedule */
    int loss;                 /* its position; n_nodes: none */
    int64_t vars, fix, act;   /* where each begins; consts begin at 0 */
    int64_t scratch, top;
    tlc_lives lives;
    int64_t *lo;              /* by buffer */
    kind *kinds;
    int worst;                /* node at which most is alive */
    int64_t alive[KINDS];     /* then */
} moment;

typedef struct scene {
    tlc_explained *x;
    tlr_canvas *c;
    moment moments[MOST_MOMENTS];
    int n;
    double nodes;
    int64_t top;
} scene;

/* --- what there is --------------------------------------------------------------------- */

static uint32_t color_of(const scene *s, kind k)
{
    const tlr_theme *t = s->c->theme;
    return k == WEIGHTS ? tlr_mix(t->ground, t->muted, 0.45) : t->series[kind_series[k]];
}

static void place_regions(scene *s, moment *m, bool step)
{
    const tlc_plan *p = &s->x->c.plan;
    int64_t batch = s->x->c.options.batch;
    bool trains = p->trains;
    int64_t grows = !trains ? p->act_infer_bytes : step ? p->act_step_bytes : p->act_features_bytes;
    m->vars = p->consts_bytes + (trains ? 0 : p->params_bytes);
    m->fix = m->vars + (trains && step ? p->vars_bytes : 0);
    m->act = m->fix + (trains && step ? p->fix_step_bytes : p->fix_infer_bytes);
    m->scratch = m->act + grows * batch;
    m->top = m->scratch + p->scratch_bytes;
}

static void place_buffers(scene *s, moment *m)
{
    const tlc_compilation *c = &s->x->c;
    int n_values = c->module->n_values, at = 0;
    for (const tlc_node *n = m->f->first; n; n = n->next, ++at)
        if (n->op == TLC_OP_CROSS_ENTROPY)
            m->loss = at;
    m->lo = TLC_NEW_ARRAY(&s->x->ctx->arena, int64_t, m->lives.n);
    m->kinds = TLC_NEW_ARRAY(&s->x->ctx->arena, kind, m->lives.n);
    for (int id = 0; id < n_values; ++id) {
        int b = m->lives.of_value[id];
        if (b < 0 || c->plan.place[id].region == TLC_REGION_NONE)
            continue;
        bool grows = m->lives.grows[b];
        m->lo[b] = grows ? m->act + c->plan.place[id].offset * c->options.batch
                         : m->fix + c->plan.place[id].offset;
        m->kinds[b] = m->lives.buffer[b].from > m->loss ? GRADIENT : ACTIVATION;
    }
}

static int64_t bytes_of(const scene *s, const moment *m, size_t b)
{
    return m->lives.buffer[b].bytes * (m->lives.grows[b] ? s->x->c.options.batch : 1);
}

/* The node at which most is alive, by sums of what begins and ends there. */
static void find_worst(scene *s, moment *m)
{
    int n = m->f->n_nodes;
    int64_t *change = TLC_NEW_ARRAY(&s->x->ctx->arena, int64_t, n + 2), sum = 0, most = -1;
    for (size_t b = 0; b < m->lives.n; ++b) {
        const tlc_buffer *l = &m->lives.buffer[b];
        change[l->from < 0 ? 0 : l->from] += bytes_of(s, m, b);
        change[l->to > n ? n + 1 : l->to + 1] -= bytes_of(s, m, b);
    }
    for (int i = 0; i < n; ++i) {
        sum += change[i];
        if (sum > most) {
            most = sum;
            m->worst = i;
        }
    }
    for (size_t b = 0; b < m->lives.n; ++b)
        if (m->lives.buffer[b].from <= m->worst && m->lives.buffer[b].to >= m->worst)
            m->alive[m->kinds[b]] += bytes_of(s, m, b);
    m->alive[WEIGHTS] = m->vars;
    m->alive[TRAINED] = m->fix - m->vars;
    m->alive[SCRATCH] = m->top - m->scratch;
}

static void add_moment(scene *s, const char *func, const char *name)
{
    const tlc_compilation *c = &s->x->c;
    const tlc_func *f = tlc_func_find(c->module, func);
    bool step = strcmp(func, "step") == 0;
    if (!f || f->n_nodes == 0)
        return;
    moment *m = &s->moments[s->n++];
    *m = (moment){ .f = f, .name = name, .from = s->nodes, .loss = f->n_nodes };
    tlc_plan_lives(&s->x->ctx->arena, f, tlc_plan_opening(f, &c->options), !c->options.no_reuse,
                   c->options.keep_values && !step, &m->lives);
    place_regions(s, m, step);
    place_buffers(s, m);
    find_worst(s, m);
    s->nodes += f->n_nodes;
    s->top = m->top > s->top ? m->top : s->top;
}

/* --- the drawing ------------------------------------------------------------------------ */

static double x_at(const scene *s, double node)
{
    return LEFT + node / s->nodes * (WIDTH - LEFT - RIGHT);
}

static double y_at(const scene *s, int64_t bytes)
{
    return HEIGHT - BOTTOM - (double)bytes / (double)s->top * (HEIGHT - BOTTOM - TOP);
}

/* A rectangle with an edge of its own, so that neighbours of one kind can be told apart. */
static void draw_block(const scene *s, double from, double to, int64_t lo, int64_t hi, kind k)
{
    double x = x_at(s, from), y = y_at(s, hi), w = x_at(s, to) - x, h = y_at(s, lo) - y;
    uint32_t color = color_of(s, k);
    tlr_canvas_rect(s->c, (tlr_box){ x, y, w, h }, tlr_mix(color, s->c->theme->ground, 0.55));
    if (w > 3 && h > 3)
        tlr_canvas_rect(s->c, (tlr_box){ x + 1, y + 1, w - 2, h - 2 }, color);
}

static void draw_moment(const scene *s, const moment *m)
{
    double from = m->from, to = from + m->f->n_nodes;
    draw_block(s, from, to, 0, m->vars, WEIGHTS);
    if (m->fix > m->vars)
        draw_block(s, from, to, m->vars, m->fix, TRAINED);
    for (size_t b = 0; b < m->lives.n; ++b) {
        const tlc_buffer *l = &m->lives.buffer[b];
        double end = l->to + 1 > m->f->n_nodes ? m->f->n_nodes : l->to + 1;
        draw_block(s, from + (l->from < 0 ? 0 : l->from), from + end, m->lo[b],
                   m->lo[b] + bytes_of(s, m, b), m->kinds[b]);
    }
    if (m->top > m->scratch)
        draw_block(s, from, to, m->scratch, m->top, SCRATCH);
}

static void draw_axis(const scene *s)
{
    double mib = 1024.0 * 1024.0, most = (double)s->top / mib;
    tlr_ticks t = tlr_ticks_make(0, most, TICKS, 1e-6);
    char text[32];
    for (int i = 0; i < t.n; ++i) {
        double y = y_at(s, (int64_t)(t.at[i] * mib));
        tlr_canvas_rect(s->c, (tlr_box){ LEFT, y - 1, WIDTH - LEFT - RIGHT, 2 }, s->c->theme->grid);
        snprintf(text, sizeof text, "%.*f", t.decimals, t.at[i]);
        tlr_label l = { LEFT - 14, y + 9, 1, 0, LEFT - 20, s->c->theme->muted };
        tlr_canvas_text(s->c, &l, text);
    }
    tlr_label unit = { LEFT - 14, TOP - 24, 1, 0, 0, s->c->theme->muted };
    tlr_canvas_text(s->c, &unit, "MiB");
}

static void draw_span(const scene *s, double from, double to, const char *name)
{
    double x = x_at(s, from), end = x_at(s, to);
    tlr_canvas_rect(s->c, (tlr_box){ x + 2, HEIGHT - BOTTOM + 8, end - x - 4, 3 },
                    s->c->theme->muted);
    tlr_label l = { (x + end) / 2, HEIGHT - BOTTOM + 46, 0.5, 0, 0, s->c->theme->text };
    if (tlr_canvas_text_width(s->c, TLR_TEXT_PX, name) < end - x)
        tlr_canvas_text(s->c, &l, name);
}

static void draw_schedule(const scene *s)
{
    for (int i = 0; i < s->n; ++i) {
        const moment *m = &s->moments[i];
        double n = m->f->n_nodes;
        if (m->loss >= n) {
            draw_span(s, m->from, m->from + n, m->name);
            continue;
        }
        draw_span(s, m->from, m->from + m->loss, "forward");
        draw_span(s, m->from + m->loss, m->from + n, "backward");
    }
}

static const moment *worst_moment(const scene *s)
{
    return s->n > 1 && s->moments[1].top > s->moments[0].top ? &s->moments[1] : &s->moments[0];
}

static const tlc_node *node_at(const moment *m, int at)
{
    const tlc_node *n = m->f->first;
    while (n && at-- > 0)
        n = n->next;
    return n;
}

/* At the node where most is alive: a line down, and on its right what lies there. */
static void draw_peak(const scene *s)
{
    const moment *m = worst_moment(s);
    const tlc_node *n = node_at(m, m->worst);
    double x = x_at(s, m->from + m->worst + 0.5);
    const tlr_pen pen = { s->c->theme->text, 3, 1 };
    const double line[] = { x, TOP - 14, x, HEIGHT - BOTTOM };
    char text[320];
    const char *name = n->name ? n->name : n->gradient_of ? n->gradient_of : tlc_ops[n->op].name;
    tlr_canvas_line(s->c, line, 2, &pen);
    snprintf(text, sizeof text, "most alive at %s%.200s", n->gradient_of ? "the gradient of " : "",
             name);
    double half = tlr_canvas_text_width(s->c, TLR_TEXT_PX, text) / 2;
    double centre = fmin(fmax(x, LEFT + half), WIDTH - 20 - half);
    tlr_label l = { centre, TOP - 26, 0.5, 0, WIDTH - LEFT, s->c->theme->text };
    tlr_canvas_text(s->c, &l, text);
}

static void draw_kinds(const scene *s)
{
    const moment *m = worst_moment(s);
    const int64_t at[KINDS] = { m->vars / 2, (m->vars + m->fix) / 2, (m->scratch + m->top) / 2,
                                m->act + (m->scratch - m->act) / 3,
                                m->act + 2 * ((m->scratch - m->act) / 3) };
    static const kind upwards[KINDS] = { SCRATCH, GRADIENT, ACTIVATION, TRAINED, WEIGHTS };
    double centre[KINDS];
    char bytes[32], text[80];
    int n = 0;
    kind shown[KINDS];
    for (int i = 0; i < KINDS; ++i)
        if (m->alive[upwards[i]] > 0) {
            shown[n] = upwards[i];
            centre[n++] = y_at(s, at[upwards[i]]);
        }
    tlr_spread(centre, (size_t)n, 74, TOP + 20, HEIGHT - BOTTOM - 40);
    for (int i = 0; i < n; ++i) {
        double x = WIDTH - RIGHT + 30, y = centre[i];
        tlr_canvas_rect(s->c, (tlr_box){ x, y - 24, SWATCH, SWATCH }, color_of(s, shown[i]));
        tlr_label l = { x + SWATCH + 14, y, 0, 0, RIGHT - 90, s->c->theme->text };
        tlr_canvas_text(s->c, &l, kind_names[shown[i]]);
        snprintf(text, sizeof text, "%s then", tlb_show_bytes(bytes, m->alive[shown[i]]));
        l.y += 32;
        l.color = s->c->theme->muted;
        tlr_canvas_text(s->c, &l, text);
    }
}

static void draw_title(const scene *s)
{
    const tlc_compilation *c = &s->x->c;
    const char *slash = strrchr(c->path, '/');
    char text[400], bytes[32];
    snprintf(text, sizeof text, "%.200s, batch %lld: peak %s%s", slash ? slash + 1 : c->path,
             (long long)c->options.batch, tlb_show_bytes(bytes, s->top),
             !c->plan.trains ? "" : worst_moment(s) == &s->moments[0] && s->n > 1
                                        ? ", while features are computed" : ", in a step");
    tlr_label l = { 40, 28 + TLR_TITLE_PX, 0, TLR_TITLE_PX, WIDTH - 80, s->c->theme->text };
    tlr_canvas_text(s->c, &l, text);
}

tlr_canvas *tlc_explain_draw(tlc_explained *x)
{
    scene s = { .x = x, .c = tlr_canvas_create(WIDTH, HEIGHT, &tlr_theme_light) };
    if (!s.c)
        return NULL;
    add_moment(&s, "features", "features");
    add_moment(&s, x->c.plan.trains ? "step" : "head", "head");
    if (s.n == 0)
        return s.c;
    draw_axis(&s);
    for (int i = 0; i < s.n; ++i)
        draw_moment(&s, &s.moments[i]);
    draw_schedule(&s);
    draw_peak(&s);
    draw_kinds(&s);
    draw_title(&s);
    return s.c;
}
