# SPDX-License-Identifier: GPL-3.0-or-later
"""List and watch one kind of object, and call back with the key of each that changed; plus a work queue for keys."""

from __future__ import annotations

import threading
import time
import traceback
from typing import Callable, Dict, Iterable, Optional

from .api import Api, ApiError, Object, log

RETRY_SECONDS = 0.5


def key_of(item: Object) -> str:
    return "%s/%s" % (item["metadata"].get("namespace", ""), item["metadata"]["name"])


class Informer(threading.Thread):
    """A cache that a watch keeps fresh. `known` are keys to call back for at first even if they are no more."""

    def __init__(self, api: Api, path: str, changed: Callable[[str], None], known: Iterable[str] = ()) -> None:
        super().__init__(daemon=True)
        self._api = api
        self._path = path
        self._changed = changed
        self._known = set(known)
        self._cache: Dict[str, Object] = {}
        self._said = ""

    def get(self, key: str) -> Optional[Object]:
        return self._cache.get(key)

    def values(self) -> "list[Object]":
        return list(self._cache.values())

    def run(self) -> None:
        while True:
            try:
                version = self._list()
                while version:
                    version = self._follow(version)
            except (ApiError, OSError, ValueError) as error:
                # Not there yet, or gone for a while: the machine may well boot before the API server.
                if str(error) != self._said:
                    log("watching %s: %s" % (self._path.partition("?")[0], error))
                self._said = str(error)
                time.sleep(RETRY_SECONDS)

    def _list(self) -> str:
        answer = self._api.request("GET", self._path)
        found = {key_of(item): item for item in answer.get("items") or []}
        keys = set(self._cache) | set(found) | self._known
        self._cache, self._known, self._said = found, set(), ""
        for key in keys:
            self._changed(key)
        version: str = answer["metadata"]["resourceVersion"]
        return version

    def _follow(self, version: str) -> str:
        """One watch; the version to go on from, or an empty string when everything must be listed again."""
        for event in self._api.watch(self._path, version):
            item = event["object"]
            if event["type"] == "ERROR":
                return ""
            version = item["metadata"]["resourceVersion"]
            if event["type"] == "BOOKMARK":
                continue
            key = key_of(item)
            if event["type"] == "DELETED":
                self._cache.pop(key, None)
            else:
                self._cache[key] = item
            self._changed(key)
        return version


class Queue:
    """Keys to work on: each by one thread at a time, again when it changed meanwhile, later when it failed."""

    def __init__(self, work: Callable[[str], None], threads: int) -> None:
        self._work = work
        self._ready = threading.Condition()
        self._waiting: "dict[str, float]" = {}
        self._busy: "set[str]" = set()
        for _number in range(threads):
            threading.Thread(target=self._loop, daemon=True).start()

    def add(self, key: str, delay: float = 0.0) -> None:
        with self._ready:
            due = time.monotonic() + delay
            self._waiting[key] = min(due, self._waiting.get(key, due))
            self._ready.notify()

    def _take(self) -> str:
        with self._ready:
            while True:
                now = time.monotonic()
                free = [(due, key) for key, due in self._waiting.items() if key not in self._busy]
                if free and min(free)[0] <= now:
                    key = min(free)[1]
                    del self._waiting[key]
                    self._busy.add(key)
                    return key
                self._ready.wait(min(free)[0] - now if free else None)

    def _loop(self) -> None:
        while True:
            key = self._take()
            try:
                self._work(key)
            except Exception as error:  # one pod's trouble must not end the others
                log("%s: %s" % (key, error))
                if not isinstance(error, (ApiError, OSError, RuntimeError)):
                    traceback.print_exc()
                self.add(key, RETRY_SECONDS)
            finally:
                with self._ready:
                    self._busy.discard(key)
                    self._ready.notify_all()
