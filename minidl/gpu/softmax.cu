// Softmax and its logarithm of each row of a matrix (rows, C), a block for a row: see minidl/ops/activation.py.

// The maximum; NaN where one value is NaN.
__device__ T block_max(T value) {
    __shared__ T largest[THREADS];
    largest[threadIdx.x] = value;
    __syncthreads();
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            const T other = largest[threadIdx.x + half];
            if (other > largest[threadIdx.x] || other != other) largest[threadIdx.x] = other;
        }
        __syncthreads();
    }
    const T result = largest[0];
    __syncthreads();
    return result;
}

#define ROW (blockIdx.x * C)

__device__ T row_max(const T* x, Index C) {
    T largest = -INFINITY;
    for (Index c = threadIdx.x; c < C; c += THREADS) {
        const T value = x[ROW + c];
        if (value > largest || value != value) largest = value;
    }
    return block_max(largest);
}

// y_c = e^(x_c - max) / sum_k e^(x_k - max)
KERNEL softmax(const T* x, T* y, Index C) {
    const T largest = row_max(x, C);
    T sum = 0;
    for (Index c = threadIdx.x; c < C; c += THREADS) {
        y[ROW + c] = exp(x[ROW + c] - largest);
        sum += y[ROW + c];
    }
    sum = block_sum(sum);
    for (Index c = threadIdx.x; c < C; c += THREADS) y[ROW + c] /= sum;
}

// y_c = (x_c - max) - ln sum_k e^(x_k - max)
KERNEL log_softmax(const T* x, T* y, Index C) {
    const T largest = row_max(x, C);
    T sum = 0;
    for (Index c = threadIdx.x; c < C; c += THREADS) sum += exp(x[ROW + c] - largest);
    const T of_all = log(block_sum(sum));
    for (Index c = threadIdx.x; c < C; c += THREADS) y[ROW + c] = x[ROW + c] - largest - of_all;
}

// dx_c = y_c (dy_c - sum_k dy_k y_k)
KERNEL softmax_gradient(const T* grad_y, const T* y, T* grad_x, Index C) {
    T dot = 0;
    for (Index c = threadIdx.x; c < C; c += THREADS) dot += grad_y[ROW + c] * y[ROW + c];
    dot = block_sum(dot);
    for (Index c = threadIdx.x; c < C; c += THREADS) grad_x[ROW + c] = y[ROW + c] * (grad_y[ROW + c] - dot);
}

// dx_c = dy_c - e^y_c sum_k dy_k
KERNEL log_softmax_gradient(const T* grad_y, const T* y, T* grad_x, Index C) {
    T sum = 0;
    for (Index c = threadIdx.x; c < C; c += THREADS) sum += grad_y[ROW + c];
    sum = block_sum(sum);
    for (Index c = threadIdx.x; c < C; c += THREADS) grad_x[ROW + c] = grad_y[ROW + c] - exp(y[ROW + c]) * sum;
}
