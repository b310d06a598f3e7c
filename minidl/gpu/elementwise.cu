// Element by element, where CuPy would need several launches. All arrays lie in memory in one order, without gaps.

// y = gradient where the mask is not 0, else 0
KERNEL masked(const T* gradient, const Mask* mask, T* y, Index count) {
    THREAD_PER_ELEMENT(i, count)
    y[i] = mask[i] != 0 ? gradient[i] : (T)0;
}

KERNEL add(const T* a, const T* b, T* y, Index count) {
    THREAD_PER_ELEMENT(i, count)
    y[i] = a[i] + b[i];
}

KERNEL multiply(const T* a, const T* b, T* y, Index count) {
    THREAD_PER_ELEMENT(i, count)
    y[i] = a[i] * b[i];
}

// y = max(x, 0); NaN stays NaN
KERNEL positive_part(const T* x, T* y, Index count) {
    THREAD_PER_ELEMENT(i, count)
    y[i] = x[i] <= 0 ? (T)0 : x[i];
}

// One step of SGD: see minidl/optim/sgd.py. `velocity` is null without momentum.
KERNEL sgd(T* p, const T* gradient, T* velocity, Index count, T lr, T momentum, T fresh, T weight_decay, T sign,
           Index nesterov) {
    THREAD_PER_ELEMENT(i, count)
    T g = sign * gradient[i];
    if (weight_decay != 0) g += weight_decay * p[i];
    if (velocity) {
        velocity[i] = momentum * velocity[i] + fresh * g;
        g = nesterov ? g + momentum * velocity[i] : velocity[i];
    }
    p[i] -= lr * g;
}
