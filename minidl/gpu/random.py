"""Random numbers drawn on a GPU: the very ones that the generator on the host would draw, so that seeds mean the same.

A mask of dropout has a number for each element; drawn on the host and sent over, it takes longer than the layer.
"""

from __future__ import annotations

import math
from typing import Any

import numpy

from minidl.backend import Generator, array_module, float32
from minidl.gpu.launch import per_element

HALF = 1 << 64


def uniform(generator: Generator, shape: tuple[int, ...], like: Any) -> Any:
    """generator.numpy.random(shape, float32), on the GPU of `like`. The generator goes on as if it had drawn them."""
    xp = array_module(like)
    n = math.prod(shape)
    y = xp.empty(shape, float32)
    bits: Any = generator.numpy.bit_generator
    state = bits.state
    number, increment = state["state"]["state"], state["state"]["inc"]
    # Not as numbers of the kernel: those are kept, for the next call with the same ones.
    words = numpy.array([*divmod(number, HALF), *divmod(increment, HALF), state["uinteger"]], numpy.uint64)
    per_element("random.uniform", n, (y, xp.asarray(words)), n, state["has_uint32"])
    halves = n - state["has_uint32"]  # that were not left over from before
    if halves > 0:
        bits.advance((halves + 1) // 2)
        state = bits.state
        state["uinteger"] = _output(state["state"]["state"]) >> 32
        state["has_uint32"] = halves % 2
    elif n:
        state["has_uint32"] = 0
    bits.state = state
    return y


def _output(state: int) -> int:
    """The 64 bits that PCG64 gives for this state: see random.cu."""
    mixed, turn = (state >> 64) ^ (state % HALF), state >> 122
    return (mixed >> turn | mixed << (64 - turn)) % HALF
