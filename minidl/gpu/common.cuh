// What every file here is compiled behind. `launch.py` puts these lines in front, with the types of the arrays:
//
//     typedef float T;       the numbers
//     typedef int Index;     places in an array; long long where one has 2^30 elements or more
//     #define THREADS 256    in a block
//
// A kernel is written as it runs in one thread. THREAD_PER_ELEMENT(i, n) gives the thread the element i of n, and
// sends those home for which none is left.

#ifndef INFINITY  // CUDA C compiled at run time has no <math.h>
#define INFINITY __longlong_as_double(0x7ff0000000000000LL)
#endif

#define KERNEL extern "C" __global__ void

#define THREAD_PER_ELEMENT(i, n)                                      \
    const Index i = (Index)blockIdx.x * THREADS + threadIdx.x;        \
    if (i >= n) return;

// In front of the loops over a kernel of KH x KW. Written out, those of a large one (28x28: all of an image) would keep
// NVIDIA's compiler busy for 13 s, and not for 0.1 s.
#if defined(KH) && KH * KW <= 128
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("unroll 1")
#endif

// The sum of `value` over the threads of a block, the same in each of them, always in the same order.
__device__ T block_sum(T value) {
    __shared__ T sums[THREADS];
    sums[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
        __syncthreads();
    }
    const T total = sums[0];
    __syncthreads();
    return total;
}
