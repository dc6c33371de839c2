/* draw_pictures.h: the pictures of a run folder.  Each returns a canvas that the caller destroys;
 * NULL: no memory, or nothing can be drawn (tlr_canvas_lacks). */
#ifndef TLR_DRAW_PICTURES_H
#define TLR_DRAW_PICTURES_H

#include "draw_canvas.h"

typedef struct tlr_epoch_row { /* a line "epoch" of metrics.jsonl; NaN: null */
    int64_t epoch;
    double train_loss, train_accuracy, valid_loss, valid_accuracy;
    double time_s;            /* since the first step, resumed parts added up */
    bool best;
} tlr_epoch_row;

/* Loss and accuracy by epoch, 1600x800.  best_epoch 0: none. */
tlr_canvas *tlr_draw_curves(const tlr_epoch_row *rows, size_t n, int64_t best_epoch,
                            const tlr_theme *theme);

enum { TLR_MOST_CELLS = 30, TLR_MOST_PAIRS = 20 };

/* counts[true][predicted]; a matrix, over TLR_MOST_CELLS classes the commonest confusions. */
tlr_canvas *tlr_draw_confusion(const int64_t *counts, const char *const *names, size_t n_classes,
                               const tlr_theme *theme);

typedef struct tlr_confused { size_t label, predicted; int64_t count; } tlr_confused;
/* The commonest confusions, at most TLR_MOST_PAIRS, none of count 0; returns how many. */
size_t tlr_find_confused(const int64_t *counts, size_t n_classes,
                         tlr_confused top[TLR_MOST_PAIRS]);
int64_t tlr_row_sum(const int64_t *counts, size_t n_classes, size_t row);

enum { TLR_TILE_LINES = 3 };

typedef struct tlr_tile {     /* a photograph as the network sees it */
    uint8_t *rgb;
    int width, height;
    char *line[TLR_TILE_LINES]; /* below it; NULL: no more */
} tlr_tile;

enum { TLR_WORST_COLUMNS = 5, TLR_MOST_WORST = 20, TLR_PREVIEW_COLUMNS = 4, TLR_MOST_PREVIEW = 16 };

tlr_canvas *tlr_draw_tiles(const char *title, const tlr_tile *tiles, size_t n, int columns,
                           const tlr_theme *theme);

#endif
