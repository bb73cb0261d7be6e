"""URLs are parsed without exposing their secrets, and each finds its proxy."""

from base64 import b64decode

import pytest

from app.infra.http.endpoint import Endpoint, api_url, proxy_for


@pytest.mark.parametrize(
    ("url", "origin", "target", "host_header"),
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
def test_a_url_is_split_into_its_parts(
    url: str, origin: object, target: str, host_header: str
) -> None:
    endpoint = Endpoint.of(url)
    assert (endpoint.origin, endpoint.target, endpoint.host_header) == (origin, target, host_header)


@pytest.mark.parametrize(
    "url",
    [
        *("", "model", "//model", "ftp://model", "http://", "http://me:secret@", "http://a..b"),
        *("http://me:secret/x@model", "http://model:99999", "http://[::secret", "http://mo del"),
    ],
)
def test_an_invalid_url_is_rejected_without_being_quoted(url: str) -> None:
    with pytest.raises(ValueError, match="not an http or https URL") as rejected:
        Endpoint.of(url)
    assert "secret" not in str(rejected.value)


def test_user_and_password_become_a_header_unless_a_key_is_given() -> None:
    url = "https://me:p%40ss@model"
    endpoint = Endpoint.of(url)
    assert b64decode(endpoint.basic_auth.removeprefix("Basic ")) == b"me:p@ss"
    assert f"Authorization: {endpoint.basic_auth}\r\n" in endpoint.headers
    keyed = Endpoint.of(url, {"Authorization": "Bearer sk-1"})
    assert "Authorization: Bearer sk-1\r\n" in keyed.headers
    assert "Basic" not in keyed.headers
    assert not any(secret in repr(keyed) for secret in ("sk-1", "ss", endpoint.basic_auth))


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "\0", "ключ"])
def test_a_header_of_two_lines_or_not_ascii_is_rejected(value: str) -> None:
    with pytest.raises(ValueError, match="header"):
        Endpoint.of("http://model", {"Authorization": value})


def test_a_header_replaces_the_default_of_its_name_and_none_removes_it() -> None:
    headers = {"accept": "text/event-stream", "User-Agent": None, "X-A": "1", "x-a": "2"}
    assert Endpoint.of("http://model", headers).headers.split("\r\n") == [
        *("accept: text/event-stream", "Accept-Encoding: identity", "x-a: 2", "")
    ]


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("http://h", "http://h/chat"),
        ("http://h/v1//", "http://h/v1/chat"),
        ("http://h/v1/chat", "http://h/v1/chat"),
        ("http://h/v1/chat/", "http://h/v1/chat"),
        ("http://me:pw@h/v1?version=1/2#x", "http://me:pw@h/v1/chat?version=1/2"),
        ("http://h/v1/chat/?version=1", "http://h/v1/chat?version=1"),
    ],
)
def test_the_path_of_an_api_is_added_unless_the_base_url_has_it(base_url: str, url: str) -> None:
    assert api_url(base_url, "/chat") == url


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/x?a=b", "/v2/x?a=b"),
        ("y", "/v1/y"),
        ("https://MODEL/z", "/z"),
        ("https://model:443/z", "/z"),
        *((other, None) for other in ("http://model/z", "https://a.model/z", "//other/z")),
        *((other, None) for other in ("https://model:8443/z", "http://[::", "mailto:x")),
    ],
)
def test_a_redirect_keeps_the_headers_and_the_origin(location: str, target: str | None) -> None:
    endpoint = Endpoint.of("https://model/v1/chat", {"X-Key": "k"})
    found = endpoint.redirect(location)
    assert (found and found.target) == target
    assert found is None or found.headers == endpoint.headers


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
def test_the_proxy_is_used_except_for_no_proxy_entries_and_loopback(
    url: str, proxy: str | None
) -> None:
    found = proxy_for(Endpoint.of(url), PROXIES | DIRECT)
    assert (found and found.host) == proxy


@pytest.mark.parametrize("proxies", [{}, {"http": ""}, {"all": "http://proxy", "no": "*"}])
def test_without_a_proxy_or_with_no_proxy_all_connections_are_direct(
    proxies: dict[str, str],
) -> None:
    for url in ("http://model", "http://192.0.2.1"):
        assert proxy_for(Endpoint.of(url), proxies) is None


def test_all_proxy_applies_to_every_scheme_and_must_be_an_http_proxy() -> None:
    endpoint = Endpoint.of("https://model")
    found = proxy_for(endpoint, {"all": "proxy"})
    assert found
    assert found.origin == (False, "proxy", 80)
    with pytest.raises(ValueError, match="not an http or https URL"):
        proxy_for(endpoint, {"all": "socks5://proxy"})
