# SPDX-License-Identifier: GPL-3.0-or-later
"""The examples, and with the VM that they make the inventory plugin kubeovn_eip, from the installed collection."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.ansible import BIN, module, recap
from support.commands import TOP, run
from support.eip_lab import WORKER, gateway
from support.lab import Lab
from support.live import Live

VM, ADDRESS = "inventory-vm", "10.4.19.187"
HOST = f"default-{VM}"
EXAMPLES = TOP / "examples"
VARIABLES = {
    "vm_name": VM,
    "vm_eip": ADDRESS,
    "vm_public_key": "ssh-ed25519 AAAA somebody",
    "vm_data_volume_templates": [],  # the lab has no CDI
    "vm_root_volume": {"containerDisk": {"image": "quay.io/containerdisks/ubuntu:24.04"}},
    "vm_placement": {"nodeSelector": {"kubernetes.io/hostname": WORKER}},
}
NOWHERE = {"K8S_AUTH_KUBECONFIG": "", "K8S_AUTH_HOST": "https://127.0.0.1:1", "K8S_AUTH_API_KEY": "none"}
STOPPED = 4  # as what this plugin ends a run with


def playbook(name: str, *arguments: object, env: Mapping[str, str] | None = None, **variables: Any) -> str:
    """The output of an example that succeeds."""
    argv = [BIN / "ansible-playbook", *arguments, EXAMPLES / name, f"--extra-vars={json.dumps(variables)}"]
    return run(argv, env={"ANSIBLE_NOCOLOR": "1", "ANSIBLE_LOCALHOST_WARNING": "false", **(env or {})})


def vm_example() -> str:
    """Who creates VMs needs more rights than docs/rbac.yml gives."""
    return playbook("vm-testing.yml", env={"K8S_AUTH_KUBECONFIG": os.environ["KUBECONFIG_ADMIN"]}, **VARIABLES)


@pytest.fixture(scope="module")
def live(lab: Lab) -> Live:
    live = Live(lab)
    gateway(live)
    return live


@pytest.fixture(scope="module", autouse=True)
def created(live: Live) -> Iterator[str]:
    """What the example that creates the VM says, the first time."""
    try:
        yield vm_example()
    finally:
        module("kubeovn.core.ovn_eip", {"eips": [{"address": ADDRESS, "vm": VM}], "state": "absent"})
        live.kubectl("delete", "vm", VM, "-n", "default", "--ignore-not-found", "--wait=true")


# --- the examples ---


def test_vm_example(live: Live, created: str) -> None:
    assert recap(created)["localhost"] == {"ok": 3, "changed": 2, "unreachable": 0, "failed": 0}
    assert [rule[1] for rule in live.rules() if rule[1] == ADDRESS] == [ADDRESS]
    vm = live.get("vm", VM)
    assert vm is not None
    cloud_init = vm["spec"]["template"]["spec"]["volumes"][1]["cloudInitNoCloud"]["userData"]
    assert cloud_init.startswith("#cloud-config\n")
    told = yaml.safe_load(cloud_init)
    assert (told["hostname"], told["users"][0]["ssh_authorized_keys"]) == (VM, ["ssh-ed25519 AAAA somebody"])
    assert recap(vm_example())["localhost"]["changed"] == 0
    assert (live.get("vm", VM) or {})["spec"]["template"] == vm["spec"]["template"]


@pytest.mark.full
def test_vm_example_as_it_is_written() -> None:
    """With its DataVolume, which the lab has nobody to import: the API server would take it."""
    given = {"vm_name": "as-written", "vm_eip": "", "vm_public_key": "ssh-ed25519 AAAA somebody"}
    output = playbook("vm-testing.yml", "--check", env={"K8S_AUTH_KUBECONFIG": os.environ["KUBECONFIG_ADMIN"]}, **given)
    assert recap(output)["localhost"] == {"ok": 2, "changed": 1, "unreachable": 0, "failed": 0}


def test_eip_example() -> None:
    output = playbook("eip.yml", "-i", TOP / "inventories" / "example", vm_name=VM, vm_eip=ADDRESS)
    assert recap(output)["localhost"] == {"ok": 3, "changed": 0, "unreachable": 0, "failed": 0}


def test_guests_are_reached_by_their_eips() -> None:
    jump = f"-F {os.environ['LAB_SSH_CONFIG']} -J outside-host"  # EIPs are on the lab's own network
    arguments = ("-i", EXAMPLES / "site.kubeovn_eip.yml", "--limit", HOST)
    output = playbook("guests.yml", *arguments, ansible_ssh_common_args=jump)
    assert recap(output)[HOST] == {"ok": 3, "changed": 0, "unreachable": 0, "failed": 0}
    assert f"{VM} on {WORKER} answers at {ADDRESS} through jah-k3s-h100-" in output


# --- the plugin ---


def source(folder: Path, /, **options: Any) -> Path:
    """An inventory file with these options."""
    path = folder / "test.kubeovn_eip.yml"
    path.write_text(yaml.safe_dump({"plugin": "kubeovn.core.kubeovn_eip", **options}))
    return path


def asked(*sources: Path, env: Mapping[str, str] | None = None, more: tuple[str, ...] = ()) -> Any:
    """ansible-inventory as it ends."""
    files = [part for one in sources for part in ("-i", str(one))]
    argv = [str(BIN / "ansible-inventory"), *files, "--list", *more]
    environment = {**os.environ, "ANSIBLE_NOCOLOR": "1", "COLUMNS": "10000", **(env or {})}
    return subprocess.run(argv, cwd=TOP, env=environment, capture_output=True, text=True, timeout=120, check=False)


def told(*sources: Path, env: Mapping[str, str] | None = None, more: tuple[str, ...] = ()) -> dict[str, Any]:
    """The inventory; there must be one."""
    done = asked(*sources, env=env, more=more)
    assert done.returncode == 0, done.stderr
    return read(done.stdout)


def read(text: str) -> dict[str, Any]:
    """What ansible-inventory prints; it marks each text that came from a plugin as one that is no template."""
    found: dict[str, Any] = json.loads(text, object_hook=lambda one: one.get("__ansible_unsafe", one))
    return found


def variables(inventory: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the one host that these tests are about."""
    found: dict[str, Any] = inventory["_meta"]["hostvars"][HOST]
    return found


def refused(path: Path, env: Mapping[str, str] | None = None) -> str:
    """Why a run ended; no inventory may have come of it."""
    done = asked(path, env=env)
    assert (done.returncode, done.stdout) == (STOPPED, "")
    return str(done.stderr)


def test_host_is_what_kubectl_and_nbctl_say(live: Live, tmp_path: Path) -> None:
    options = {
        "pools": {"low": "10.4.19.100-10.4.19.150", "high": ["10.4.19.160/27", "!10.4.19.190"]},
        "compose": {"ansible_user": "kubeovn_eip_labels['login'] | default('ubuntu')"},
        "groups": {"works": "kubeovn_eip_running and kubeovn_eip_attached"},
        "keyed_groups": [{"key": "kubeovn_eip_node", "prefix": "on"}],
    }
    inventory = told(source(tmp_path, **options))
    host, vm, pod = variables(inventory), live.get("vm", VM), live.launcher(VM)
    assert vm is not None
    assert pod is not None
    redirect = live.lab.run("sbctl", "--bare", "--columns=chassis", "find", "Port_Binding", "type=chassisredirect")
    active = live.lab.run("sbctl", "--bare", "get", "Chassis", redirect.split()[0], "hostname").strip().strip('"')
    assert host == {
        "ansible_host": ADDRESS,
        "ansible_user": "ubuntu",
        "kubeovn_eip_address": ADDRESS,
        "kubeovn_eip_addresses": [ADDRESS],
        "kubeovn_eip_source": "ovn",
        "kubeovn_eip_attached": True,
        "kubeovn_eip_running": True,
        "kubeovn_eip_namespace": "default",
        "kubeovn_eip_vm": VM,
        "kubeovn_eip_uid": vm["metadata"]["uid"],
        "kubeovn_eip_overlay_address": pod["metadata"]["annotations"]["ovn.kubernetes.io/ip_address"],
        "kubeovn_eip_pod": pod["metadata"]["name"],
        "kubeovn_eip_node": WORKER,
        "kubeovn_eip_gateway": active,
        "kubeovn_eip_labels": {"kubevirt.io/domain": VM},
        "kubeovn_eip_pools": ["high"],
    }
    own = {name for name, group in inventory.items() if name != "_meta" and HOST in group.get("hosts", [])}
    assert own == {
        "kubeovn_eip",
        "label_kubevirt_io_domain_inventory_vm",
        "namespace_default",
        f"gateway_{active.replace('-', '_')}",
        f"on_{WORKER.replace('-', '_')}",
        "pool_high",
        "works",
    }


def test_names_are_those_of_kubevirts_inventory(tmp_path: Path) -> None:
    kubevirt = tmp_path / "test.kubevirt.yml"
    kubevirt.write_text("plugin: kubevirt.core.kubevirt\ncreate_groups: true\n")
    admin = {"K8S_AUTH_KUBECONFIG": os.environ["KUBECONFIG_ADMIN"]}
    inventory = told(kubevirt, source(tmp_path), env=admin)
    host = variables(inventory)
    assert host["vm_uid"] == host["kubeovn_eip_uid"]
    assert host["ansible_host"] == ADDRESS
    for group in ("namespace_default", "label_kubevirt_io_domain_inventory_vm"):
        assert inventory[group]["hosts"].count(HOST) == 1
    alone = told(kubevirt, env=admin)
    assert variables(alone)["ansible_host"] == host["kubeovn_eip_overlay_address"]
    assert HOST in alone["label_kubevirt_io_domain_inventory_vm"]["hosts"]


def test_without_access_to_ovn_annotations_tell_and_that_is_said(tmp_path: Path) -> None:
    without = {
        "K8S_AUTH_KUBECONFIG": os.environ["LAB_READER_KUBECONFIG"],
        "KUBEOVN_NB_ENDPOINT": "",
        "KUBEOVN_SB_ENDPOINT": "",
    }
    done = asked(source(tmp_path), env=without)
    assert done.returncode == 0, done.stderr
    inventory = read(done.stdout)
    host = variables(inventory)
    expected = {
        "ansible_host": ADDRESS,
        "kubeovn_eip_source": "annotation",
        "kubeovn_eip_attached": None,
        "kubeovn_eip_gateway": None,
    }
    assert {key: host[key] for key in expected} == expected
    assert not [name for name in inventory if name.startswith("gateway_")]
    assert "OVN cannot be read" in done.stderr
    assert "pods/exec" in done.stderr
    silent = asked(source(tmp_path, use_ovn="never"), env=without)
    assert variables(read(silent.stdout)) == host
    assert "OVN" not in silent.stderr
    assert "pods/exec" in refused(source(tmp_path, use_ovn="require"), without)


def test_an_api_server_that_does_not_answer_is_never_an_empty_inventory(tmp_path: Path) -> None:
    argv = [str(part) for part in (BIN / "ansible-playbook", "-i", source(tmp_path), EXAMPLES / "guests.yml")]
    environment = {**os.environ, **NOWHERE, "COLUMNS": "10000"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == STOPPED
    assert "PLAY" not in done.stdout
    assert "https://127.0.0.1:1 does not answer" in done.stderr
    left = asked(source(tmp_path, failure="skip"), env=NOWHERE)
    assert left.returncode == 0
    assert "https://127.0.0.1:1 does not answer" in left.stderr


def test_bad_options_are_named_all_at_once(tmp_path: Path) -> None:
    text = refused(source(tmp_path, pools={"web": "10.4.19.300"}, host_format="{cluster}"))
    assert "pools.web" in text
    assert "host_format" in text


def test_a_pods_own_identity_is_not_used_unasked(tmp_path: Path) -> None:
    ambient = {"K8S_AUTH_KUBECONFIG": "", "KUBECONFIG": str(tmp_path / "none"), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert "allow_in_cluster" in refused(source(tmp_path), ambient)


def test_a_kubeconfig_beside_the_inventory_may_be_encrypted(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse\n")
    vault = ("--vault-password-file", str(tmp_path / "password"))
    plain = Path(os.environ["K8S_AUTH_KUBECONFIG"])
    run([BIN / "ansible-vault", "encrypt", *vault, "--output", tmp_path / "cluster.vault", plain])
    path, without = source(tmp_path, kubeconfig="cluster.vault"), {"K8S_AUTH_KUBECONFIG": ""}
    assert variables(told(path, env=without, more=vault))["ansible_host"] == ADDRESS
    assert "kubeconfig" in refused(path, without)


def test_the_cache_keeps_what_was_read(tmp_path: Path) -> None:
    plugin = {"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(tmp_path / "cache")}
    path = source(tmp_path, **plugin)
    fresh = told(path)
    assert told(path, env=NOWHERE) == fresh
    assert "does not answer" in asked(path, env=NOWHERE, more=("--flush-cache",)).stderr
