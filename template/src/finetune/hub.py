"""The Hugging Face Hub, asked once and at once: a name that is not there must not cost a minute of retries."""

from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HTTPError,  # that of the HTTP library, which differs between versions of the hub
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .errors import UserError

PATIENCE = 20
"""Seconds to wait for the Hub's answer."""


def require_on_hub(name: str, revision: str | None) -> None:
    """Raise UserError with the reason if a model is neither in the local cache nor to be had from the Hub."""
    if isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
        return
    if constants.HF_HUB_OFFLINE:
        raise UserError(
            f"model.name: '{name}' is no folder here and not in the cache, and HF_HUB_OFFLINE forbids to fetch it: "
            f"name a local folder, or use tiny:bert"
        )
    try:
        HfApi().model_info(name, revision=revision, timeout=PATIENCE)
    except GatedRepoError as error:
        raise UserError(
            f"model.name: '{name}' is gated: accept its terms on the Hub and log in with `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(f"model.revision: '{name}' has no revision '{revision}': look it up on the Hub") from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"model.name: '{name}' is neither a folder here nor a public model on the Hub: check the spelling "
            f"(such as google-bert/bert-base-cased), or log in with `hf auth login` if it is private"
        ) from error
    except (HTTPError, OSError) as error:
        raise UserError(
            f"model.name: '{name}' is no folder here, and {constants.ENDPOINT} cannot be reached ({error}): check the "
            f"network, name a local folder, or use tiny:bert"
        ) from error
