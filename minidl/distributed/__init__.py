"""Several processes that compute one thing: PyTorch's torch.distributed, on MPI or NCCL.

    from minidl import distributed as dist              # mpiexec -n 4 python script.py

    dist.init_process_group("mpi")
    x = minidl.full((3,), dist.get_rank())
    dist.all_reduce(x)                                  # x is now 0 + 1 + 2 + 3, in each of the four

Each process is a "rank", from 0 to get_world_size() - 1. The processes run the same program and call the same verbs in
the same order; a verb returns when all of them have called it. group.py has the verbs, mpi.py and nccl.py what carries
them. What stands on top: nn.parallel.DistributedDataParallel, nn.SyncBatchNorm, data.DistributedSampler.
"""

from minidl.distributed.errors import DistBackendError
from minidl.distributed.group import (
    ReduceOp,
    Work,
    all_gather_into_tensor,
    all_reduce,
    barrier,
    broadcast,
    destroy_process_group,
    gather_texts,
    get_backend,
    get_node_local_rank,
    get_rank,
    get_world_size,
    init_process_group,
    is_available,
    is_initialized,
)
