"""The random numbers of a training: from the seed, and then for each rank its own."""

import random

import numpy as np
import torch

from ..distributed.world import World


def set_seed(seed: int) -> None:
    """Seed every random number generator."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def separate_random_numbers(seed: int, world: World) -> None:
    """From here on each rank draws its own random numbers, for dropout; the main rank continues with its own."""
    if not world.is_main:
        torch.manual_seed(seed + (world.rank << 32))
