"""Datasets and the loader: `from minidl.data import DataLoader, Digits`."""

from minidl.data.dataset import Dataset, Subset, TensorDataset, random_split
from minidl.data.digits import Digits
from minidl.data.loader import DataLoader, default_collate

__all__ = ["DataLoader", "Dataset", "Digits", "Subset", "TensorDataset", "default_collate", "random_split"]
