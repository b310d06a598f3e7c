// NumPy's default generator, PCG64, from any place of its stream: what the host would draw, drawn in parallel.
//
// The state is a 128-bit number, state <- state a + increment, of which each step gives 64 bits (M. O'Neill, PCG,
// HMC-CS-2014-0905, XSL-RR). n steps at once are again of that form, with a factor and an increment that n alone
// determines; they are put together from those of 1, 2, 4, 8, ... steps, for the bits of n.

typedef unsigned __int128 State;
typedef unsigned long long Word;

__device__ State together(Word high, Word low) { return ((State)high << 64) | low; }

__device__ Word output(State state) {
    const Word mixed = (Word)(state >> 64) ^ (Word)state;
    const unsigned turn = (unsigned)(state >> 122);
    return (mixed >> turn) | (mixed << ((64 - turn) & 63));
}

// y = numpy.random.Generator.random(n, float32): 24 bits of each half of an output, the low half first. The first
// number is the half that was left over, if one was. words: high and low of the state, and of the increment; that half.
KERNEL uniform(float* y, const Word* words, Index n, Index has_left_over) {
    THREAD_PER_ELEMENT(thread, (n + 1 + has_left_over) / 2)
    State factor = together(0x2360ED051FC65DA4ULL, 0x4385DF649FCCF645ULL);
    State increment = together(words[2], words[3]);
    State state = together(words[0], words[1]);
    Word steps = (Word)thread + 1;
    while (steps) {
        if (steps & 1) state = state * factor + increment;
        increment = increment * (factor + 1);
        factor = factor * factor;
        steps >>= 1;
    }
    const Word bits = output(state);
    const Index first = 2 * thread + has_left_over;
    if (first < n) y[first] = ((unsigned)bits >> 8) * (1.0f / 16777216.0f);
    if (first + 1 < n) y[first + 1] = ((unsigned)(bits >> 32) >> 8) * (1.0f / 16777216.0f);
    if (thread == 0 && has_left_over) y[0] = ((unsigned)words[4] >> 8) * (1.0f / 16777216.0f);
}
