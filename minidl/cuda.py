"""Whether there is a GPU to compute on: PyTorch's torch.cuda, as far as minidl has it."""

from minidl.backend import cuda_device_count as device_count
from minidl.backend import cuda_is_available as is_available

__all__ = ["device_count", "is_available"]
