"""OpenAI's `/v1/models`."""

from typing import Any

from fastapi import APIRouter

from ..limits import Problem
from ..service import Service


def add_models(router: APIRouter, service: Service) -> None:
    """Add the routes that name the one model."""
    model = {"id": service.name, "object": "model", "created": service.created, "owned_by": "finetune"}

    @router.get("/v1/models")
    async def models() -> Any:
        """The one model."""
        return {"object": "list", "data": [model]}

    @router.get("/v1/models/{name}")
    async def one_model(name: str) -> Any:
        """The one model."""
        if name != service.name:
            raise Problem(404, "not-found", f"there is no model of this name: take {service.name}")
        return model
