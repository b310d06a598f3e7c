// Batch normalization and local response normalization: see minidl/ops/normalization.py for the formulae.
//
// The arrays have C channels, and lie in memory without gaps. From one channel to the next it is `step` numbers, so that
// element i of the memory belongs to channel i / step % C, whether images, channels or pixels come first. A channel has
// m elements; element j of channel c lies at (j / step * C + c) * step + j % step.

#define PLACE(j) (((j) / step * C + c) * step + (j) % step)

// Block (c, part) takes `chunk` elements of channel c: their mean, and the sum of the squares of what they differ from
// it. Two passes over a piece that the second one finds in the cache: no digits are lost where the mean is large.
// parts: (2, number of parts, C), means first.
KERNEL part_statistics(const T* x, T* parts, Index m, Index chunk, Index C, Index step) {
    const Index c = blockIdx.x, first = blockIdx.y * chunk, last = min(first + chunk, m);
    T sum = 0;
    for (Index j = first + threadIdx.x; j < last; j += THREADS) sum += x[PLACE(j)];
    const T mean = block_sum(sum) / (last - first);
    T square = 0;
    for (Index j = first + threadIdx.x; j < last; j += THREADS) {
        const T d = x[PLACE(j)] - mean;
        square += d * d;
    }
    square = block_sum(square);
    if (threadIdx.x == 0) {
        parts[blockIdx.y * C + c] = mean;
        parts[(gridDim.y + blockIdx.y) * C + c] = square;
    }
}

// scales: (2, C), r = 1 / sqrt(variance + eps) and r weight
__device__ void write_scales(T variance, const T* weight, T* scales, Index c, Index C, T eps) {
    const T r = 1 / sqrt(variance + eps);
    scales[c] = r;
    scales[C + c] = weight ? r * weight[c] : r;
}

// A thread for each channel puts the parts together (Chan, Golub & LeVeque 1979):
// mean = sum m_i mean_i / m,  m variance = sum (squares_i + m_i (mean_i - mean)^2).
KERNEL statistics(const T* parts, const T* weight, T* mean, T* variance, T* scales, Index m, Index chunk, Index C,
                  Index count, T eps) {
    THREAD_PER_ELEMENT(c, C)
    T total = 0;
    for (Index i = 0; i < count; i++) total += parts[i * C + c] * min(chunk, m - i * chunk);
    total /= m;
    T square = 0;
    for (Index i = 0; i < count; i++) {
        const T d = parts[i * C + c] - total;
        square += parts[(count + i) * C + c] + d * d * min(chunk, m - i * chunk);
    }
    mean[c] = total;
    variance[c] = square / m;
    write_scales(square / m, weight, scales, c, C, eps);
}

KERNEL scales_of(const T* variance, const T* weight, T* scales, Index C, T eps) {
    THREAD_PER_ELEMENT(c, C)
    write_scales(variance[c], weight, scales, c, C, eps);
}

// y = (x - mean) scale + bias
KERNEL normalize(const T* x, const T* mean, const T* scales, const T* bias, T* y, Index count, Index C, Index step) {
    THREAD_PER_ELEMENT(i, count)
    const Index c = i / step % C;
    y[i] = (x[i] - mean[c]) * scales[C + c] + (bias ? bias[c] : (T)0);
}

// running = (1 - momentum) running + momentum statistic; the variance made unbiased by `correction` = m / (m - 1)
KERNEL move_running(T* running_mean, T* running_variance, const T* mean, const T* variance, Index C, T momentum,
                    T correction) {
    THREAD_PER_ELEMENT(c, C)
    running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean[c];
    running_variance[c] = (1 - momentum) * running_variance[c] + momentum * correction * variance[c];
}

// sum(dy) and sum(dy (x - mean)), of the parts as in part_statistics
KERNEL part_sums(const T* grad_y, const T* x, const T* mean, T* parts, Index m, Index chunk, Index C, Index step) {
    const Index c = blockIdx.x, first = blockIdx.y * chunk, last = min(first + chunk, m);
    const T middle = mean[c];
    T sum = 0, dot = 0;
    for (Index j = first + threadIdx.x; j < last; j += THREADS) {
        const Index i = PLACE(j);
        sum += grad_y[i];
        dot += grad_y[i] * (x[i] - middle);
    }
    sum = block_sum(sum);
    dot = block_sum(dot);
    if (threadIdx.x == 0) {
        parts[blockIdx.y * C + c] = sum;
        parts[(gridDim.y + blockIdx.y) * C + c] = dot;
    }
}

// The sum of each channel, of the parts as in part_statistics
KERNEL part_totals(const T* x, T* parts, Index m, Index chunk, Index C, Index step) {
    const Index c = blockIdx.x, first = blockIdx.y * chunk, last = min(first + chunk, m);
    T sum = 0;
    for (Index j = first + threadIdx.x; j < last; j += THREADS) sum += x[PLACE(j)];
    sum = block_sum(sum);
    if (threadIdx.x == 0) parts[blockIdx.y * C + c] = sum;
}

// db = sum(dy), dw = sum(dy (x - mean)) r; slopes: (2, C), db / m and dw r / m, which input_gradient subtracts
KERNEL gradient_sums(const T* parts, const T* scales, T* grad_bias, T* grad_weight, T* slopes, Index m, Index C,
                     Index count) {
    THREAD_PER_ELEMENT(c, C)
    T sum = 0, dot = 0;
    for (Index i = 0; i < count; i++) {
        sum += parts[i * C + c];
        dot += parts[(count + i) * C + c];
    }
    const T r = scales[c];
    grad_bias[c] = sum;
    grad_weight[c] = dot * r;
    slopes[c] = sum / m;
    slopes[C + c] = dot * r * r / m;
}

// dx = scale (dy - db / m - (x - mean) dw r / m)
KERNEL input_gradient(const T* grad_y, const T* x, const T* mean, const T* slopes, const T* scales, T* grad_x,
                      Index count, Index C, Index step) {
    THREAD_PER_ELEMENT(i, count)
    const Index c = i / step % C;
    grad_x[i] = scales[C + c] * (grad_y[i] - slopes[c] - (x[i] - mean[c]) * slopes[C + c]);
}

// Local response normalization: d = k + alpha / size * (the sum of x^2 over the window), y = x d^-beta
KERNEL response_norm(const T* x, T* y, T* d, T* shrink, Index count, Index C, Index step, Index before, Index after,
                     T factor, T beta, T k) {
    THREAD_PER_ELEMENT(i, count)
    const Index c = i / step % C;
    const Index first = max(c - before, (Index)0), last = min(c + after, C - 1);
    T sum = 0;
    for (Index j = first; j <= last; j++) {
        const T value = x[i + (j - c) * step];
        sum += value * value;
    }
    d[i] = factor * sum + k;
    shrink[i] = pow(d[i], -beta);
    y[i] = x[i] * shrink[i];
}

// dx_c = dy_c d_c^-beta + factor x_c (the sum of dy_j x_j d_j^-beta / d_j over the windows that hold c)
KERNEL response_norm_gradient(const T* grad_y, const T* x, const T* d, const T* shrink, T* grad_x, Index count, Index C,
                              Index step, Index before, Index after, T factor) {
    THREAD_PER_ELEMENT(i, count)
    const Index c = i / step % C;
    const Index first = max(c - after, (Index)0), last = min(c + before, C - 1);
    T sum = 0;
    for (Index j = first; j <= last; j++) {
        const Index at = i + (j - c) * step;
        sum += grad_y[at] * x[at] * shrink[at] / d[at];
    }
    grad_x[i] = grad_y[i] * shrink[i] + factor * x[i] * sum;
}
