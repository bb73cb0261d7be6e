"""Addresses are read, their secrets kept, and the proxy found that leads to each."""

from base64 import b64decode

import pytest

from app.infra.http.endpoint import Endpoint, proxy_of


@pytest.mark.parametrize(
    ("url", "origin", "target", "named"),
    [
        ("http://Model", (False, "model", 80), "/", "model"),
        ("https://model/v1", (True, "model", 443), "/v1", "model"),
        ("https://model:8443/v1?a=b c", (True, "model", 8443), "/v1?a=b%20c", "model:8443"),
        ("http://model:80/ü%20/x#f", (False, "model", 80), "/%C3%BC%20/x", "model"),
        ("http://[::1]:8000/v1", (False, "::1", 8000), "/v1", "[::1]:8000"),
        (
            "http://bücher.example",
            (False, "xn--bcher-kva.example", 80),
            "/",
            "xn--bcher-kva.example",
        ),
    ],
)
def test_an_address_has_its_parts(url: str, origin: object, target: str, named: str) -> None:
    endpoint = Endpoint.of(url)
    assert (endpoint.origin, endpoint.target, endpoint.named) == (origin, target, named)


@pytest.mark.parametrize(
    "url",
    [
        *("", "model", "//model", "ftp://model", "http://", "http://me:secret@", "http://a..b"),
        *("http://me:secret/x@model", "http://model:99999", "http://[::secret", "http://mo del"),
    ],
)
def test_what_is_no_address_is_refused_and_not_told(url: str) -> None:
    with pytest.raises(ValueError, match="no address") as refused:
        Endpoint.of(url)
    assert "secret" not in str(refused.value)


def test_name_and_password_become_a_header_unless_a_key_is_given() -> None:
    url = "https://me:p%40ss@model"
    endpoint = Endpoint.of(url)
    assert b64decode(endpoint.user.removeprefix("Basic ")) == b"me:p@ss"
    assert endpoint.headers == f"Authorization: {endpoint.user}\r\n"
    keyed = Endpoint.of(url, {"Authorization": "Bearer sk-1"})
    assert keyed.headers == "Authorization: Bearer sk-1\r\n"
    assert not any(secret in repr(keyed) for secret in ("sk-1", "ss", endpoint.user))


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "\0", "ключ"])
def test_a_header_of_two_lines_or_no_ascii_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="header"):
        Endpoint.of("http://model", {"Authorization": value})


PROXIES = {"http": "http://proxy:3128", "https": "me:pass@secure:3129"}
DIRECT = {"no": "other, .example.com,model.test ,10.0.0.0/8,192.0.2.7,fd00::/8"}


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        *(("http://model", "proxy"), ("https://model", "secure"), ("http://8.8.8.8", "proxy")),
        *(("http://an-example.com", "proxy"), ("http://[2001:db8::1]", "proxy")),
        *(("http://10.1.2.3", None), ("http://192.0.2.7", None), ("http://[fd00::1]", None)),
        *(("https://model.test", None), ("https://a.model.test", None)),
        *(("https://example.com", None), ("https://a.example.com", None)),
        *(("http://localhost", None), ("http://127.0.0.2", None), ("http://[::1]", None)),
    ],
)
def test_a_proxy_leads_everywhere_but_to_what_is_listed(url: str, proxy: str | None) -> None:
    found = proxy_of(Endpoint.of(url), PROXIES | DIRECT)
    assert (found and found.host) == proxy


@pytest.mark.parametrize("proxies", [{}, {"http": ""}, {"all": "http://proxy", "no": "*"}])
def test_there_may_be_no_proxy(proxies: dict[str, str]) -> None:
    for url in ("http://model", "http://192.0.2.1"):
        assert proxy_of(Endpoint.of(url), proxies) is None


def test_one_proxy_may_lead_to_all_and_must_be_known() -> None:
    endpoint = Endpoint.of("https://model")
    found = proxy_of(endpoint, {"all": "proxy"})
    assert found
    assert found.origin == (False, "proxy", 80)
    with pytest.raises(ValueError, match="no address"):
        proxy_of(endpoint, {"all": "socks5://proxy"})
