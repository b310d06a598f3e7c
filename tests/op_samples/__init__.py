"""The one list that every check of the operations is derived from. One file for each file of minidl/ops/.

Each has naive oracles in plain loops, HAND_COMPUTED examples that hold the oracles to paper and pencil, and SAMPLES.
"""

import importlib

_STEMS = (
    "activation",
    "arithmetic",
    "conversion",
    "convolution",
    "dropout",
    "linear",
    "loss",
    "normalization",
    "pooling",
    "reduction",
    "resize",
    "shape",
)
_MODULES = [importlib.import_module(f"{__name__}.{stem}") for stem in _STEMS]

SAMPLES = [sample for module in _MODULES for sample in module.SAMPLES]
HAND_COMPUTED = [example for module in _MODULES for example in module.HAND_COMPUTED]
