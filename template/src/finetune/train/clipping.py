"""Gradient clipping, and the numbers of a step that all ranks must know: read from the device, and summed, at once."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from ..distributed.world import World


def clip_and_sum(
    parameters: Sequence[nn.Parameter], limit: float, world: World, loss: Tensor, *numbers: float
) -> list[float]:
    """Clip the gradients to a norm of `limit`. Returns their norm before, and `loss` and `numbers` as sums over ranks.

    A sharded model (FSDP2) has the norm of all shards. The only synchronization with the device in a step, and the only
    collective but for the gradients themselves and the weights of a sharded model.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    sharded = next((gradient for gradient in gradients if isinstance(gradient, DTensor)), None)
    norm = get_total_norm([grad.to_local() if isinstance(grad, DTensor) else grad for grad in gradients])
    own_loss, own_norm = torch.stack([loss, norm.to(loss)]).tolist()
    squares, *sums = world.reduce(own_norm * own_norm, own_loss, *numbers)
    if sharded is not None:
        own_norm = squares**0.5
        mesh = sharded.device_mesh
        norm = DTensor.from_local(norm.new_tensor(own_norm), mesh, [Replicate()] * mesh.ndim, run_check=False)
    clip_grads_with_norm_(parameters, limit, norm)
    return [own_norm, *sums]
