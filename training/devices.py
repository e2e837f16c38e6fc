"""Where training computes: the device, its precision, the processes of torchrun."""

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

from schemas.errors import UsageError

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Process:
    """One process of a run.

    Attributes:
      device: where it computes.
      rank: its number over all nodes; the first writes the files.
      world: how many processes there are.
    """

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def spread(self, model: nn.Module) -> nn.Module:
        """The model with its gradients averaged over all processes; the model itself where there is one.

        On CUDA, batch normalisation is over the batches of all processes. PyTorch has no such layer for the
        CPU: there each process normalises its own batch, and the running figures are the first process's.
        """
        if self.world == 1:
            return model
        if self.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
            return nn.parallel.DistributedDataParallel(model, device_ids=[self.device.index])
        return nn.parallel.DistributedDataParallel(model)

    def align(self, model: nn.Module) -> None:
        """Give every process the first one's running figures of batch normalisation."""
        if self.world > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, 0)

    def add(self, values: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if self.world > 1:
            values = values.to(self.device)
            distributed.all_reduce(values)
        return values

    def gather(self, value: Any) -> list[Any]:
        """A value of every process, by rank; on all of them."""
        if self.world == 1:
            return [value]
        values = [None] * self.world
        distributed.all_gather_object(values, value)
        return values


CPU = Process(torch.device("cpu"))


def choose(name: str, local: int = 0) -> torch.device:
    """The device of `--device`.

    Args:
      name: "auto" (CUDA where there is one, else the CPU), "cpu", "cuda" or "cuda:N".
      local: number of this process on its machine, which is its GPU's number where none is named.

    Raises:
      UsageError: if the device is unknown or not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    if not re.fullmatch(r"auto|cuda(:\d+)?", name):
        raise UsageError(f"--device {name}: not a device; give auto, cpu, cuda or cuda:N")
    wanted = int(name.removeprefix("cuda:")) if ":" in name else local
    if not count:
        raise UsageError(f"--device {name}: PyTorch finds no CUDA device here; give --device cpu")
    if wanted >= count:
        raise UsageError(
            f"--device {name}: GPU {wanted} is asked for, and this machine has {count} (0 to {count - 1}); "
            "give a lower number, or torchrun a lower --nproc-per-node"
        )
    return torch.device("cuda", wanted)


@contextlib.contextmanager
def open_process(name: str) -> Iterator[Process]:
    """This process, among those that torchrun started (gloo on the CPU, NCCL on CUDA) or alone.

    Raises:
      UsageError: as `choose`, and if one GPU is named for several processes.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and ":" in name:
        raise UsageError(
            f"--device {name}: torchrun started {world} processes, and each takes its own; give cuda"
        )
    device = choose(name, int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if world == 1:
        yield Process(device)
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    yield Process(device, distributed.get_rank(), world)
    distributed.destroy_process_group()  # Not after an error: others may still wait for us.


def unshared(model: nn.Module) -> contextlib.AbstractContextManager:
    """The context in which a model of `Process.spread` adds up its own gradients, without those of others."""
    if isinstance(model, nn.parallel.DistributedDataParallel):
        return model.no_sync()
    return contextlib.nullcontext()


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """The context in which the model runs."""
    kind = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, kind, enabled=precision != "fp32")


def check_precision(device: torch.device, precision: Precision) -> None:
    """Refuse what a device cannot do.

    Raises:
      UsageError: for fp16 on the CPU.
    """
    if precision == "fp16" and device.type == "cpu":
        raise UsageError("train.precision: fp16 needs a GPU; set it to bf16 or fp32, or give --device cuda")
