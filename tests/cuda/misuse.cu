/* misuse.cu: the kernel that misuse.c launches. */
#include "tlk_cuda.h"

extern "C" __global__ void __launch_bounds__(TLK_CUDA_THREADS) copies(const tlk_cuda_frame f)
{
    enum { N = 32 };
    tlk_fresh((float *)f.fix, N)[threadIdx.x] = tlk_view((const float *)f.vars, N)[threadIdx.x];
}
