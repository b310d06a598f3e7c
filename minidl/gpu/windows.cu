// im2col and col2im: see minidl/ops/im2col.py for the formulae and the letters.
// KH KW (kernel), SH SW (stride), DH DW (dilation) are constants: the compiler unrolls the loops over a small kernel, and
// divides by them with shifts and multiplications.

// columns[c, kh, kw, n, oh, ow] = x[n, c, h, w], 0 in the padding. A thread for each (c, n, oh, ow): neighbouring
// threads write neighbouring numbers, and read such as are close together.
KERNEL im2col(const T* x, T* columns, Index count, Index step_n, Index step_c, Index step_h, Index step_w,
              Index H, Index W, Index N, Index OH, Index OW, Index top, Index left) {
    THREAD_PER_ELEMENT(i, count)
    const Index ow = i % OW, oh = i / OW % OH, n = i / OW / OH % N, c = i / OW / OH / N;
    const Index windows = N * OH * OW;
    const T* image = x + c * step_c + n * step_n;
    T* column = columns + c * (KH * KW - 1) * windows + i;  // = (c KH KW windows) + (i - c windows)
    UNROLL
    for (int kh = 0; kh < KH; kh++) {
        const Index h = oh * SH + kh * DH - top;
        UNROLL
        for (int kw = 0; kw < KW; kw++) {
            const Index w = ow * SW + kw * DW - left;
            const bool inside = h >= 0 && h < H && w >= 0 && w < W;
            *column = inside ? image[h * step_h + w * step_w] : (T)0;
            column += windows;
        }
    }
}

// x[c, n, h, w] = the sum of columns over the taps and windows that see this pixel. A thread for each pixel gathers
// them: nothing is written twice, so the order of the sum, and with it the result, is the same every time.
KERNEL col2im(const T* columns, T* x, Index count, Index H, Index W, Index N, Index OH, Index OW, Index top,
              Index left) {
    THREAD_PER_ELEMENT(i, count)
    const Index w = i % W, h = i / W % H, n = i / W / H % N, c = i / W / H / N;
    const Index windows = N * OH * OW;
    const T* column = columns + c * KH * KW * windows + n * OH * OW;
    T sum = 0;
    UNROLL
    for (int kh = 0; kh < KH; kh++) {
        const Index down = h + top - kh * DH;  // oh * SH, if there is such a window
        const bool row = down >= 0 && down % SH == 0 && down / SH < OH;
        UNROLL
        for (int kw = 0; kw < KW; kw++) {
            const Index right = w + left - kw * DW;
            if (row && right >= 0 && right % SW == 0 && right / SW < OW) {
                sum += column[(kh * KW + kw) * windows + down / SH * OW + right / SW];
            }
        }
    }
    x[i] = sum;
}
