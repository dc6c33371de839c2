/* app.c: a network inside an application.  Draws a picture in memory and asks what it is.
 *
 * Needs libcatdog.a and catdog.h of a compiled folder, and weights.bin as `trainer export` wrote
 * it.  No files of pictures, no image library: an application has its pixels already.
 */
#include "catdog.h"
#include "tlr.h"

#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 320, HEIGHT = 240 };

/* A disc on a gradient: your camera frame. */
static void draw(unsigned char rgb[HEIGHT][WIDTH][3])
{
    for (int y = 0; y < HEIGHT; ++y)
        for (int x = 0; x < WIDTH; ++x) {
            int dx = x - WIDTH / 2, dy = y - HEIGHT / 2, inside = dx * dx + dy * dy < 80 * 80;
            rgb[y][x][0] = (unsigned char)(inside ? 230 : x * 255 / WIDTH);
            rgb[y][x][1] = (unsigned char)(inside ? 160 : y * 255 / HEIGHT);
            rgb[y][x][2] = inside ? 90 : 128;
        }
}

int main(int argc, char **argv)
{
    static unsigned char rgb[HEIGHT][WIDTH][3];
    tlr_picture picture = { &rgb[0][0][0], WIDTH, HEIGHT, WIDTH * 3, TLR_RGB };
    tlr_session *session = NULL;
    tlr_info info;
    tlr_model_info(&catdog_model, &info);
    float *p = malloc(sizeof *p * (size_t)info.n_classes);
    tlr_status st =
        tlr_open_file(&catdog_model, argc > 1 ? argv[1] : "weights.bin", NULL, &session);

    draw(rgb);
    if (st == TLR_OK)
        st = tlr_classify(session, &picture, 1, p); /* p NULL: a status, not a crash */
    for (int i = 0; st == TLR_OK && i < info.n_classes; ++i)
        printf("%.4f  %s\n", p[i], tlr_label(session, i) ? tlr_label(session, i) : "");
    if (st != TLR_OK)
        fprintf(stderr, "app: %s\n", tlr_status_text(st));
    tlr_close(session);
    free(p);
    return st;
}
