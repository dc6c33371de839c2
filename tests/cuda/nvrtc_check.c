/* nvrtc_check.c: the kernels of a compiled folder by the machine's own NVRTC, without a device.
 *
 *     nvrtc_check CAPABILITY...      prints a line for each: bytes, and whether the cache had it
 */
#include "tlr_cuda_parts.h"

#include <stdio.h>
#include <stdlib.h>

extern const struct tlr_model *tlr_the_model;

int main(int argc, char **argv)
{
    tlr_cuda_program *p = tlr_the_model->program;
    for (int i = 1; i < argc; ++i) {
        void *image = tlr_cuda_compile(p, atoi(argv[i]));
        printf("%s %s\n", argv[i], !image ? p->trouble : p->from_cache ? "cached" : "compiled");
        if (!image)
            return 1;
        free(image);
    }
    return 0;
}
