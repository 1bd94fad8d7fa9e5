"""How a model is spread over the processes: a replica on each (DDP), or cut up among them (FSDP2).

DDP averages the gradients of the replicas. FSDP2 keeps a part of each weight, its gradient and its optimizer's state on
each rank, and gathers a layer while it computes. Either way the names of the weights stay as they are.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from ..errors import UserError
from ..model.layers import find_layers, unwrap_model
from .world import World

Losses = tuple[Tensor, Tensor]
"""What to differentiate, and what to tell of it."""


class Replica(nn.Module):
    """What DDP is to see of a model: the weights that are trained, and a computation with them.

    So the loss is all that passes through DDP, neither the logits nor the buffers do, and whatever is called, is called
    on the model itself.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.trained = nn.ParameterList(parameter for parameter in model.parameters() if parameter.requires_grad)
        # DDP looks for weights that a pass has not reached, which some architectures have, and warns if it finds none.
        self.unreached = nn.Parameter(torch.zeros((), device=self.trained[0].device))

    def forward(self, compute: Callable[[], Losses]) -> Losses:
        """The losses of a micro-batch."""
        return compute()


def replicate(model: nn.Module) -> DistributedDataParallel:
    """Let the gradients of the model, which is on its device, be averaged over all ranks by `differentiate`."""
    return DistributedDataParallel(Replica(model), find_unused_parameters=True, gradient_as_bucket_view=True)


def shard(model: Any, world: World, device: torch.device) -> None:
    """Cut the model up among the ranks, in place; before there is an optimizer, and instead of moving it to the device.

    Raises UserError if its passes are not the same on all ranks.
    """
    body = unwrap_model(model)
    for name in ("layerdrop", "encoder_layerdrop", "decoder_layerdrop"):
        if getattr(body.config, name, 0):
            raise UserError(
                f"train.parallel: fsdp gathers every layer on all ranks at once, but a {body.config.model_type} model "
                f"leaves some out at random ({name} in its config): set it to ddp"
            )
    mesh = init_device_mesh(device.type, (world.size,))
    for module in (*find_layers(body).values(), body):
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
    if body.can_generate():
        register_fsdp_forward_method(body, "generate")


def is_sharded(model: nn.Module) -> bool:
    """Whether the model is cut up."""
    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def backward(replicas: DistributedDataParallel | None, compute: Callable[[], Losses], *, last: bool) -> Tensor:
    """Add the gradients of a micro-batch to those of its step, and return what there is to tell.

    With the `last` one, replicas exchange the sum of their gradients. Models that are cut up exchange those of each
    micro-batch: to hold them back would take the memory that was saved.
    """
    with replicas.no_sync() if replicas and not last else nullcontext():
        objective, loss = replicas(compute) if replicas else compute()
        objective.backward()
    told: Tensor = loss
    return told


def full_tensor(tensor: Tensor) -> Tensor:
    """The tensor on every rank, also where it is cut up."""
    if not isinstance(tensor, DTensor):
        return tensor
    complete: Tensor = tensor.full_tensor()
    return complete


def gather_full(value: Any, world: World) -> Any:
    """The same tensors, in dicts and lists, whole and on the CPU of the first rank, where they were cut up.

    Tensors that were one, such as tied weights, stay one.
    """
    done: dict[int, Any] = {}

    def gather(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: gather(part) for key, part in value.items()}
        if isinstance(value, list):
            return [gather(part) for part in value]
        if not isinstance(value, Tensor):
            return value
        if id(value) not in done:
            done[id(value)] = gather_tensor(value.detach())
        return done[id(value)]

    def gather_tensor(tensor: Tensor) -> Tensor | None:
        if not isinstance(tensor, DTensor):
            return tensor
        complete = full_tensor(tensor)  # one at a time: all of the model may not fit on a device
        return complete.cpu() if world.leads else None

    return gather(value)


def shard_like(tensor: Tensor, like: Any) -> Tensor:
    """`tensor`, which every rank has, cut up as `like` is."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
