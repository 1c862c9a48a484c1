"""One process or several: which device, which precision, and what the processes share.

`torchrun` starts several processes, on one machine or more, and tells each its place by environment
variables. All of them read the same data and take their part of every batch; the first one alone writes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

import torch
from lightning_fabric import Fabric
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


@contextmanager
def first_goes_first(device: str) -> Iterator[None]:
    """Let the first process do a piece of work, such as filling a cache, before the others do it."""
    if n_workers() == 1:
        yield
        return
    fabric = open_fabric(choose_device(device))
    if not is_first():
        fabric.barrier()
    yield
    if is_first():
        fabric.barrier()


def part_ways(fabric: Fabric) -> None:
    """End what the processes have in common."""
    if fabric.world_size > 1:
        fabric.barrier()
        torch.distributed.destroy_process_group()


def open_fabric(device: str) -> Fabric:
    """The devices and precision of this machine: bf16 autocast where it is computed in hardware."""
    fast = torch.cuda.is_bf16_supported() if device == "cuda" else processor_has_bf16()
    precision: Literal["bf16-mixed", "32-true"] = "bf16-mixed" if fast else "32-true"
    if n_workers() == 1:
        return Fabric(accelerator=device, devices=1, precision=precision)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", n_workers()))
    fabric = Fabric(
        accelerator=device,
        devices=here,
        num_nodes=n_workers() // here,
        precision=precision,
        strategy="ddp",
    )
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
    parts = [torch.empty_like(padded) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(parts, padded)
    return torch.stack(parts, dim=1).reshape(-1, *part.shape[1:])[:n]


def total(figures: Tensor, fabric: Fabric) -> Tensor:
    """Sum of figures over all processes."""
    if fabric.world_size == 1:
        return figures
    return cast(Tensor, fabric.all_reduce(figures.to(fabric.device), reduce_op="sum"))


def average_statistics(network: nn.Module, fabric: Fabric) -> None:
    """Give every process the mean of the running statistics of batch normalisation.

    While an epoch lasts, each process normalises by its own part of a batch.
    """
    if fabric.world_size == 1:
        return
    for buffer in network.buffers():
        if buffer.is_floating_point():
            buffer.copy_(cast(Tensor, fabric.all_reduce(buffer, reduce_op="mean")))
