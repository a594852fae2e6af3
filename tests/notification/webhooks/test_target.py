"""Where webhooks may go: strictly read addresses on the public internet, and nowhere else."""

from __future__ import annotations

import pytest

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import load
from services.notification.webhooks.target import Forbidden, Gate, Target, Unresolved, gate_of, look_up

GATE = Gate()
PUBLIC = "93.184.216.34"


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://hooks.partner.example", Target("hooks.partner.example", 443, "/", True)),
        ("https://Hooks.Partner.example/a/b?c=d&e=%20", Target("hooks.partner.example", 443, "/a/b?c=d&e=%20", True)),
        ("https://partner.example:8443/", Target("partner.example", 8443, "/", True)),
        ("https://xn--bcher-kva.example/x", Target("xn--bcher-kva.example", 443, "/x", True)),
        ("https://partner.example?x=1", Target("partner.example", 443, "/?x=1", True)),
        ("https://partner.example/@me", None),
    ],
)
def test_an_ordinary_address_is_taken_apart(url: str, target: Target | None) -> None:
    if target is None:
        with pytest.raises(Forbidden):
            GATE.parse(url)
    else:
        assert GATE.parse(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.partner.example",
        "http://partner.example/",
        "ftp://partner.example/",
        "file:///etc/passwd",
        "gopher://partner.example/",
        "//partner.example/",
        "https:partner.example",
        "https:///partner.example",
        "https://",
        "https://user@partner.example/",
        "https://user:password@partner.example/",
        "https://partner.example@127.0.0.1/",
        "https://127.0.0.1#@partner.example/",
        "https://partner.example\\@127.0.0.1/",
        "https://partner.example\\.evil.example/",
        "https://partner.example/a\\b",
        "https://partner.example/#fragment",
        "https://partner.example/a b",
        "https://partner.example/\n",
        "https://partner.example/\r\nHost: evil",
        "https://partner.example\n",
        "\nhttps://partner.example/",
        "https://partner.example\t/",
        "https://partner.example\x00/",
        "https://partner.example./",
        "https://.partner.example/",
        "https://partner..example/",
        "https://-partner.example/",
        "https://partner_.example/",
        "https://localhost/",
        "https://postgres/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://0177.0.0.1/",
        "https://0x7f.0.0.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://0/",
        "https://169.254.169.254/latest/meta-data/",
        f"https://{PUBLIC}/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[fe80::1%25eth0]/",
        "https://partner.example:22/",
        "https://partner.example:80/",
        "https://partner.example:0/",
        "https://partner.example:65979/",
        "https://partner.example:443443/",
        "https://partner.example:/",
        "https://partner.example:-1/",
        "https://partner.example:443:22/",
        "https://partner.example:٤٤٣/",
        "https://bücher.example/",
        "https://partner。example/",
        "https://①②⑦.0.0.1/",
        f"https://partner.example/{'a' * 1000}",
        f"https://{'a' * 64}.example/",
        "https://%31%32%37.0.0.1/",
    ],
)
def test_an_address_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(Forbidden):
        GATE.parse(url)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1"),
        *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "::ffff:127.0.0.1", "::ffff:93.184.216.34", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b:1::1"),
        *("100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "fc00::1", "fd12::1", "fe80::1"),
        *("fe80::1%eth0", "fec0::1", "ff02::1", "5f00::1"),
    ],
)
def test_an_address_off_the_public_internet_is_refused_alone_and_among_public_ones(address: str) -> None:
    for found in ([address], [PUBLIC, address], [address, "2606:4700::1"]):
        with pytest.raises(Forbidden):
            GATE.admit(found)


def test_public_addresses_are_admitted_each_once() -> None:
    assert GATE.admit([PUBLIC, "2606:4700::1", PUBLIC, "172.32.0.1"]) == [PUBLIC, "2606:4700::1", "172.32.0.1"]


def test_no_address_is_no_permission() -> None:
    with pytest.raises(Forbidden):
        GATE.admit([])


def test_the_insecure_gate_opens_to_this_machine_and_private_networks_and_no_further() -> None:
    gate = Gate(insecure=True)
    assert gate.parse("http://localhost:9000/x") == Target("localhost", 9000, "/x", False)
    assert gate.parse("http://127.0.0.1/") == Target("127.0.0.1", 80, "/", False)
    assert gate.admit(["127.0.0.1", "::1", "10.0.0.1"])
    for address in ("169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0"):
        with pytest.raises(Forbidden):
            gate.admit([address])
    for url in ("http://[::1]/", "http://u@localhost/", "http://2130706433/"):
        with pytest.raises(Forbidden):
            gate.parse(url)


def test_a_name_of_this_machine_resolves_to_what_is_refused() -> None:
    with pytest.raises(Forbidden):
        GATE.admit(look_up("localhost", 443, 10))


def test_a_name_without_address_is_said_to_have_none() -> None:
    with pytest.raises(Unresolved):
        look_up("hooks.partner.invalid", 443, 10)


def test_a_resolver_that_takes_its_time_is_not_waited_for() -> None:
    with pytest.raises(Unresolved):
        look_up("hooks.partner.invalid", 443, 0)


def test_ports_and_openness_are_settings() -> None:
    assert gate_of(load({}, {}).settings) == Gate(frozenset((443, 8443)), False)
    set_otherwise = load({"webhook_ports": "443, 9443", "webhook_allow_insecure": True}, {}).settings
    assert gate_of(set_otherwise) == Gate(frozenset((443, 9443)), True)
    with pytest.raises(UsageError):
        gate_of(load({"webhook_ports": "https"}, {}).settings)
