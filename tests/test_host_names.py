"""Lists of host names, addresses and networks."""

import pytest

from app.host_names import HostList, host_of, is_loopback

HOSTS = HostList.of("Chat.Example.org, *.example.com,10.0.0.0/8, [2001:db8::1],192.0.2.1,cache_1,")


@pytest.mark.parametrize(
    "host",
    [
        *("chat.example.org", "CHAT.example.ORG", "chat.example.org.", "a.example.com"),
        *("a.b.example.com", "10.1.2.3", "2001:db8::1", "2001:DB8:0::1", "192.0.2.1", "cache_1"),
    ],
)
def test_names_subdomains_addresses_and_networks_are_in_the_list(host: str) -> None:
    assert host in HOSTS


@pytest.mark.parametrize(
    "host",
    [
        *("", ".", "example.org", "example.com", "notexample.com", "chat.example.org.evil.test"),
        *("11.0.0.1", "192.0.2.2", "2001:db8::2", "10.1.2.3.evil.test", "[10.0.0.1"),
    ],
)
def test_other_hosts_are_not_in_the_list(host: str) -> None:
    assert host not in HOSTS
    assert host not in HostList.of("")


@pytest.mark.parametrize(
    "entry",
    [
        "http://a",
        "a:80",
        "a/b",
        "a b",
        "*",
        "*.",
        "a.*",
        "*a.b",
        "10.0.0.0/33",
        "1.2.3",
        "bücher.de",
    ],
)
def test_entries_that_are_not_hosts_are_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="is not a host name, an address or a network"):
        HostList.of(f"good.example, {entry}")


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        *(("a.example:80", "a.example"), ("a.example", "a.example"), ("10.0.0.1:", "10.0.0.1")),
        *(("[::1]:80", "::1"), ("[::1]", "::1"), ("", ""), (":80", "")),
        # Malformed, so that it is in no list.
        *(("[::1]a.example", "[::1]a.example"), ("::1", "::1"), ("a:b", "a:b"), ("[]", "[]")),
    ],
)
def test_the_host_of_an_authority_has_no_port_and_no_brackets(authority: str, host: str) -> None:
    assert host_of(authority) == host


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(("localhost", True), ("LOCALHOST", True), ("127.0.0.1", True), ("127.9.9.9", True)),
        *(("::1", True), ("", False), ("localhost.evil.test", False), ("128.0.0.1", False)),
        *(("10.0.0.1", False), ("0.0.0.0", False), ("127.0.0.1.evil.test", False)),  # noqa: S104
    ],
)
def test_only_localhost_and_loopback_addresses_are_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
