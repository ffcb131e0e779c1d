# SPDX-License-Identifier: GPL-3.0-or-later
"""The OVSDB client over TLS: the server's certificate is verified, and the client shows its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.kubeovn.core.plugins.module_utils._cluster import Cluster, open_cluster
from ansible_collections.kubeovn.core.plugins.module_utils._northbound import open_ovn
from ansible_collections.kubeovn.core.plugins.module_utils._ovsdb import (
    NB_DATABASE,
    OvsdbError,
    Tls,
    Unreachable,
    connect,
)
from support.ovn_site import fill_northbound, fill_southbound
from support.ovsdb import OvsdbServer
from support.pki import Authority

Make = Callable[..., OvsdbServer]


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


@pytest.fixture
def endpoint(make_ovsdb: Make, ca: Authority) -> str:
    certificate, key = ca.issue("ovnnb")
    files = [f"--private-key={key}", f"--certificate={certificate}", f"--ca-cert={ca.certificate}"]
    server = make_ovsdb(options=["--remote=pssl:0:127.0.0.2", *files])
    return f"ssl:127.0.0.2:{server.ports('127.0.0.2')[0]}"


def tls(ca: Authority, signer: Authority | None = None) -> Tls:
    """Trust one authority, and show a certificate that it, or another, signed."""
    certificate, key = (signer or ca).issue("client")
    return Tls(str(ca.certificate), str(certificate), str(key))


def test_rows_over_tls(endpoint: str, ca: Authority) -> None:
    client = connect(endpoint, NB_DATABASE, 5, tls=tls(ca))
    wide = "x" * 100_000
    for name in ("a", "b"):
        client.transact([{"op": "insert", "table": "Logical_Switch", "row": {"name": name + wide}}])
    assert sorted(row["name"] for row in client.select("Logical_Switch", ["name"])) == ["a" + wide, "b" + wide]


@pytest.mark.parametrize("way", ["auto", "tcp"])
def test_a_modules_options_lead_over_tls_past_a_dead_endpoint_to_the_one_that_answers(
    endpoint: str, ca: Authority, way: str
) -> None:
    shown = tls(ca)
    files = {"ovn_ca_cert": shown.ca_cert, "ovn_client_cert": shown.client_cert, "ovn_client_key": shown.client_key}
    places = f"ssl:[::1]:1,{endpoint}"
    options = {"ovn_connection": way, "nb_endpoint": places, "sb_endpoint": places, **files}
    northbound = open_ovn(options, unasked())
    fill_northbound(northbound.nb, [("10.4.19.101", "10.253.0.11")])
    fill_southbound(northbound.sb)
    assert [rule.external_ip for rule in northbound.observe().nat_rules] == ["10.4.19.101"]
    with pytest.raises(OvsdbError, match="ovn_ca_cert: missing"):
        open_ovn({**options, "ovn_ca_cert": ""}, unasked())


def unasked() -> Cluster:
    """A cluster that nothing is asked of."""
    return open_cluster({"host": "https://127.0.0.1:1", "api_key": "none"})


def test_a_wait_over_tls(endpoint: str, ca: Authority) -> None:
    client = connect(endpoint, NB_DATABASE, 5, tls=tls(ca))
    assert client.wait_until([("Logical_Switch", ["name"], ())], lambda rows: rows[0], 0.2) == []
    client.transact([{"op": "insert", "table": "Logical_Switch", "row": {"name": "a"}}])
    assert client.wait_until([("Logical_Switch", ["name"], ())], lambda rows: rows[0], 5) == [{"name": "a"}]


def test_a_server_of_another_authority_is_refused(endpoint: str, tmp_path: Path, ca: Authority) -> None:
    other = Authority(tmp_path, "other")
    with pytest.raises(Unreachable, match=r"nb_endpoint: cannot connect to ssl:.*certificate verify failed"):
        connect(endpoint, NB_DATABASE, 5, "nb_endpoint", tls(other, ca))


def test_a_client_of_another_authority_is_refused(endpoint: str, tmp_path: Path, ca: Authority) -> None:
    with pytest.raises(Unreachable, match=r"unknown ca|lost"):
        connect(endpoint, NB_DATABASE, 5, tls=tls(ca, Authority(tmp_path, "other")))


def test_plain_text_and_tls_do_not_meet(endpoint: str, ovsdb: OvsdbServer, ca: Authority) -> None:
    with pytest.raises(Unreachable):
        connect(endpoint.replace("ssl:", "tcp:"), NB_DATABASE, 2)
    with pytest.raises(Unreachable):
        connect(ovsdb.tcp.replace("tcp:", "ssl:"), NB_DATABASE, 2, tls=tls(ca))


@pytest.mark.parametrize(
    ("files", "option"),
    [
        ((), "ovn_ca_cert"),
        (("ca", "cert"), "ovn_client_key"),
        (("ca", "", "key"), "ovn_client_cert"),
        (("/nowhere",), "ovn_ca_cert"),
        (("ca", "/nowhere", "key"), "ovn_client_cert"),
        (("ca", "cert", "other key"), "ovn_client_cert"),
        (("ca", "cert", "encrypted"), "ovn_client_cert"),
        (("key",), "ovn_ca_cert"),
    ],
)
def test_files_that_do_not_serve_are_named(ca: Authority, files: tuple[str, ...], option: str) -> None:
    certificate, key = ca.issue("client")
    known = {"ca": ca.certificate, "cert": certificate, "key": key, "other key": ca.issue("other")[1]}
    known["encrypted"] = ca.issue("locked", password=b"secret")[1]
    with pytest.raises(OvsdbError, match=f"^{option}: ") as caught:
        connect("ssl:127.0.0.1:1", NB_DATABASE, 1, tls=Tls(*(str(known.get(name, name)) for name in files)))
    assert caught.value.path == option


def test_an_ssl_endpoint_is_refused_where_no_files_can_be_given() -> None:
    with pytest.raises(OvsdbError, match=r"ssl endpoints are not supported here .*ovn_connection: exec"):
        connect("ssl:10.0.0.1:6641", NB_DATABASE, 1)
