/* What CUDA adds to C, for a host compiler: only what edge/backends/cuda/preprocess.cu uses.
 *
 * Threads run one after the other, so this shows what a kernel computes and which addresses it
 * touches. It shows nothing of races, coalescing, registers or time. Built with
 * -ffp-contract=off, so that the intrinsics round as their names say.
 */
#ifndef CUDA_HOST_SHIM_H
#define CUDA_HOST_SHIM_H

#include <math.h>

#define __global__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))

struct dim3 {
    unsigned x, y, z;
};

/* A stream of its own may run in each thread of the host. */
extern _Thread_local struct dim3 gridDim, blockDim, blockIdx, threadIdx;

static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __double2float_rn(double a) { return (float)a; }
static inline int __float2int_rd(float a) { return (int)floorf(a); }
static inline int __float2int_rn(float a) { return (int)lrintf(a); }

#endif
