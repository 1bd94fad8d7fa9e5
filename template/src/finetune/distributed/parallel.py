"""Data parallelism: a replica of the model on each rank (DDP), or the model sharded among the ranks (FSDP2).

DDP all-reduces the gradients of the replicas. FSDP2 keeps a shard of each weight, its gradient and its optimizer state
on each rank, and all-gathers a layer while it computes. Either way the names of the weights stay as they are.
"""

import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from ..config.config import Config
from ..errors import UserError
from ..model.device import DTYPES, Precision
from ..model.layers import find_layers, is_linear, unwrap_model
from ..model.unread import Unread, unread
from .world import World


class GradientExchange(nn.Module):
    """Wraps the trainable parameters for DDP. Its forward pass takes the loss and returns it.

    DDP needs an output of the backward pass, from which it finds the parameters that the pass reaches. Given the loss
    alone, it leaves the model itself unwrapped (names, `generate`, buffers) and copies no logits.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.trainable = nn.ParameterList(parameter for parameter in model.parameters() if parameter.requires_grad)
        # DDP searches for parameters without gradient, which some architectures have, and warns if there are none.
        self.unused = nn.Parameter(torch.zeros((), device=self.trainable[0].device))

    def forward(self, loss: Tensor) -> Tensor:
        return loss


def replicate(model: nn.Module) -> DistributedDataParallel:
    """Average the gradients of the model, which is on its device, over all ranks in each backward pass of a loss that
    went through the returned module."""
    return DistributedDataParallel(GradientExchange(model), find_unused_parameters=True, gradient_as_bucket_view=True)


def accumulate_only(ddp: DistributedDataParallel | None, *, unless: bool) -> AbstractContextManager[None]:
    """Gradient accumulation: no all-reduce in the backward passes inside, unless it is the last micro-batch.

    FSDP2 reduces the gradients of every micro-batch: to hold them back would take the memory that sharding saves.
    """
    return ddp.no_sync() if ddp and not unless else nullcontext()


def shards(config: Config, world: World) -> bool:
    """Whether the model is to be sharded among the ranks."""
    return world.size > 1 and config.train.parallel == "fsdp"


def distribute(
    config: Config, model: Any, device: torch.device, world: World, precision: Precision
) -> tuple[Any, DistributedDataParallel | None]:
    """The model on the devices of all ranks, sharded or replicated, and what averages the gradients of replicas."""
    if world.size == 1:
        return model.to(device), None
    if shards(config, world):
        with world.raise_together():
            shard(model, world, device, precision)
        return model, None
    model = model.to(device)
    return model, replicate(model)


def shard(model: Any, world: World, device: torch.device, precision: Precision = "fp32") -> None:
    """Shard the model among the ranks, in place; before there is an optimizer, instead of moving it to the device.

    Weights on the meta device are read from the files, of which each rank reads its rows; see `model/unread.py`.

    Each rank keeps its shard of the weights in fp32. In mixed precision the linear layers are all-gathered in
    `precision`, which is half the bytes, and their gradients are reduced in fp32. They are the weights that autocast
    casts; it reads norms, embeddings and the head in fp32, and so they are gathered. The results are the same to the
    bit. Compiled layers are gathered in fp32 as a whole: the hooks of FSDP inside would break their graph.

    Raises UserError if its forward passes differ between ranks.
    """
    body = unwrap_model(model)
    for name in ("layerdrop", "encoder_layerdrop", "decoder_layerdrop"):
        if getattr(body.config, name, 0):
            raise UserError(
                f"train.parallel: fsdp gathers every layer on all ranks at once, but a {body.config.model_type} model "
                f"leaves some out at random ({name} in its config): set it to ddp"
            )
    mesh = init_device_mesh(device.type, (world.size,))
    stored = {name: tensor for name, weight in model.named_parameters() if (tensor := unread(weight))}
    for layer in find_layers(body).values():
        if precision == "fp32" or layer._compiled_call_impl:
            fully_shard(layer, mesh=mesh, reshard_after_forward=True)
        else:
            # No cast of the inputs: autocast does it.
            policy = MixedPrecisionPolicy(DTYPES[precision], torch.float32, cast_forward_inputs=False)
            linear = [module for module in layer.modules() if is_linear(module)]
            fully_shard(linear, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
    fully_shard(body, mesh=mesh, reshard_after_forward=True)
    for name, tensor in stored.items():
        read_shard(model.get_parameter(name), tensor, device)
    if body.can_generate():
        register_fsdp_forward_method(body, "generate")


def read_shard(weight: Any, stored: Unread, device: torch.device) -> None:
    """Put this rank's rows of a tensor of a file into a sharded weight on the meta device."""
    shard = weight.to_local()
    start = weight.device_mesh.get_local_rank() * -(-len(weight) // weight.device_mesh.size())  # the last may have less
    rows = torch.empty(shard.shape, dtype=shard.dtype, device=device)
    if len(rows):
        rows.copy_(stored.read(start, start + len(rows)))
    local = DTensor.from_local(
        rows, weight.device_mesh, weight.placements, run_check=False, shape=weight.shape, stride=weight.stride()
    )
    torch.utils.swap_tensors(weight, nn.Parameter(local, weight.requires_grad))


def is_sharded(model: nn.Module) -> bool:
    """Whether the model is sharded among ranks."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def full_tensor(tensor: Tensor) -> Tensor:
    """The full tensor on every rank, also if it is sharded."""
    if not isinstance(tensor, DTensor):
        return tensor
    complete: Tensor = tensor.full_tensor()
    return complete


def gather_full(value: Any, world: World, *, copy: bool = False, reuse: Any = None) -> Any:
    """The same nested dicts and lists with full tensors; sharded ones arrive on the CPU of the main rank only.

    Tied tensors stay tied. `copy`: unsharded tensors are copied to the CPU of the main rank as well. `reuse` is an
    earlier result, which is overwritten: tensors that have the same shape again take its memory.
    """
    done: dict[int, Any] = {}

    def gather(value: Any, earlier: Any) -> Any:
        if isinstance(value, dict):
            parts = earlier if isinstance(earlier, dict) else {}
            return {key: gather(part, parts.get(key)) for key, part in value.items()}
        if isinstance(value, list):
            items = earlier if isinstance(earlier, list) and len(earlier) == len(value) else [None] * len(value)
            return [gather(part, item) for part, item in zip(value, items, strict=True)]
        if not isinstance(value, Tensor):
            return value
        if id(value) not in done:
            done[id(value)] = gather_tensor(value.detach(), earlier)
        return done[id(value)]

    def gather_tensor(tensor: Tensor, earlier: Any) -> Tensor | None:
        sharded = isinstance(tensor, DTensor)
        complete = full_tensor(tensor)  # one at a time: the full model may not fit on a device
        if not world.is_main:
            return None if sharded else tensor
        if isinstance(earlier, Tensor) and (earlier.shape, earlier.dtype) == (complete.shape, complete.dtype):
            return earlier.copy_(complete)
        if copy:
            return torch.empty(complete.shape, dtype=complete.dtype).copy_(complete)
        return complete.cpu() if sharded else complete

    return gather(value, reuse)


def shard_like(tensor: Tensor, like: Any) -> Tensor:
    """`tensor`, which every rank has, sharded as `like` is; or `tensor` itself, if it is sharded already."""
    if not isinstance(like, DTensor) or isinstance(tensor, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def require_devices(world: World, device: torch.device) -> None:
    """Raises UserError if the processes of this machine cannot each have a device of this type."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", world.size))
    if world.size > 1 and device.type == "mps":
        raise UserError("train.device: the processes of torchrun cannot share an Apple GPU: set it to cpu")
    if world.size > 1 and device.type == "cuda" and processes > torch.cuda.device_count():
        raise UserError(
            f"torchrun: {processes} processes were started for {torch.cuda.device_count()} GPUs: start one for each "
            f"with --nproc-per-node, or set train.device to cpu"
        )
