"""What there is to ask of a GPU: PyTorch's torch.cuda, as far as minidl has it.

Where there is no GPU, is_available() is False, device_count() is 0, and everything else raises RuntimeError.
"""

from minidl.backend import cuda_device_count as device_count
from minidl.backend import cuda_is_available as is_available
from minidl.backend import device, gpu_module
from minidl.gpu import launch

__all__ = [
    "device_count",
    "empty_cache",
    "get_device_name",
    "is_available",
    "memory_allocated",
    "memory_reserved",
    "synchronize",
]


def synchronize() -> None:
    """Wait until the GPU has done all that it was given: what is timed ends here, not where Python goes on."""
    gpu_module().cuda.runtime.deviceSynchronize()


def get_device_name(index: int = 0) -> str:
    """What NVIDIA calls the GPU."""
    return gpu_module().cuda.runtime.getDeviceProperties(device("cuda", index).index)["name"].decode()


def memory_allocated() -> int:
    """Bytes of the GPU's memory in which arrays lie."""
    return gpu_module().get_default_memory_pool().used_bytes()


def memory_reserved() -> int:
    """Bytes of the GPU's memory that are held, in use or to be used again."""
    return gpu_module().get_default_memory_pool().total_bytes()


def empty_cache() -> None:
    """Give memory that is held, but not in use, back to the GPU for other programs."""
    launch.forget_workspaces()
    gpu_module().get_default_memory_pool().free_all_blocks()
