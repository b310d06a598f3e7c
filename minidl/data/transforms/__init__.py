"""What is done to images on their way into a network, under torchvision's names.

    Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), ToTensor(), Normalize(mean, std)])

Images are Tensors (C, H, W), or a whole batch (N, C, H, W), which costs little more than one. What is random draws from
(seed, epoch, index) inside a DataLoader: see minidl/data/randomness.py.
"""

from minidl.data.transforms.base import Compose, Lambda, Transform
from minidl.data.transforms.color import ColorJitter, Lighting
from minidl.data.transforms.crop import (
    CenterCrop,
    Pad,
    RandomCrop,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    TenCrop,
)
from minidl.data.transforms.erase import Cutout, RandomErasing
from minidl.data.transforms.resize import RandomResizedCrop, Resize
from minidl.data.transforms.values import Normalize, ToTensor

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "Cutout",
    "Lambda",
    "Lighting",
    "Normalize",
    "Pad",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
    "ToTensor",
    "Transform",
]
