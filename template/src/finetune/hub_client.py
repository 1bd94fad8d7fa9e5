"""Requests to the Hugging Face Hub, without retries: a misspelled model name must fail at once."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from huggingface_hub import HfApi, constants, try_to_load_from_cache
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    HTTPError,  # that of the HTTP library, which differs between versions of the hub
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .errors import UserError
from .urls import without_secrets

HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
OFFLINE = "check the network, set HF_ENDPOINT to a mirror, name a local folder, or use tiny:bert"
TIMEOUT = 20
"""Timeout of a request, in seconds."""


def require_on_hub(name: str, revision: str | None) -> None:
    """Raise UserError with the reason if a model is neither in the local cache nor available on the Hub."""
    with hub_errors("model.name", name, revision, remedy=OFFLINE):
        if isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str):
            return
        if constants.HF_HUB_OFFLINE:
            raise UserError(
                f"model.name: '{name}' is neither a local folder nor in the cache, and HF_HUB_OFFLINE is set: unset "
                f"it, name a local folder, or use tiny:bert"
            )
        HfApi().model_info(name, revision=revision, timeout=TIMEOUT)


@contextmanager
def hub_errors(
    place: str, name: str, revision: str | None, remedy: str, *, kind: Literal["model", "dataset"] = "model"
) -> Iterator[None]:
    """Turn errors of the Hub and of the connection into a UserError about `place`; `remedy` is for the connection."""
    try:
        yield
    except GatedRepoError as error:
        raise UserError(
            f"{place}: '{name}' is gated: accept its terms on the Hub and log in with `hf auth login`"
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(
            f"{place}: '{name}' has no revision '{revision}': correct the revision, or leave it out"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        public, example = "neither a local folder nor a public model", "google-bert/bert-base-cased"
        if kind == "dataset":
            public, example = "no public dataset", "stanfordnlp/imdb"
        raise UserError(
            f"{place}: '{name}' is {public} on the Hub: check the spelling (such as {example}), or log in with "
            f"`hf auth login` if it is private"
        ) from error
    except (HTTPError, OSError) as error:
        raise UserError(
            f"{place}: '{name}' cannot be downloaded: {endpoint()} cannot be reached ({first_line(error)}): {remedy}"
        ) from error


def first_line(error: Exception) -> str:
    """The first line of an exception's message, or its type if it has none; without the secrets of URLs."""
    return without_secrets((str(error).strip() or type(error).__name__).splitlines()[0])


def endpoint() -> str:
    """The address of the Hub or of its mirror, which may hold a password, as it is shown."""
    return without_secrets(constants.ENDPOINT)
