/* embedded.h: a file that the build put into the program (cmake/embed.cmake). */
#ifndef TLC_EMBEDDED_H
#define TLC_EMBEDDED_H

#include <stddef.h>

typedef struct tlc_embedded {
    const char *path; /* below the source's root */
    const unsigned char *bytes;
    size_t n_bytes;
} tlc_embedded;

#endif
