# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo`: a Kube-OVN site comes up, its VM gets an address on the physical network, and each step is proven."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[2]
sys.path.insert(0, str(TOP / "tests"))

from demo.steps import Demo, Step, StepFailed, progress  # noqa: E402
from demo.witness import Audit, differences, northbound, whoami  # noqa: E402
from support.ansible import recap  # noqa: E402
from support.commands import CommandFailed, run  # noqa: E402
from support.lab import LAB, Lab  # noqa: E402

VM = TOP / "tests" / "lab" / "manifests" / "vm.yml"
EXAMPLES = TOP / "examples"
UP_SECONDS = 45 * 60  # one-time builds included
GUEST_SECONDS = 120
LOOK_AROUND = """\
The lab is up. To look around:
  tests/lab/lab nbctl show                              # OVN's northbound database
  tests/lab/lab outside -- ping -c 3 10.4.19.101        # the VM, from a host that is not in the cluster
  tests/lab/lab kubectl get nodes,vms,pods -A -o wide   # Kubernetes and KubeVirt
make lab-down ends it."""


def main() -> int:
    """All steps, then the table; the lab stays up."""
    demo = Demo(total=8)
    lab = Lab(os.environ.get("LAB_NAME", "site"))
    try:
        _steps(demo, lab)
    except (StepFailed, CommandFailed) as error:
        print(f"\n{error}", file=sys.stderr)
        print(f"\n{demo.table()}\n\nThe lab is left as it is: tests/lab/lab status; make lab-down ends it.")
        return 1
    print(f"\n{demo.table()}\n\n{LOOK_AROUND}")
    return 0


def _steps(demo: Demo, lab: Lab) -> None:
    with demo.step("lab up") as step:
        run([LAB, "up", "--name", lab.name], show=progress, timeout=UP_SECONDS)
        nodes = lab.run("kubectl", "--", "get", "nodes", "--no-headers").splitlines()
        step.require(all(line.split()[1] == "Ready" for line in nodes), "; ".join(_node(line) for line in nodes))
    env = lab.environment()
    reports = Path(env["LAB_STATE"]) / "demo"
    reports.mkdir(exist_ok=True)

    with demo.step("VM testing") as step:
        _create_vm(lab, step)

    with demo.step("site and its proof") as step:
        _playbook("site", env, step, kubeovn_proof_report=str(reports / "proof.json"))
        _show_proof(reports / "proof.json", step)

    with demo.step("into the guest by its EIP") as step:
        _guests(env, step)

    with demo.step("failover test") as step:
        _playbook("failover_test", env, step, failover_test_report=str(reports / "failover.json"))
        _show_failover(reports / "failover.json", step)

    with demo.step("site again") as step:
        _again(lab, env, step, reports / "again.json")

    with demo.step("proof again, after all") as step:
        _show_proof(reports / "again.json", step, brief=True)

    with demo.step("report") as step:
        _report(env, step, reports)


def _node(line: str) -> str:
    name, status = line.split()[:2]
    return f"{name} {status}"


def _create_vm(lab: Lab, step: Step) -> None:
    """Create the example's VM and wait until its guest can be logged in to."""
    progress(lab.run("kubectl", "--", "apply", "-f", str(VM)).strip())
    deadline = time.monotonic() + GUEST_SECONDS
    while True:  # the lab's own way into the guest, which needs no EIP
        try:
            hostname = lab.run("guest", "testing", "--", "hostname").strip().splitlines()[-1]
            break
        except CommandFailed:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    columns = "jsonpath={.items[*].spec.nodeName} {.items[*].status.podIP}"
    query = ("--", "get", "pods", "--selector=kubevirt.io/domain=testing", f"--output={columns}")
    node, address = lab.run("kubectl", *query).split()
    step.require(hostname == "testing", f"guest {hostname} runs on {node}, overlay address {address}")
    links = [link["ifname"] for link in json.loads(lab.run("node", node, "--", "ip", "-json", "link"))]
    step.require("enp8s0" not in links, f"{node} has no external NIC: {', '.join(links[:6])}")


def _playbook(name: str, env: dict[str, str], step: Step, **variables: Any) -> Counter[str]:
    """Run a playbook of the installed collection as a user would, and sum up its recap."""
    argv = ["ansible-playbook", f"--inventory={env['LAB_INVENTORY']}", f"kubeovn.core.{name}"]
    total, _output = _run(f"kubeovn.core.{name}", argv, env, step, variables)
    return total


def _guests(env: dict[str, str], step: Step) -> None:
    """Log in to each VM with an EIP, which the inventory plugin finds in the cluster, through the outside host."""
    argv = ["ansible-playbook", f"--inventory={EXAMPLES / 'site.kubeovn_eip.yml'}", str(EXAMPLES / "guests.yml")]
    jump = f"-F {env['LAB_SSH_CONFIG']} -J outside-host"
    _total, output = _run("examples/guests.yml", argv, env, step, {"ansible_ssh_common_args": jump})
    for text in re.findall(r'"msg": "(.* answers at .*)"', output):
        step.saw(text)
    step.require("testing on jah-k3s-l40s-001 answers at 10.4.19.101" in output, "the VM of the demo is among them")


def _run(
    name: str, argv: list[str], env: dict[str, str], step: Step, variables: dict[str, str]
) -> tuple[Counter[str], str]:
    """ansible-playbook with these variables: the sum of its recap, and what it printed."""
    began = time.monotonic()
    output = run([*argv, f"--extra-vars={json.dumps(variables)}"], env=env, show=progress, timeout=1800)
    total: Counter[str] = Counter()
    for counts in recap(output).values():
        total.update(counts)
    counts_text = ", ".join(f"{key}={total[key]}" for key in ("ok", "changed", "unreachable", "failed"))
    step.require(
        total["ok"] > 0 and not total["unreachable"] and not total["failed"],
        f"ansible-playbook {name}: {counts_text}, {time.monotonic() - began:.1f} s",
    )
    return total, output


def _show_proof(report: Path, step: Step, *, brief: bool = False) -> None:
    """Each step of the proof with its evidence; anything but ok fails here, since the lab can see everything."""
    proof: dict[str, Any] = json.loads(report.read_text())
    for check in proof["checks"]:
        if not brief or check["status"] != "ok":
            step.saw(f"{check['name']}: {check['evidence']}", check["status"])
    count = len(proof["checks"])
    step.require(proof["verdict"] == "ok", f"verdict of the proof's {count} steps: {proof['verdict']}")


def _show_failover(report: Path, step: Step) -> None:
    result: dict[str, Any] = json.loads(report.read_text())
    step.require(result["from"] != result["to"], f"powered off: {result['from']}; took over: {result['to']}")
    for target in result["targets"]:
        text = (
            f"{target['address']}: {target['lost']} of {target['sent']} packets lost, silent for {target['silence']} s"
        )
        step.require(target["answers_at_the_end"], text)
    step.require(result["active_gateway"] == result["from"], f"put back, active again: {result['active_gateway']}")


def _again(lab: Lab, env: dict[str, str], step: Step, report: Path) -> None:
    """A second run changes nothing, and those who would know agree."""
    user = whoami(lab, env["K8S_AUTH_KUBECONFIG"])
    audit = Audit.now(Path(env["LAB_AUDIT_LOG"]))
    before = northbound(lab)
    total = _playbook("site", env, step, kubeovn_proof_report=str(report))
    step.require(total["changed"] == 0, f"changed={total['changed']}")
    requests = audit.requests(user)
    step.require(
        requests.total > 0 and not requests.writing,
        f"audit log: {requests.total} requests of {user}, {len(requests.writing)} of them writing"
        + "".join(f"; {request}" for request in requests.writing[:5]),
    )
    changes = differences(before, northbound(lab))
    rows = sum(map(len, before.values()))
    step.require(rows > 0 and not changes, f"NB: {rows} rows in {len(before)} tables, {len(changes)} differences")
    for change in changes[:5]:
        progress(change)


def _report(env: dict[str, str], step: Step, reports: Path) -> None:
    """The audit finds nothing, and the page has this run's failover in it."""
    page, failover = reports / "report.html", reports / "failover.json"
    # Of tunnels the proof tells. On a loaded machine their BFD sessions come and go.
    _playbook("audit", env, step, kubeovn_audit_fail_on="warning", kubeovn_audit_nodes=False)
    _playbook("report", env, step, kubeovn_report_file=str(page), kubeovn_report_failover=[str(failover)])
    text, measured = page.read_text(), json.loads(failover.read_text())
    for target in measured["targets"]:
        lost, silence = f"{target['lost']} of {target['sent']}", f"{target['silence']:g} s"
        step.require(
            lost in text and silence in text, f"it shows {target['address']}: {lost} lost, silent for {silence}"
        )
    picture = text[text.index('<svg class="site wide"') : text.index("</svg>")]
    shown = (measured["active_gateway"], "10.4.19.101", "testing", "jah-k3s-l40s-001")
    step.require(all(f">{name}</text>" in picture for name in shown), f"its picture has {', '.join(shown)}")
    step.saw(f"report of this site, for a browser: {page}")


if __name__ == "__main__":
    sys.exit(main())
