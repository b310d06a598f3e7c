// Element by element, where CuPy would need several launches. All arrays lie in memory in one order, without gaps.

// y = gradient where the mask is not 0, else 0
KERNEL masked(const T* gradient, const Mask* mask, T* y, Index count) {
    THREAD_PER_ELEMENT(i, count)
    y[i] = mask[i] != 0 ? gradient[i] : (T)0;
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
