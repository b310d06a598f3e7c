"""Operations on a GPU that CuPy alone would be slow at: CUDA C in the .cu files, and what runs it.

    windows         im2col and col2im                       elementwise     masks, sums, products, a step of SGD
    pooling         max and average                         softmax         and its logarithm
    normalization   batch and local response                random          NumPy's numbers, drawn in parallel
    cudnn           convolution, through NVIDIA's library
    launch          compiles and runs a kernel              layout          how arrays lie in memory

Each does what the formula in minidl/ops says that calls it, and is checked against it. `minidl.use_algorithm("im2col")`
makes the formulae themselves run, on CuPy's arrays.
"""
