/* hash_output.c: runs the compiled network on made-up input and prints a hash of the output's bits. */
#include "bits.h"
#include "tlr.h"

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    tlr_session *s;
    tlr_info info;
    tlr_model_info(&bits_model, &info);
    float *x = malloc(sizeof *x * (size_t)info.input_elems);
    float *y = malloc(sizeof *y * (size_t)info.output_elems);
    uint32_t random = 1, hash = 2166136261u; /* Knuth's generator; FNV-1a */
    if (!x || !y || tlr_open_file(&bits_model, "weights.bin", NULL, &s) != TLR_OK)
        return 1;
    for (int64_t i = 0; i < info.input_elems; ++i) {
        random = random * 1664525u + 1013904223u;
        x[i] = (float)(random >> 8) / (1 << 23) - 1.0f;
    }
    if (tlr_run(s, 1, x, y) != TLR_OK)
        return 1;
    const unsigned char *bytes = (const unsigned char *)y;
    for (size_t i = 0; i < sizeof *y * (size_t)info.output_elems; ++i)
        hash = (hash ^ bytes[i]) * 16777619u;
    printf("%08x\n", (unsigned)hash);
    tlr_close(s);
    free(x);
    free(y);
    return 0;
}
