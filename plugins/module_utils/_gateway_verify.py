# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is still wrong with the external gateway, what is less than good, and what nobody could see. Pure.


Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.kubeovn.core.plugins.module_utils._gateway import (
    PASSING_NOTES,
    RESCUED_NOTE,
    Observed,
    changed_data,
    changed_options,
    first_alive,
    in_order,
    leftovers,
    misplaced_rules,
    missing_parts,
    missing_rows,
    old_policies,
    present,
    router_pair,
    stray_labels,
    surplus_rows,
    unlabelled,
    wrong_localnet,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_drift import spoilt_ports
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CONFIG_MAP,
    GATEWAY_LABEL,
    WARM_UP,
    ExternalGateway,
    Problem,
    RouterPort,
)

CONTROLLER_HINT = "kube-ovn-controller does this; its log names the reason when it cannot"
NO_OTHER = ", and carries the traffic all the same: no other gateway is alive and proven"
OTHERS_HINT = "does something else write it?"


def unfinished(gateway: ExternalGateway | None, seen: Observed, by_hand: Iterable[str] = ()) -> list[Problem]:
    """Where the world is not yet as asked: each with its probable cause. by_hand: nodes whose label others set."""
    kept = set(by_hand)
    found = list(_absent(seen, kept) if gateway is None else _present(gateway, seen))
    for name in sorted(kept):
        node = seen.node(name)
        if node and node.gateway_label != "true":
            text = f"lost label {GATEWAY_LABEL}=true, which others gave it"
            found.append(Problem(f"node {name}", text, "kube-ovn-controller drops it when its list changes"))
    return found


def _absent(seen: Observed, kept: set[str]) -> Iterator[Problem]:
    if seen.config_map is not None:
        yield Problem(f"ConfigMap {CONFIG_MAP}", "is still there, or again", OTHERS_HINT)
    for name in leftovers(seen):
        yield Problem(name, "is still in NB", "does something else make it?")
    for node in seen.nodes:
        if node.gateway_label is not None and node.name not in kept:
            yield Problem(f"node {node.name}", f"still has label {GATEWAY_LABEL}={node.gateway_label}", CONTROLLER_HINT)
    yield from _unclaimed(seen)


def _unclaimed(seen: Observed) -> Iterator[Problem]:
    if seen.active:
        text = f"is still claimed by {seen.active} in SB"
        path = f"router port {seen.ovn.names.router_port}"
        yield Problem(path, text, "northd or ovn-controller is behind: are they running?")


def _present(gateway: ExternalGateway, seen: Observed) -> Iterator[Problem]:
    yield from _settings(gateway, seen)
    if not gateway.enabled:
        yield from _still_enabled(seen)
        return
    for name in missing_parts(seen):
        yield Problem(name, "is not in NB", CONTROLLER_HINT)
    yield from _nodes(gateway, seen)
    if seen.ovn.router_port:
        yield from _router_port(gateway, seen.ovn.router_port)
        yield from _chassis(gateway, seen)
    yield from _traffic(gateway, seen)


def _settings(gateway: ExternalGateway, seen: Observed) -> Iterator[Problem]:
    for key, value in changed_data(gateway, seen.config_map).items():
        found = (seen.config_map or {}).get(key, "missing")
        yield Problem(f"ConfigMap {CONFIG_MAP}", f"{key} is {found}, not {value}", OTHERS_HINT)
    for key, value in changed_options(gateway.bfd, seen).items():
        yield Problem("NB_Global", f"option {key} is {seen.ovn.options.get(key, 'missing')}, not {value}", OTHERS_HINT)
    if any(port.name == WARM_UP for port in seen.ovn.other_ports):
        yield Problem(f"router {WARM_UP}", "is still in NB", "a run has not ended; run again")
    for key in PASSING_NOTES:
        if seen.notes.get(key):
            yield Problem(f"ConfigMap {CONFIG_MAP}", f"still has annotation {key}", "a run has not ended; run again")


def _router_port(gateway: ExternalGateway, port: RouterPort) -> Iterator[Problem]:
    if port.mac.lower() != gateway.nic_mac or port.networks != (gateway.nic_ip,):
        text = f"has {port.mac} {', '.join(port.networks)}, not {gateway.nic_mac} {gateway.nic_ip}"
        yield Problem(f"router port {port.name}", text, OTHERS_HINT)


def _traffic(gateway: ExternalGateway, seen: Observed) -> Iterator[Problem]:
    for name in spoilt_ports(seen).names:
        yield Problem(name, "is disabled, or has another address than kube-ovn-controller gives it", OTHERS_HINT)
    localnet = wrong_localnet(seen)
    if localnet:
        yield Problem(f"switch port {localnet.name}", f"is not tied to network {seen.network}", OTHERS_HINT)
    if old_policies(gateway, seen):
        text = f"{len(old_policies(gateway, seen))} of them do not send to {gateway.gateway.split('/')[0]}"
        yield Problem("policies of EIPs", text, "is kube-ovn-controller writing them at the same time?")
    for rule, _port in misplaced_rules(gateway, seen):
        text = "is not translated where the type says"
        yield Problem(f"EIP {rule.external_ip}", text, "is kube-ovn-controller writing it at the same time?")


def _still_enabled(seen: Observed) -> Iterator[Problem]:
    for name in router_pair(seen):
        yield Problem(name, "is still in NB", "does something else make it?")
    for name in seen.listed:
        node = seen.node(name)
        if node and node.gateway_label == "true":
            yield Problem(f"node {name}", f"still has label {GATEWAY_LABEL}=true", CONTROLLER_HINT)
    yield from _unclaimed(seen)


def _nodes(gateway: ExternalGateway, seen: Observed) -> Iterator[Problem]:
    for name in unlabelled(gateway, seen):
        yield Problem(f"node {name}", f"does not have label {GATEWAY_LABEL}=true", CONTROLLER_HINT)
    for name in stray_labels(gateway, seen):
        yield Problem(f"node {name}", f"has label {GATEWAY_LABEL}=true", "does something else label it?")
    for name in gateway.nodes:
        node = seen.node(name)
        if node is None:
            yield Problem(f"node {name}", "is gone", "was it deleted just now?")
        elif node.ready and not seen.mapped(name):
            text = f"its chassis has no bridge mapping for network {seen.network}"
            hint = f"its node daemon puts NIC {gateway.nic} into the bridge: is the NIC there, is kube-ovn-cni running?"
            yield Problem(f"node {name}", text, hint)


def _chassis(gateway: ExternalGateway, seen: Observed) -> Iterator[Problem]:
    path = f"router port {seen.ovn.names.router_port}"
    missing = missing_rows(gateway, seen)
    if missing:
        yield Problem(path, f"has no gateway chassis for {', '.join(missing)}", CONTROLLER_HINT)
    surplus = [seen.node_of(row.chassis) for row in surplus_rows(gateway, seen)]
    if surplus:
        yield Problem(path, f"has a gateway chassis for {', '.join(surplus)}", "does something else add it?")
    if not in_order(gateway, seen):
        ranks = ", ".join(f"{seen.node_of(row.chassis)}={row.priority}" for row in seen.rows)
        text = f"has priorities {ranks}, not {' > '.join(seen.members(gateway).order)}"
        yield Problem(path, text, "does something else write them?")
    noted = present(seen.members(gateway).rescued)
    if noted != (seen.notes.get(RESCUED_NOTE) or None):
        text = f"annotation {RESCUED_NOTE} is {seen.notes.get(RESCUED_NOTE)}, not {noted}"
        yield Problem(f"ConfigMap {CONFIG_MAP}", text, OTHERS_HINT)
    first = first_alive(gateway, seen)
    if first is None:
        yield Problem("nodes", "none that is asked for is Ready", "external traffic needs one at least")
    elif seen.active != first.name:
        text = f"is active on {seen.active or 'no gateway'}, not on {first.name}"
        yield Problem(path, text, _inactive_hint(gateway, seen, first.name))


def _inactive_hint(gateway: ExternalGateway, seen: Observed, first: str) -> str:
    if seen.members(gateway).cut_off and len(seen.rows) > 1:
        text = (
            "is the only live gateway, and no other chassis lives: without a live tunnel OVN takes it for the lost one"
        )
        return f"{first} {text}; rescue: true takes the rows of dead gateways out"
    return f"{first} is first of those that are alive: does ovn-controller run there, are its tunnels up?"


# --- less than good -------------------------------------------------------------------------------------------------


def degraded(gateway: ExternalGateway, seen: Observed, first: Observed) -> list[str]:
    """What is as asked but less than a site should have: dead, drained and lone gateways, faults that nodes showed.

    first: the first look. Evidence is as old as that, so it counts only for what was a gateway with this NIC then.
    """
    if not gateway.enabled:
        return ["the gateway is disabled"]
    members = seen.members(gateway)
    found = []
    for name in gateway.nodes:
        if name in members.out and name not in members.dead:
            found.append(f"node {name}: its gateway chassis is left out, since {members.out[name]}")
        elif name in members.dead:
            state = "is left out" if name in members.out else "stays, so OVN gives it traffic as soon as it is back"
            found.append(f"node {name} is not Ready; its gateway chassis {state}")
        elif name in gateway.drained:
            found.append(f"node {name} is drained" + (NO_OTHER if name == members.first else ""))
        found += [f"node {name}: {fault}" for fault in _faults(gateway, name, first)]
    if members.alone:
        found.append(f"{members.alone} is the only gateway in service: nothing takes over from it")
    if members.cut_off and len(seen.rows) > 1:
        rest = "OVN keeps it from forwarding; rescue: true takes the rows of dead gateways out"
        found.append(f"no other chassis lives that {members.alone} could have a tunnel with: {rest}")
    return found


def _faults(gateway: ExternalGateway, name: str, first: Observed) -> tuple[str, ...]:
    node, evidence = first.node(name), first.evidence.get(name)
    same = (first.config_map or {}).get("external-gw-nic") == gateway.nic
    was = name in first.names_in(RESCUED_NOTE) or (same and node is not None and node.chassis in first.row_of)
    return evidence.faults if evidence and was else ()


def unverified(gateway: ExternalGateway, seen: Observed) -> list[str]:
    """What nobody can say from here: the node's own side, which a role gathers."""
    if not gateway.enabled:
        return []
    found = []
    for node in (node for name in gateway.nodes if (node := seen.node(name)) and name not in seen.evidence):
        if node.ready:
            text = (
                f"whether {gateway.nic} is in the node's bridge is seen on the node only; role external_gateway looks"
            )
            found.append(f"node {node.name}: {text}")
        else:
            found.append(f"node {node.name} is not Ready: whether its bridge, NIC and tunnels are right was not seen")
    return found
