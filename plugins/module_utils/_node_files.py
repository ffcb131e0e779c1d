# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads and writes the configuration of a node's links: own files, whole or not at all, and what netplan makes of them.

Private to this collection: no promise is made to other users. Standard library only, and for Python 3.8.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ansible_collections.kubeovn.core.plugins.module_utils import _node_config
from ansible_collections.kubeovn.core.plugins.module_utils._node_config import File

if TYPE_CHECKING:  # Python 3.8 cannot subscript it
    from collections.abc import Callable

    from ansible_collections.kubeovn.core.plugins.module_utils._node_config import Files

    Run = Callable[..., tuple[int, str, str]]  # AnsibleModule.run_command

# What writes networkd's files for `netplan generate`, which would also reload systemd and so write every link's file.
GENERATORS = ("/usr/libexec/netplan/", "/usr/lib/netplan/", "/lib/netplan/")
YAML = ("/lib/netplan", _node_config.NETPLAN, "/run/netplan")  # where netplan looks for files
ROOT = ""  # the node's own root


class RefusedError(Exception):
    """It cannot be done, and why; nothing was written."""


def read(path: str) -> File | None:
    """A file as it is; None: there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            status = os.fstat(file.fileno())
            return File(file.read(), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
    except FileNotFoundError:
        return None


def own(nic: str) -> Files:
    """Our own files for this NIC, whichever manager they are for."""
    folders = [
        _node_config.NETWORKD,
        f"{_node_config.NETWORKD}/10-netplan-{nic}.network.d",
        _node_config.NETPLAN,
        _node_config.KEYFILES,
        _node_config.INTERFACES,
    ]
    paths = [path for folder in folders for path in glob.glob(f"{glob.escape(folder)}/*kubeovn*")]
    found = {path: read(path) for path in paths if _node_config.is_own(path, nic)}
    return {path: file for path, file in found.items() if file is not None}


def write(path: str, file: File) -> None:
    """Whole or not at all, also when the machine loses its power."""
    folder = os.path.dirname(path)
    os.makedirs(folder, mode=0o755, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".kubeovn-", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as out:
            out.write(file.text)
            out.flush()
            os.fchmod(out.fileno(), file.mode)
            os.fchown(out.fileno(), file.owner, file.group)
            os.fsync(out.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def remove(path: str) -> None:
    """Remove a file, and the folder of a drop-in that it leaves empty."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    if os.path.dirname(path).endswith(".d") and os.path.dirname(path) != _node_config.INTERFACES:
        with contextlib.suppress(OSError):  # somebody else's drop-ins are there
            os.rmdir(os.path.dirname(path))


def generator() -> str:
    """netplan's program that makes networkd's files."""
    names = [folder + name for folder in GENERATORS for name in ("configure", "generate")]
    found = next((name for name in names if os.path.exists(name)), None)
    if found is None:
        raise RefusedError("manager: netplan is not installed on this node; set manager: networkd")
    return found


def generated(run: Run, wanted: Files, gone: Iterable[str], links: Iterable[str]) -> Mapping[str, File | None]:
    """What netplan makes for these links of all its files with ours written and those that go gone; None: no file.

    Tried out in a folder of its own: the rules of a file come from all files together, and a broken one would leave
    the node without network at its next boot.
    """
    program = generator()
    with tempfile.TemporaryDirectory() as root:
        for folder in YAML:
            if os.path.isdir(ROOT + folder):
                shutil.copytree(ROOT + folder, root + folder)
        os.makedirs(root + _node_config.NETPLAN, exist_ok=True)
        for path in gone:
            if os.path.exists(root + path):
                os.unlink(root + path)
        for path, file in wanted.items():
            if path.startswith(_node_config.NETPLAN):
                write(root + path, file)
        code, out, err = run([program, "--root-dir", root])
        if code != 0:
            raise RefusedError(
                "manager: netplan refuses its configuration with the NIC's file added, "
                f"which was therefore not written: {(err or out).strip()}"
            )
        before = {path: None for link in links for path in _generated_of("", link)}
        found = {path[len(root) :]: read(path) for link in links for path in _generated_of(root, link)}
    ours = {path: file for path, file in wanted.items() if path.startswith(_node_config.NETPLAN)}
    if ours:
        _refuse_mixed(run, program, ours, links, found)
    return {**before, **found}


def _refuse_mixed(run: Run, program: str, ours: Files, links: Iterable[str], found: Mapping[str, File | None]) -> None:
    """End where other files say more of these links: netplan merges what all files say of a link."""
    with tempfile.TemporaryDirectory() as root:
        for path, file in ours.items():
            write(root + path, file)
        run([program, "--root-dir", root])
        # A bond that is there already is others' to make, and only its use is ours to say.
        makes = _node_config.makes_bond({path: file.text for path, file in ours.items()})
        for link in links:
            names = _names_of(link)[: 2 if makes else 1]
            alone = [read(f"{root}{_node_config.GENERATED}/{name}") for name in names]
            mixed = [file for path, file in found.items() if os.path.basename(path) in names]
            more = _settings(mixed) - _settings(alone)
            if more:
                raise RefusedError(
                    f"manager: netplan would mix what {_who_names(link, ours)} says of {link} with the NIC's file: "
                    f"{', '.join(sorted(more))}. Take it out of there"
                )


def _settings(files: Iterable[File | None]) -> set[str]:
    """What networkd's files say; how they find their link is left out: a name and an address may mean the same."""
    found, section = set(), ""
    for line in (line.strip() for file in files if file is not None for line in file.text.splitlines()):
        if line.startswith("["):
            section = line
        elif "=" in line and section != "[Match]" and not line.startswith("#"):
            found.add(line)
    return found


def _who_names(link: str, ours: Files) -> str:
    """netplan's other files that name this link."""
    paths = [path for folder in YAML for path in sorted(glob.glob(f"{ROOT}{folder}/*.yaml")) if path not in ours]
    texts = {path: file.text for path in paths for file in [read(path)] if file is not None}
    named = [path for path, text in texts.items() if re.search(rf"(?<![\w.-]){re.escape(link)}(?![\w.-])", text)]
    return " and ".join(named) or "another file"


def generated_now(links: Iterable[str]) -> Files:
    """What netplan has made for these links."""
    found = {path: read(path) for link in links for path in _generated_of("", link)}
    return {path: file for path, file in found.items() if file is not None}


def _generated_of(root: str, link: str) -> list[str]:
    """The files that netplan has made for a link."""
    paths = [f"{root}{_node_config.GENERATED}/{name}" for name in _names_of(link)]
    return [path for path in paths if os.path.exists(path)]


def _names_of(link: str) -> list[str]:
    return [f"10-netplan-{link}{ending}" for ending in (".network", ".netdev", ".link")]
