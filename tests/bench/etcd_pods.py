# SPDX-License-Identifier: GPL-3.0-or-later
"""Very many pods put straight into the lab's etcd, since making them through the API takes minutes; and taken away.

Usage: etcd_pods.py fill NAMESPACE COUNT UID | empty NAMESPACE, in the namespace of etcd's network. The API server has
made the first pod, whose uid that is, and all others are what it stored of that one, with names, addresses and uids of
their own, which are as long.
"""

from __future__ import annotations

import http.client
import json
import sys
import uuid
from base64 import b64decode, b64encode
from typing import Any

ETCD = ("127.0.0.1", 2379)
BATCH = 100  # objects in one transaction: etcd takes 128


def name_of(number: int) -> str:
    """The name of a pod: equally long for all."""
    return f"holder-{number:05}"


def address_of(number: int) -> str:
    """The overlay address of a pod: equally long for all."""
    return f"10.{200 + number // 10_000}.{100 + number // 100 % 100}.{100 + number % 100}"


class Etcd:
    """One kept connection to etcd's JSON gateway."""

    def __init__(self) -> None:
        self._connection = http.client.HTTPConnection(*ETCD, timeout=60)

    def ask(self, method: str, **body: Any) -> dict[str, Any]:
        """The answer to a request."""
        self._connection.request("POST", f"/v3/kv/{method}", json.dumps(body))
        response = self._connection.getresponse()
        text = response.read()
        if response.status != http.client.OK:
            raise OSError(f"etcd: {method}: {response.status} {text[:200]!r}")
        answer: dict[str, Any] = json.loads(text)
        return answer


def coded(text: str | bytes) -> str:
    """As the gateway takes keys and values."""
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


def fill(namespace: str, count: int, uid: str) -> None:
    """Pods number 1 to count - 1, by the likeness of number 0."""
    etcd, prefix = Etcd(), f"/registry/pods/{namespace}/"
    [first] = etcd.ask("range", key=coded(prefix + name_of(0)))["kvs"]
    value = b64decode(first["value"])
    for word in (name_of(0), address_of(0), uid):
        if word.encode() not in value:
            raise ValueError(f"{word} is not in what the API server has stored")

    def put(number: int) -> dict[str, Any]:
        like = value
        pairs = ((name_of(0), name_of(number)), (address_of(0), address_of(number)), (uid, str(uuid.uuid4())))
        for old, new in pairs:
            like = like.replace(old.encode(), new.encode())
        return {"requestPut": {"key": coded(prefix + name_of(number)), "value": coded(like)}}

    for start in range(1, count, BATCH):
        etcd.ask("txn", success=[put(number) for number in range(start, min(start + BATCH, count))])


def empty(namespace: str) -> None:
    """All pods of the namespace go at once: nothing runs in them."""
    prefix = f"/registry/pods/{namespace}/"
    Etcd().ask("deleterange", key=coded(prefix), range_end=coded(prefix[:-1] + chr(ord(prefix[-1]) + 1)))


if __name__ == "__main__":
    verb, space, *rest = sys.argv[1:]
    if verb == "fill":
        fill(space, int(rest[0]), rest[1])
    else:
        empty(space)
