"""One process or several: which device, which precision, and what the processes share.

`torchrun` starts several processes, on one machine or more, and tells each its place by environment
variables. All of them read the same data and take their part of every batch; the first one alone writes.
"""

import os
from contextlib import AbstractContextManager
from typing import cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from torch import Tensor, nn

from lungscope.errors import ConfigError, RuntimeUnavailable
from lungscope.runtime.engine import processor_has_bf16


def n_workers() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return os.environ.get("RANK", "0") == "0"


def choose_device(device: str) -> str:
    """Turn "auto" into "cuda" where there is one.

    Raises:
        ConfigError: an unknown name.
        RuntimeUnavailable: "cuda" where PyTorch sees none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device {device!r} is unknown. Choose auto, cpu or cuda.")
    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise RuntimeUnavailable("PyTorch sees no CUDA device here. Use --device cpu.")
    return "cuda" if available and device != "cpu" else "cpu"


def first_goes_first(device: str) -> AbstractContextManager[None]:
    """Let the first process do a piece of work, such as filling a cache, before the others do it."""
    return open_fabric(choose_device(device)).rank_zero_first()


def part_ways(fabric: Fabric) -> None:
    """End what the processes have in common."""
    if fabric.world_size > 1:
        fabric.barrier()
        torch.distributed.destroy_process_group()


def open_fabric(device: str) -> Fabric:
    """The devices and precision of this machine: bf16 autocast where it is computed in hardware."""
    fast = torch.cuda.is_bf16_supported() if device == "cuda" else processor_has_bf16()
    # As objects, for names of precisions are announced on standard error.
    precision = MixedPrecision("bf16-mixed", device) if fast else Precision()
    n = n_workers()
    here = int(os.environ.get("LOCAL_WORLD_SIZE", n))
    strategy = "ddp" if n > 1 else "auto"
    fabric = Fabric(accelerator=device, strategy=strategy, devices=here, num_nodes=n // here, plugins=precision)
    if n > 1:
        fabric.launch()
    return fabric


def share(rows: Tensor, fabric: Fabric) -> Tensor:
    """This process's part of a batch."""
    return rows[fabric.global_rank :: fabric.world_size]


def gather(part: Tensor, n: int, fabric: Fabric) -> Tensor:
    """Rows 0..n-1 in their order from parts taken by `share`, on every process."""
    if fabric.world_size == 1:
        return part
    longest = -(-n // fabric.world_size)
    padded = torch.cat((part, part.new_zeros(longest - len(part), *part.shape[1:])))
    parts = cast(Tensor, fabric.all_gather(padded))
    return parts.transpose(0, 1).reshape(-1, *part.shape[1:])[:n]


def total(values: Tensor, fabric: Fabric) -> Tensor:
    """Sum over all processes."""
    return cast(Tensor, fabric.all_reduce(values, reduce_op="sum"))


def average_statistics(network: nn.Module, fabric: Fabric) -> None:
    """Give every process the mean of the running statistics of batch normalisation.

    While an epoch lasts, each process normalises by its own part of a batch.
    """
    for buffer in network.buffers():
        if fabric.world_size > 1 and buffer.is_floating_point():
            buffer.copy_(cast(Tensor, fabric.all_reduce(buffer, reduce_op="mean")))
