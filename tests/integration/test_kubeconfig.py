# SPDX-License-Identifier: GPL-3.0-or-later
"""A kubeconfig as users keep it: beside the play, plain or encrypted by Ansible Vault, or given as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from support.ansible import BIN, module
from support.commands import run

MODULE = "kubeovn.core.ovn_nat_info"


@pytest.fixture
def kubeconfig() -> Path:
    """The lab's kubeconfig; what follows must not find it in the environment."""
    return Path(os.environ["K8S_AUTH_KUBECONFIG"])


@pytest.fixture
def vault(kubeconfig: Path, tmp_path: Path) -> tuple[Path, Path]:
    """That kubeconfig encrypted, and the file with its password."""
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    encrypted = tmp_path / "cluster.vault"
    run([BIN / "ansible-vault", "encrypt", "--vault-password-file", password, "--output", encrypted, kubeconfig])
    return encrypted, password


WITHOUT = {"K8S_AUTH_KUBECONFIG": ""}


def test_encrypted(vault: tuple[Path, Path]) -> None:
    encrypted, password = vault
    assert encrypted.read_text().startswith("$ANSIBLE_VAULT;")
    arguments = ("--vault-password-file", str(password))
    result = module(MODULE, {"kubeconfig": str(encrypted)}, env=WITHOUT, arguments=arguments)
    assert not result["failed"], result
    assert result["cluster"].startswith("https://127.0.0.1:")


def test_encrypted_without_password(vault: tuple[Path, Path]) -> None:
    result = module(MODULE, {"kubeconfig": str(vault[0])}, env=WITHOUT)
    assert result["failed"]
    assert "kubeconfig" in result["msg"]
    assert "vault" in result["msg"].lower()


def test_missing() -> None:
    result = module(MODULE, {"kubeconfig": "nowhere.yml"}, env=WITHOUT)
    assert result["failed"]
    assert "kubeconfig" in result["msg"]
    assert "nowhere.yml" in result["msg"]


def test_inline(kubeconfig: Path) -> None:
    inline = yaml.safe_load(kubeconfig.read_text())
    result = module(MODULE, {"kubeconfig": inline}, env=WITHOUT)
    assert not result["failed"], result


def test_environment() -> None:
    result = module(MODULE)
    assert not result["failed"], result
