"""URLs are shown without what only their owner may know."""

import pytest

from finetune.urls import origin, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host/path", "https://host/path"),
        ("https://user:secret@host:8080/a@b", "https://host:8080/a@b"),
        ("https://user@host", "https://host"),
        ("https://us:p@ss:w@rd@host/x", "https://host/x"),
        ("http://secret@[::1]:80/?a=b", "http://[::1]:80/?a=b"),
        ("HTTPS://U:secret@HOST", "HTTPS://HOST"),
        ("socks5h://u:secret@proxy:1080", "socks5h://proxy:1080"),
        ("git+https://u:secret@host/x.git@main", "git+https://host/x.git@main"),
        ("https://host/x?token=secret&b=1", "https://host/x?token=…&b=1"),
        ("https://host/x?a=1&X-Amz-Signature=secret#k", "https://host/x?a=1&X-Amz-Signature=…#k"),
        ("https://host/#access_token=secret", "https://host/#access_token=…"),
        ("https://host?api-key=secret;b=2", "https://host?api-key=…;b=2"),
        (
            "two: https://a:secret@b and (http://c:secret@d/e?password=secret)",
            "two: https://b and (http://d/e?password=…",
        ),
        ("user@host wrote to a://b", "user@host wrote to a://b"),
        ("no address", "no address"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_secrets(text: str, shown: str) -> None:
    assert without_secrets(text) == shown
    assert "secret" not in shown
    assert without_secrets(shown) == shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@hooks.example:8443/services/T0/secret?x=secret", "https://hooks.example:8443"),
        ("http://127.0.0.1?secret", "http://127.0.0.1"),
        ("http://[::1]:80/secret", "http://[::1]:80"),
    ],
)
def test_the_origin_has_no_path(url: str, shown: str) -> None:
    assert origin(url) == shown
