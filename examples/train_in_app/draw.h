/* draw.h: what stands for the application's camera: moons and stars, turned, moved, of some size and
 * two colours. */
#include "tlr.h"

#include <math.h>
#include <stdlib.h>

/* Negative inside the shape, which fills a circle of radius 1. */
static double moon(double x, double y)
{
    return fmax(hypot(x, y) - 0.9, 0.78 - hypot(x - 0.45, y));
}

static double star(double x, double y)
{
    double turn = atan2(y, x) / 1.2566370614359172; /* five points */
    double along = fabs(turn - floor(turn) - 0.5) * 2;
    return hypot(x, y) - 0.38 - 0.62 * along * along;
}

/* A picture that stays until the program ends. */
static tlr_picture draw(int is_star)
{
    enum { SIDE = 64 };
    unsigned char *rgb = malloc(SIDE * SIDE * 3), *at = rgb;
    double u[10], size, s, c;
    for (int k = 0; k < 10; ++k)
        u[k] = (rand() & 0x7fff) / 32768.0;
    size = 0.4 + 0.35 * u[0], s = sin(6.3 * u[1]), c = cos(6.3 * u[1]);
    for (int py = 0; rgb && py < SIDE; ++py)
        for (int px = 0; px < SIDE; ++px) {
            double x = (px * 2.0 / SIDE - 1 - 0.4 * (u[2] - 0.5)) / size;
            double y = (py * 2.0 / SIDE - 1 - 0.4 * (u[3] - 0.5)) / size;
            int in = (is_star ? star : moon)(c * x - s * y, s * x + c * y) < 0;
            for (int k = 0; k < 3; ++k)
                *at++ = (unsigned char)(in ? 160 + 95 * u[4 + k] : 90 * u[7 + k]);
        }
    return (tlr_picture){ rgb, SIDE, SIDE, SIDE * 3, TLR_RGB }; /* NULL is refused */
}
