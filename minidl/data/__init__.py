"""Datasets and the loader: `from minidl.data import DataLoader, Digits`."""

from minidl.data import transforms
from minidl.data.cifar import CIFAR10, CIFAR100
from minidl.data.collate import default_collate
from minidl.data.dataset import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from minidl.data.digits import Digits
from minidl.data.distributed import DistributedSampler, ShardedBatchSampler
from minidl.data.files import DataError, data_folder
from minidl.data.folder import ImageFolder, ImageNet
from minidl.data.images import ArrayDataset, ImageDataset
from minidl.data.loader import DataLoader
from minidl.data.mnist import MNIST, FashionMNIST
from minidl.data.named import Splits, described, named
from minidl.data.randomness import Draws, current_draws
from minidl.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
