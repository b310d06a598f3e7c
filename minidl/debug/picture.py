"""Arrays as pictures: histograms and feature maps in characters, and feature maps in a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from minidl.backend import float64, uint8

ROWS = 16  # of a histogram
WIDTH = 100  # characters
LARGEST = 32  # rows and columns of a map in characters: larger ones are shown smaller
SHADES, ASCII_SHADES = " ░▒▓█", " .:-=+*#%@"


def histogram_lines(array: Any, bars: str) -> list[str]:
    """A line for each part of the range, with a bar as long as what falls into it. NaN and infinity stand apart."""
    numbers = array.ravel().astype(float64)
    finite = numbers[numpy.isfinite(numbers)]
    lines = []
    if finite.size:
        counts, edges = numpy.histogram(finite, ROWS)
        longest = max(int(counts.max()), 1)
        for count, low, high in zip(counts, edges[:-1], edges[1:], strict=True):
            bar = bars[-1] * math.ceil(50 * int(count) / longest)
            lines.append(f"{low:11.4g} .. {high:11.4g} {int(count):9,} {bar}".rstrip())
    if finite.size < numbers.size:
        lines.append(f"{int(numpy.isnan(numbers).sum())} nan, {int(numpy.isinf(numbers).sum())} infinite")
    return lines or ["no numbers"]


def maps(array: Any) -> Any:
    """The array as maps (M, H, W): of a batch the first image, of anything else what comes nearest."""
    array = array.astype(float64)
    if array.ndim < 2:
        return array.reshape(1, 1, -1)
    while array.ndim > 4:
        array = array[0]
    if array.ndim == 4:  # one image; or, of a filter bank with one channel, all filters
        array = array[:, 0] if array.shape[1] == 1 else array[0]
    return array if array.ndim == 3 else array[None]


def picture_lines(array: Any, ascii_only: bool) -> list[str]:
    """Feature maps side by side, two characters a pixel, from the smallest value (blank) to the largest."""
    shades = ASCII_SHADES if ascii_only else SHADES
    all_maps = maps(array)
    if not all_maps.size:
        return ["no numbers"]
    low, high = _range(all_maps)
    step = max(1, *(-(-size // LARGEST) for size in all_maps.shape[1:]))
    small = all_maps[:, ::step, ::step]
    with numpy.errstate(invalid="ignore"):
        levels = numpy.nan_to_num((small - low) / ((high - low) or 1) * (len(shades) - 1), nan=0).round()
    levels = levels.clip(0, len(shades) - 1).astype(int)
    per_row = max(1, WIDTH // (2 * small.shape[2] + 3))
    lines = []
    for start in range(0, len(small), per_row):
        block = levels[start : start + per_row]
        for row in range(small.shape[1]):
            lines.append("|" + "| |".join("".join(shades[level] * 2 for level in each[row]) for each in block) + "|")
        lines.append("")
    scale = f"{low:.3g} is blank, {high:.3g} is {shades[-1]}"
    shown = f"{len(small)} of {'x'.join(map(str, all_maps.shape[1:]))}"
    return [*lines, f"{shown}; {scale}{f'; every {step}. pixel' if step > 1 else ''}"]


def save_picture(array: Any, path: str) -> None:
    """The maps in a grid, in grey, as a picture file; small ones enlarged."""
    all_maps = maps(array)
    if not all_maps.size:
        raise ValueError("there is nothing to draw")
    low, high = _range(all_maps)
    with numpy.errstate(invalid="ignore"):
        grey = numpy.nan_to_num((all_maps - low) / ((high - low) or 1) * 255, nan=255).clip(0, 255).astype(uint8)
    scale = max(1, 96 // max(grey.shape[1:]))
    grey = grey.repeat(scale, axis=1).repeat(scale, axis=2)
    count, height, width = grey.shape
    columns = math.ceil(math.sqrt(count * height / width))
    rows = math.ceil(count / columns)
    gap = 2
    sheet = numpy.full((rows * (height + gap) - gap, columns * (width + gap) - gap), 128, uint8)
    for number, each in enumerate(grey):
        top, left = number // columns * (height + gap), number % columns * (width + gap)
        sheet[top : top + height, left : left + width] = each
    Image.fromarray(sheet).save(Path(path))


def _range(array: Any) -> tuple[float, float]:
    finite = array[numpy.isfinite(array)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
