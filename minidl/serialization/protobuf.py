"""Google's protocol buffers, as far as .caffemodel and .onnx need them: a message is a row of numbered fields.

Each field begins with an int, number * 8 + kind:

    kind 0  an int, seven bits a byte, the lowest first; the eighth bit says that another byte follows ("varint")
    kind 1  8 bytes             kind 5  4 bytes
    kind 2  a length (varint) and so many bytes: a text, a message, or many numbers one after the other ("packed")

protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5


class WireError(Exception):
    """The bytes are no message."""


def fields(message: memoryview) -> Iterator[tuple[int, int, Any]]:
    """(number, kind, value) of each field in turn: an int for a varint, else the bytes. WireError."""
    position = 0
    while position < len(message):
        tag, position = read_varint(message, position)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, position = read_varint(message, position)
            yield number, kind, value
            continue
        if kind == BYTES:
            length, position = read_varint(message, position)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            length = 8 if kind == EIGHT_BYTES else 4
        else:
            raise WireError(f"field {number} is of the unknown kind {kind}")
        if number == 0 or length > len(message) - position:
            raise WireError(f"field {number} reaches beyond the end of its message")
        yield number, kind, message[position : position + length]
        position += length


def read_varint(message: memoryview, position: int) -> tuple[int, int]:
    """The int at `position`, and the position behind it."""
    value = 0
    for count in range(10):  # 64 bits take ten bytes
        if position + count >= len(message):
            raise WireError("it ends within a number")
        byte = message[position + count]
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position + count + 1
    raise WireError("a number is longer than 64 bits")


def int_field(number: int, value: int) -> bytes:
    """A field with an int (or a bool)."""
    return varint(number << 3 | VARINT) + varint(value)


def float_field(number: int, value: float) -> bytes:
    """A field with a float32."""
    return varint(number << 3 | FOUR_BYTES) + struct.pack("<f", value)


def bytes_field(number: int, value: bytes | str) -> bytes:
    """A field with bytes, a text, or a message."""
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | BYTES) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """An int of 64 bits; a negative one in two's complement."""
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
