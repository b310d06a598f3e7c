// Max and average pooling of planes (P, H, W) -> (P, OH, OW): see minidl/ops/pooling.py. KH KW SH SW DH DW are constants;
// Winner is the type of a tap's number, counted from the kernel's last (LAST = KH KW - 1).

#define LAST (KH * KW - 1)

KERNEL max_pool(const T* x, T* y, Winner* winner, Index count, Index H, Index W, Index OH, Index OW, Index top,
                Index left) {
    THREAD_PER_ELEMENT(i, count)
    const Index ow = i % OW, oh = i / OW % OH;
    const T* plane = x + i / OW / OH * H * W;
    T best = -INFINITY;
    int tap = -1;
    UNROLL
    for (int kh = 0; kh < KH; kh++) {
        const Index h = oh * SH + kh * DH - top;
        UNROLL
        for (int kw = 0; kw < KW; kw++) {
            const Index w = ow * SW + kw * DW - left;
            if (h >= 0 && h < H && w >= 0 && w < W) {
                const T value = plane[h * W + w];
                // The first of equal ones; NaN is larger than anything.
                if (tap < 0 || value > best || (value != value && best == best)) {
                    best = value;
                    tap = kh * KW + kw;
                }
            }
        }
    }
    y[i] = best;
    winner[i] = tap < 0 ? 0 : LAST - tap;
}

// dx: a thread for each pixel adds up the gradients of the windows whose maximum it is.
KERNEL max_unpool(const T* grad_y, const Winner* winner, T* grad_x, Index count, Index H, Index W, Index OH, Index OW,
                  Index top, Index left) {
    THREAD_PER_ELEMENT(i, count)
    const Index w = i % W, h = i / W % H, plane = i / W / H * OH * OW;
    T sum = 0;
    UNROLL
    for (int kh = 0; kh < KH; kh++) {
        const Index down = h + top - kh * DH;
        const bool row = down >= 0 && down % SH == 0 && down / SH < OH;
        UNROLL
        for (int kw = 0; kw < KW; kw++) {
            const Index right = w + left - kw * DW;
            if (row && right >= 0 && right % SW == 0 && right / SW < OW) {
                const Index window = plane + down / SH * OW + right / SW;
                if (winner[window] == LAST - (kh * KW + kw)) sum += grad_y[window];
            }
        }
    }
    grad_x[i] = sum;
}

// `pixels` (OH, OW): what the sum over each window is divided by.
KERNEL avg_pool(const T* x, T* y, const T* pixels, Index count, Index H, Index W, Index OH, Index OW, Index top,
                Index left) {
    THREAD_PER_ELEMENT(i, count)
    const Index ow = i % OW, oh = i / OW % OH;
    const T* plane = x + i / OW / OH * H * W;
    T sum = 0;
    UNROLL
    for (int kh = 0; kh < KH; kh++) {
        const Index h = oh * SH + kh * DH - top;
        UNROLL
        for (int kw = 0; kw < KW; kw++) {
            const Index w = ow * SW + kw * DW - left;
            if (h >= 0 && h < H && w >= 0 && w < W) sum += plane[h * W + w];
        }
    }
    y[i] = sum / pixels[oh * OW + ow];
}

KERNEL avg_unpool(const T* grad_y, const T* pixels, T* grad_x, Index count, Index H, Index W, Index OH, Index OW,
                  Index top, Index left) {
    THREAD_PER_ELEMENT(i, count)
    const Index w = i % W, h = i / W % H, plane = i / W / H * OH * OW;
    T sum = 0;
    UNROLL
    for (int kh = 0; kh < KH; kh++) {
        const Index down = h + top - kh * DH;
        const bool row = down >= 0 && down % SH == 0 && down / SH < OH;
        UNROLL
        for (int kw = 0; kw < KW; kw++) {
            const Index right = w + left - kw * DW;
            if (row && right >= 0 && right % SW == 0 && right / SW < OW) {
                const Index window = down / SH * OW + right / SW;
                sum += grad_y[plane + window] / pixels[window];
            }
        }
    }
    grad_x[i] = sum;
}
