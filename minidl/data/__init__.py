"""Datasets and the loader: `from minidl.data import DataLoader, Digits`."""

from minidl.data import transforms
from minidl.data.collate import default_collate
from minidl.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from minidl.data.digits import Digits
from minidl.data.images import ArrayDataset, ImageDataset
from minidl.data.loader import DataLoader
from minidl.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
