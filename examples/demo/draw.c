/* draw.c: draws pictures of simple shapes, one folder a class, for the demo.
 *
 *     draw DIR COUNT SEED CLASS...      DIR/CLASS/000.png ...
 *
 * A shape is a signed distance in a unit frame (negative inside); each picture turns, scales and
 * moves it, takes two colours that differ, and adds noise.  The same seed draws the same pictures.
 */
#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SIDE = 64, SAMPLES = 3 };

/* --- random numbers: splitmix64 (Steele, Lea and Flood 2014) ------------------------ */

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static double uniform(uint64_t *state, double lo, double hi)
{
    return lo + (hi - lo) * (double)(next_random(state) >> 11) * 0x1p-53;
}

/* --- shapes --------------------------------------------------------------------------- */

static double disc(double x, double y) { return hypot(x, y) - 0.9; }
static double ring(double x, double y) { return fabs(hypot(x, y) - 0.7) - 0.2; }
static double square(double x, double y) { return fmax(fabs(x), fabs(y)) - 0.75; }
static double triangle(double x, double y) { return fmax(fabs(x) * 0.866 + y * 0.5, -y) - 0.45; }

static double cross(double x, double y)
{
    double a = fabs(x), b = fabs(y);
    return fmin(fmax(a - 0.9, b - 0.28), fmax(a - 0.28, b - 0.9));
}

static double moon(double x, double y)
{
    return fmax(hypot(x, y) - 0.9, 0.78 - hypot(x - 0.45, y));
}

/* Five points: the radius goes back and forth between the tips and the notches. */
static double star(double x, double y)
{
    double turn = atan2(y, x) / (2 * M_PI / 5);
    double along = fabs(turn - floor(turn) - 0.5) * 2; /* 1 at a tip, 0 at a notch */
    return hypot(x, y) - (0.38 + 0.62 * along * along);
}

static double bars(double x, double y)
{
    return fmax(fmax(fabs(x), fabs(y)) - 0.85, fabs(fmod(x + 4.0, 0.57) - 0.285) - 0.13);
}

static double dots(double x, double y)
{
    double gx = fmod(x + 4.0, 0.6) - 0.3, gy = fmod(y + 4.0, 0.6) - 0.3;
    return fmax(fmax(fabs(x), fabs(y)) - 0.9, hypot(gx, gy) - 0.19);
}

static double zigzag(double x, double y)
{
    return fmax(fabs(x) - 0.9, fabs(y - 0.5 * (4 * fabs(fmod(x + 4.0, 0.8) / 0.8 - 0.5) - 1)) - 0.22);
}

static const struct {
    const char *name;
    double (*distance)(double x, double y);
} shapes[] = {
    { "disc", disc },   { "ring", ring }, { "square", square }, { "triangle", triangle },
    { "cross", cross }, { "moon", moon }, { "star", star },     { "bars", bars },
    { "dots", dots },   { "zigzag", zigzag },
};

/* --- a picture ------------------------------------------------------------------------- */

/* Two colours whose lightness differs by at least a quarter. */
static void pick_colours(uint64_t *state, double ground[3], double ink[3])
{
    double difference;
    do {
        difference = 0;
        for (int c = 0; c < 3; ++c) {
            ground[c] = uniform(state, 0, 1);
            ink[c] = uniform(state, 0, 1);
            difference += (ink[c] - ground[c]) / 3;
        }
    } while (fabs(difference) < 0.25);
}

static void draw(double (*distance)(double, double), uint64_t *state, uint8_t *rgb)
{
    double ground[3], ink[3];
    pick_colours(state, ground, ink);
    double angle = uniform(state, 0, 2 * M_PI), size = uniform(state, 0.35, 0.75);
    double cx = uniform(state, -0.25, 0.25), cy = uniform(state, -0.25, 0.25);
    double noise = uniform(state, 0.02, 0.12), s = sin(angle), c = cos(angle);
    for (int py = 0; py < SIDE; ++py)
        for (int px = 0; px < SIDE; ++px) {
            int inside = 0;
            for (int i = 0; i < SAMPLES * SAMPLES; ++i) {
                double x = (px + (i % SAMPLES + 0.5) / SAMPLES) * 2 / SIDE - 1 - cx;
                double y = (py + (i / SAMPLES + 0.5) / SAMPLES) * 2 / SIDE - 1 - cy;
                inside += distance((c * x - s * y) / size, (s * x + c * y) / size) < 0;
            }
            double share = (double)inside / (SAMPLES * SAMPLES);
            for (int k = 0; k < 3; ++k) {
                double v = ground[k] + share * (ink[k] - ground[k]) + uniform(state, -noise, noise);
                *rgb++ = (uint8_t)(255 * fmin(fmax(v, 0), 1) + 0.5);
            }
        }
}

static int write_png(const char *path, const uint8_t *rgb)
{
    png_image image = { .version = PNG_IMAGE_VERSION, .width = SIDE, .height = SIDE,
                        .format = PNG_FORMAT_RGB };
    if (png_image_write_to_file(&image, path, 0, rgb, 0, NULL))
        return 0;
    fprintf(stderr, "draw: error: %s: %s\n", path, image.message);
    return 7;
}

static int draw_class(const char *dir, int which, long count, uint64_t seed)
{
    static uint8_t rgb[SIDE * SIDE * 3];
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, shapes[which].name);
    if (mkdir(path, 0777) && errno != EEXIST) {
        fprintf(stderr, "draw: error: %s: %s\n", path, strerror(errno));
        return 7;
    }
    uint64_t state = seed * 1000003u + (uint64_t)which;
    for (long i = 0; i < count; ++i) {
        draw(shapes[which].distance, &state, rgb);
        snprintf(path, sizeof path, "%s/%s/%03ld.png", dir, shapes[which].name, i);
        int failed = write_png(path, rgb);
        if (failed)
            return failed;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const int n_shapes = sizeof shapes / sizeof *shapes;
    if (argc < 5) {
        fprintf(stderr, "usage: draw DIR COUNT SEED CLASS...\nclasses:");
        for (int i = 0; i < n_shapes; ++i)
            fprintf(stderr, " %s", shapes[i].name);
        fputc('\n', stderr);
        return 2;
    }
    if (mkdir(argv[1], 0777) && errno != EEXIST) {
        fprintf(stderr, "draw: error: %s: %s\n", argv[1], strerror(errno));
        return 7;
    }
    for (int a = 4; a < argc; ++a) {
        int which = 0;
        while (which < n_shapes && strcmp(shapes[which].name, argv[a]) != 0)
            ++which;
        if (which == n_shapes) {
            fprintf(stderr, "draw: error: no shape %s\n", argv[a]);
            return 2;
        }
        int failed = draw_class(argv[1], which, atol(argv[2]), strtoull(argv[3], NULL, 10));
        if (failed)
            return failed;
    }
    return 0;
}
