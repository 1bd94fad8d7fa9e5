"""URLs as they are shown and stored: without user, password and secret parameters. Standard library only."""

import re

URL = re.compile(r"\b([a-z][a-z0-9+.-]*://)([^\s'\"<>`]*)", re.IGNORECASE)
USER = re.compile(r"^[^/?#]*@")
SECRET = re.compile(
    r"(?<=[?&;#])([^=&;#]*(?:token|key|secret|passw|pwd|auth|sig|credential|session)[^=&;#]*)=[^&;#]*", re.IGNORECASE
)
"""A parameter whose name says that its value is a secret."""


def without_secrets(text: str) -> str:
    """The text with each URL in it as `scheme://host/path?parameter=…`."""
    return URL.sub(lambda url: url[1] + SECRET.sub(r"\1=…", USER.sub("", url[2])), text)


def origin(url: str) -> str:
    """`scheme://host:port` of a URL whose path is a secret, too, as those of webhooks are."""
    scheme, _, rest = without_secrets(url).partition("://")
    return f"{scheme}://{re.split('[/?#]', rest)[0]}"
