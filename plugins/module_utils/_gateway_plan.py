# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan for the external gateway: from what was seen to what is asked, in the order that costs least traffic. Pure.

What Kube-OVN does with the ConfigMap, and what this has to add (kube-ovn-controller v1.14, external_gw.go):
* It acts once when the text changes: it labels the listed nodes (centralized), makes switch, router port and localnet
  port when they are missing, and adds missing gateway chassis, those of dead nodes too. A `revision` key changes the
  text without changing its meaning.
* When the list of nodes changes it drops all labels first, those that others set too, and then sets those of the list.
* It never changes an address, a MAC, a priority, a next hop or a NAT row, and never takes a gateway chassis away.


Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.kubeovn.core.plugins.module_utils._gateway import (
    COMING_NOTE,
    ENABLE_KEY,
    HAND_NOTE,
    LEAVING_NOTE,
    NODES_KEY,
    PASSING_NOTES,
    RESCUED_NOTE,
    REVISION_KEY,
    Observed,
    Texts,
    broken_parts,
    changed_options,
    coming_rows,
    hand_labelled,
    in_order,
    leaving_gateways,
    leftovers,
    makes_anew,
    misplaced_rules,
    missing_rows,
    old_policies,
    outranked,
    present,
    router_pair,
    same_text,
    stray_labels,
    surplus_rows,
    tears_down,
    unlabelled,
    written_data,
    wrong_localnet,
)
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_drift import misnamed_rows, spoilt_ports
from ansible_collections.kubeovn.core.plugins.module_utils._gateway_show import after, shape
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    CONFIG_MAP,
    FIRST_CHASSIS_PRIORITY,
    WARM_UP,
    ExternalGateway,
    GatewayChassis,
    Plan,
    Step,
    SwitchPort,
)

Notes = Mapping[str, "str | None"]  # annotations; None takes one away

MOVE = "external traffic, for about a second while it moves to another gateway"
# What kube-ovn-controller does whenever the list of nodes changes, be it their order.
RELABEL = (
    "rarely, for about 3 s, a gateway's traffic: the controller drops and restores all labels, and a node daemon that "
    "looks just then rebuilds its bridge"
)
COMING = "external traffic, for seconds: with the gateway chassis that come OVN asks for tunnels that are not up"
LOOP = (
    "all external traffic, until the old NIC is out of each gateway's bridge: Kube-OVN leaves it there, and the two "
    "form a loop; role external_gateway puts one in the other's place"
)
TEAR_DOWN = "all external traffic, for seconds: the controller takes the router port away and makes it anew"


def plan(gateway: ExternalGateway | None, seen: Observed, bfd: Texts | None = None) -> Plan:
    """The steps that lead from what was seen to the gateway as asked, or (None) to no gateway.

    bfd: options of NB_Global that go with the gateway, where they have these values.
    """
    if gateway is None:
        steps = tuple(_removal(seen, bfd or {}))
    else:
        steps = tuple(_steps(gateway, seen) if gateway.enabled else _disabling(gateway, seen))
    before = shape(seen)
    return Plan(steps, before, after(gateway, seen, before, bfd or {}) if steps else before)


def _steps(gateway: ExternalGateway, seen: Observed) -> Iterable[Step]:
    drop_port, ports = broken_parts(seen)
    misnamed = misnamed_rows(gateway, seen)  # they go when the right ones come
    surplus = [] if drop_port else [row for row in surplus_rows(gateway, seen) if row not in misnamed]
    yield from _tune(gateway.bfd, seen)
    yield from _repair(gateway, seen, drop_port, ports)
    # Whoever carries no traffic now must not get a gateway chassis by its label when the controller looks again.
    stray, leaving = stray_labels(gateway, seen), leaving_gateways(gateway, seen)
    yield from _unlabel([name for name in stray if name not in leaving])
    texts = written_data(gateway, seen)
    makes = makes_anew(gateway, seen)
    notes = _notes(gateway, seen, stray, texts)
    if not makes:
        yield from _label(gateway, seen)
        yield from _note_rescue(notes)
    listing = makes or NODES_KEY in texts
    distributes = gateway.type == "distributed" and listing
    if distributes:
        texts["type"] = "centralized"
    making = _making(gateway, seen, texts, notes, leaving, drop_port) if makes else None
    yield from _bringing_in(gateway, seen, making)
    writes_again = not makes or leaving or distributes
    late = _late_rows(gateway, seen, surplus, texts) if writes_again else []
    soon = [row for row in surplus if row not in late]
    if soon:
        yield _take_out(gateway, seen, soon)
    yield from _unlabel(leaving)
    if not makes:
        yield from _recording(gateway, seen, texts, notes, seen.config_map or {})
    elif leaving:
        rest = {NODES_KEY: ",".join(gateway.nodes)}
        yield from _recording(gateway, seen, rest, notes, {**(seen.config_map or {}), **texts})
    if distributes:
        yield from _distributing(gateway, seen)
    if late:
        yield _take_out(gateway, seen, late)
    yield from _distribution(gateway, seen)
    yield from _settle(seen, notes, present(seen.members(gateway).rescued))


def _bringing_in(gateway: ExternalGateway, seen: Observed, making: Iterable[Step] | None) -> Iterable[Step]:
    """Have all rows there and in order, those of the gateways that go below."""
    warming = list(_warm_up(gateway, seen))
    yield from warming
    if making is not None:
        yield from making
    elif missing_rows(gateway, seen):
        yield _add_rows(gateway, seen)
    if making is not None or missing_rows(gateway, seen) or not in_order(gateway, seen) or outranked(gateway, seen):
        yield _order(gateway, seen)
    yield from _cool_down(bool(warming), seen)


def _recording(gateway: ExternalGateway, seen: Observed, texts: Texts, notes: Notes, current: Texts) -> Iterable[Step]:
    """Write down what is already so. What the controller makes of it by itself stays below, and goes again."""
    if texts:
        yield from _fenced(gateway, seen, _write(texts, notes, current, seen, gateway))


def _fenced(gateway: ExternalGateway, seen: Observed, step: Step) -> Iterable[Step]:
    """A write with which the controller adds gateway chassis at priorities of its own: all others stand above them."""
    coming = bool(coming_rows(gateway, seen))
    if coming:
        yield _raise(seen.members(gateway).order, in_place=True)
    yield step
    if coming:
        yield _order(gateway, seen, moves=False)


def _late_rows(
    gateway: ExternalGateway, seen: Observed, surplus: Sequence[GatewayChassis], texts: Texts
) -> list[GatewayChassis]:
    """Gateway chassis that go, and that the controller would add again at a write: they stay until it has looked.

    Else one row could become two meanwhile, for which OVN asks for tunnels that are not up. Where nobody forwards now
    they are in the way.
    """
    active = seen.node(seen.active) if seen.active else None
    if not texts or active is None or not active.ready:
        return []
    coming = [seen.node(name) for name in coming_rows(gateway, seen)]
    chassis = {node.chassis for node in coming if node}
    return [row for row in surplus if row.chassis in chassis]


def _distributing(gateway: ExternalGateway, seen: Observed) -> Iterable[Step]:
    """With `distributed` the controller does not look at the list: when that changed it would find no gateway at all.

    It drops all labels and then takes those nodes that have one (getGatewayChassis in external_gw.go). So a list is
    always written as a centralized gateway's, and the type after the controller has had its turn.
    """
    text = (
        f"set in ConfigMap {CONFIG_MAP}: type=distributed, once kube-ovn-controller has labelled the nodes of the list"
    )
    coming = coming_rows(gateway, seen)
    data = {"data": {"type": "distributed"}, "notes": {}, "coming": coming}
    loss = COMING if coming and _makes_two_of_one(gateway, seen, {"type": "distributed"}) else None
    yield from _fenced(gateway, seen, Step("write_config_map", text, loss, data))


def _makes_two_of_one(gateway: ExternalGateway, seen: Observed, texts: Texts) -> bool:
    """Whether a row that comes by a write is a second one, so that OVN asks for tunnels that are not up."""
    members, late = seen.members(gateway), _late_rows(gateway, seen, surplus_rows(gateway, seen), texts)
    alone = len(seen.rows) == 1 or (len(members.order) == 1 and not late)
    return alone or (members.cut_off and not late)


def _making(
    gateway: ExternalGateway, seen: Observed, texts: dict[str, str], notes: Notes, leaving: list[str], dropped: bool
) -> Iterable[Step]:
    """Have the controller make what is missing. The gateways that go stay until it has: somebody must forward."""
    if seen.rows and not dropped:
        yield _raise([seen.node_of(row.chassis) for row in seen.rows], in_order(gateway, seen))
    misnamed = [] if dropped else misnamed_rows(gateway, seen)
    if misnamed:  # the controller would take them for those that it is to make
        yield _take_out(gateway, seen, misnamed)
    if leaving:
        texts[NODES_KEY] = ",".join([*gateway.nodes, *leaving])
    known = seen.config_map or {}
    differs = {key: value for key, value in texts.items() if not same_text(key, value, known.get(key))}
    yield _write(differs, notes, seen.config_map, seen, gateway)


def _raise(names: Iterable[str], in_place: bool) -> Step:
    text = f"raise the priorities of {', '.join(names)}"
    text += ", so that a gateway that is added stays below until its bridge is there"
    return Step("raise", text, None if in_place else MOVE)


def _tune(bfd: Texts, seen: Observed) -> Iterable[Step]:
    changed = changed_options(bfd, seen)
    if changed:
        values = ", ".join(
            f"{key}={value} (was {seen.ovn.options.get(key, 'unset')})" for key, value in changed.items()
        )
        text = f"set in NB_Global's options: {values}; all tunnels of OVN use them at once"
        yield Step("set_options", text, None, changed)


def _unlabel(names: list[str]) -> Iterable[Step]:
    if names:
        text = f'label {", ".join(names)} as no gateway any more ("false"): the node daemon takes the bridge away'
        yield Step("label", text, None, {"labels": dict.fromkeys(names, "false")})


def _label(gateway: ExternalGateway, seen: Observed) -> Iterable[Step]:
    names = unlabelled(gateway, seen)
    if names:
        text = f"label {', '.join(names)} as gateways: the node daemon puts {gateway.nic} into the bridge"
        yield Step("label", text, None, {"labels": dict.fromkeys(names, "true")})


def _repair(gateway: ExternalGateway, seen: Observed, drop_port: bool, ports: list[SwitchPort]) -> Iterable[Step]:
    """NB, for what the controller never touches again."""
    port, names = seen.ovn.router_port, seen.ovn.names
    if drop_port or ports:
        parts = ([f"router port {names.router_port}"] if drop_port else []) + [
            f"switch port {one.name}" for one in ports
        ]
        text = f"remove what is left of {' and '.join(parts)}, so that kube-ovn-controller makes it anew"
        text += "; external traffic is broken already"
        data = {"router_port": drop_port, "switch_ports": [one.name for one in ports]}
        yield Step("clear", text, None, data)
    spoilt = spoilt_ports(seen)
    if spoilt.names:
        text = f"put {', '.join(spoilt.names)} into service again, as kube-ovn-controller makes them"
        yield Step("mend_ports", text)
    localnet = wrong_localnet(seen)
    if localnet and localnet not in ports:
        was = f"{localnet.options.get('network_name')}, VLAN {localnet.tag or 0}"
        tag = seen.vlan
        vlan = f", VLAN {tag}" if tag is not None else ""
        text = f"tie {localnet.name} to network {seen.network}{vlan} (was {was})"
        yield Step("set_localnet", text, None, {"network": seen.network, "tag": tag})
    if port and not drop_port and (port.mac.lower() != gateway.nic_mac or port.networks != (gateway.nic_ip,)):
        text = f"give router port {port.name} {gateway.nic_mac} {gateway.nic_ip} in place of {port.mac} "
        loss = (
            "all external traffic, for seconds, until the neighbours know the new MAC; role external_gateway tells them"
        )
        if port.mac.lower() == gateway.nic_mac:
            loss = f"traffic to {', '.join(port.networks)} itself, not to EIPs"
        data = {"mac": gateway.nic_mac, "networks": [gateway.nic_ip]}
        yield Step("set_router_port", text + ", ".join(port.networks), loss, data)
    policies = old_policies(gateway, seen)
    if policies:
        hop = gateway.gateway.split("/")[0]
        text = f"send the packets of {len(policies)} EIPs to gateway {hop}"
        yield Step("set_nexthop", text, "the traffic of these EIPs, if the new gateway does not forward", {"hop": hop})


def _write(texts: Texts, notes: Notes, current: Texts | None, seen: Observed, gateway: ExternalGateway | None) -> Step:
    """Set keys of the ConfigMap. gateway: None when the controller has nothing to make of it."""
    coming = coming_rows(gateway, seen) if gateway else []
    data = {"data": dict(texts), "notes": dict(notes), "coming": coming}
    if current is None:
        content = ", ".join(f"{key}={value}" for key, value in texts.items())
        text = f"create ConfigMap {CONFIG_MAP} with {content}; kube-ovn-controller makes switch, router port and labels"
        return Step("write_config_map", text, None, data)
    if list(texts) == [REVISION_KEY]:
        text = f"make kube-ovn-controller look again: {REVISION_KEY}={texts[REVISION_KEY]} in ConfigMap {CONFIG_MAP}"
    else:
        changes = ", ".join(f"{key}={value} (was {current.get(key, 'missing')})" for key, value in texts.items())
        text = f"set in ConfigMap {CONFIG_MAP}: {changes}"
    if coming:
        text += f"; kube-ovn-controller then adds the gateway chassis of {', '.join(coming)}, which go again"
    loss = _loss_of_writing(texts, current, seen, gateway, coming)
    return Step("write_config_map", text, loss, data, lasting=loss == LOOP)


def _warm_up(gateway: ExternalGateway, seen: Observed) -> Iterable[Step]:
    """Before a second row. With one there is no BFD; its sessions begin as down, and the active gateway lets go until
    they are up (0.8 s to 1.7 s, seen on OVN 25.03). They are kept up by whatever else asks for them."""
    members = seen.members(gateway)
    nodes = [node for name in members.order if name not in members.dead and (node := seen.node(name))]
    new = [node for node in nodes if node.chassis and node.chassis not in seen.row_of]
    misnamed = misnamed_rows(gateway, seen)  # they go when these come
    rows = [row for row in seen.rows if row not in misnamed]
    if len(rows) == 1 and new and not broken_parts(seen)[0]:
        text = f"have OVN watch the tunnels to {', '.join(node.name for node in new)}, before their rows ask for it"
        yield Step("warm_up", text, None, {"chassis": [rows[0].chassis, *(node.chassis for node in new)]})


def _cool_down(warmed: bool, seen: Observed) -> Iterable[Step]:
    if warmed or any(port.name == WARM_UP for port in seen.ovn.other_ports):
        yield Step("cool_down", f"take router {WARM_UP} away, which had OVN watch the tunnels")


def _loss_of_writing(
    texts: Texts, current: Texts, seen: Observed, gateway: ExternalGateway | None, coming: Sequence[str]
) -> str | None:
    if gateway and _makes_a_loop(gateway, seen, texts, current):
        return LOOP
    if coming and gateway and _makes_two_of_one(gateway, seen, texts):
        return COMING
    back = current.get("type") == "distributed" and texts.get("type") == "centralized"
    if seen.disabled or not (NODES_KEY in texts or back):
        return None
    if tears_down(seen):
        return TEAR_DOWN
    gateways = [node for node in seen.nodes if node.gateway_label == "true"]
    return None if all(node.userspace for node in gateways) else RELABEL


def _makes_a_loop(gateway: ExternalGateway, seen: Observed, texts: Texts, current: Texts) -> bool:
    """Whether node daemons put a new NIC beside the old one. Where evidence shows it there already, they do nothing."""
    if "external-gw-nic" not in texts or not current.get("external-gw-nic") or seen.disabled:
        return False
    nodes = [node for name in gateway.nodes if (node := seen.node(name)) and seen.mapped(name)]
    return any(node.name not in seen.evidence or not seen.evidence[node.name].connected for node in nodes)


def _add_rows(gateway: ExternalGateway, seen: Observed) -> Step:
    names = missing_rows(gateway, seen)
    text = f"give router port {seen.ovn.names.router_port} the gateway chassis of {', '.join(names)}, below all others"
    misnamed = ", ".join(f"{row.name} (chassis {row.chassis})" for row in misnamed_rows(gateway, seen))
    return Step("add_gateway_chassis", text + (f", in place of {misnamed}" if misnamed else ""))


def _order(gateway: ExternalGateway, seen: Observed, moves: bool | None = None) -> Step:
    members = seen.members(gateway)
    text = ", ".join(f"{name}={FIRST_CHASSIS_PRIORITY - index}" for index, name in enumerate(members.order))
    text = f"when each has its gateway chassis and bridge, see to priorities {text}"
    moves = seen.active is not None and seen.active != members.first if moves is None else moves
    return Step("order", text, MOVE if moves else None)


def _take_out(gateway: ExternalGateway, seen: Observed, surplus: Sequence[GatewayChassis]) -> Step:
    members = seen.members(gateway)
    names = [seen.node_of(row.chassis) if seen.row_of[row.chassis] == row else row.name for row in surplus]
    why = "; ".join(f"{name}: {members.out[name]}" for name in names if name in members.out)
    text = f"take the gateway chassis of {', '.join(names)} out of NB"
    text += f" ({why})" if why else f", before its bridge goes; traffic is on {members.first or 'another one'}"
    # When one of them is active the step before has moved the traffic.
    return Step("delete_gateway_chassis", text, None, {"chassis": [row.chassis for row in surplus]})


def _distribution(gateway: ExternalGateway, seen: Observed) -> Iterable[Step]:
    rules = misplaced_rules(gateway, seen)
    if rules:
        where = "each holder's own node" if gateway.type == "distributed" else "the active gateway"
        text = f"have the NAT of {', '.join(rule.external_ip for rule, _port in rules)} done on {where}"
        # The active gateway still forwards for a distributed EIP; a holder's node does not for a centralized one.
        loss = "traffic of these EIPs, until the neighbours know their new MAC; role external_gateway tells them"
        yield Step("set_distribution", text, None if gateway.type == "distributed" else loss)


# --- what is noted in the ConfigMap's annotations, and taken back ---------------------------------------------------


def _notes(gateway: ExternalGateway, seen: Observed, leaving: list[str], texts: Texts) -> dict[str, str | None]:
    """What goes into the annotations, so that a run that is killed half-way leaves it for the next one."""
    rescued = seen.members(gateway).rescued
    # Who is given back is noted until it has its row.
    wanted = {RESCUED_NOTE: present(dict.fromkeys([*seen.names_in(RESCUED_NOTE), *rescued]))}
    if texts:
        wanted[COMING_NOTE] = present(coming_rows(gateway, seen))
    if NODES_KEY in texts or "type" in texts:  # the controller drops labels then
        # Who stays is noted too: it shows the next run that the controller may still have to take its turn.
        was = seen.listed if NODES_KEY in texts else []
        wanted[LEAVING_NOTE] = present(dict.fromkeys([*seen.names_in(LEAVING_NOTE), *was, *leaving]))
        wanted[HAND_NOTE] = present(hand_labelled(gateway, seen))
    return {key: value for key, value in wanted.items() if value != (seen.notes.get(key) or None)}


def _note_rescue(notes: Notes) -> Iterable[Step]:
    names = notes.get(RESCUED_NOTE)
    if names:
        text = f"note in ConfigMap {CONFIG_MAP} that {names} come back only when proven"
        yield Step("note", text, None, {"notes": {RESCUED_NOTE: names}})


def _settle(seen: Observed, notes: Notes, rescued: str | None) -> Iterable[Step]:
    """The labels that others set, which the controller drops, and the notes that are of no use any more."""
    by_hand = notes.get(HAND_NOTE) or seen.notes.get(HAND_NOTE)
    if by_hand:
        text = f"see that {by_hand} keep the gateway label that others gave them"
        yield Step("keep_labels", text, None, {"nodes": by_hand.split(",")})
    final: dict[str, str | None] = {key: None for key in PASSING_NOTES if notes.get(key) or seen.notes.get(key)}
    if rescued != (notes.get(RESCUED_NOTE, seen.notes.get(RESCUED_NOTE)) or None):
        final[RESCUED_NOTE] = rescued
    if final:
        text = f"take off ConfigMap {CONFIG_MAP} what is noted for no reason any more: {', '.join(final)}"
        yield Step("note", text, None, {"notes": final})


# --- disabled, absent -----------------------------------------------------------------------------------------------


def _disabling(gateway: ExternalGateway, seen: Observed) -> Iterable[Step]:
    yield from _tune(gateway.bfd, seen)
    texts = written_data(gateway, seen)
    by_hand = hand_labelled(gateway, seen)
    leaving = [*seen.names_in(LEAVING_NOTE), *stray_labels(gateway, seen)]
    notes: dict[str, str | None] = {HAND_NOTE: present(by_hand)} if by_hand and not seen.disabled else {}
    notes |= {LEAVING_NOTE: present(dict.fromkeys(leaving))} if leaving and texts else {}
    pair = router_pair(seen)
    loss = f"all external traffic through {', '.join(pair)}" if pair else None
    if texts:
        step = _write(texts, notes, seen.config_map, seen, None)
        ends = loss if ENABLE_KEY in texts and seen.config_map is not None else None
        yield Step(step.action, step.text, ends, step.data, lasting=True)
    # A ConfigMap that was enabled just now: the controller may make it all before it sees that it is disabled again.
    if pair or not (seen.disabled or seen.enabled):
        text = f"delete in NB what kube-ovn-controller leaves: {', '.join(pair) or 'what it may be making now'}"
        yield Step("delete_router_port", text, loss, lasting=True)
    labelled = [node.name for node in seen.nodes if node.gateway_label == "true" and node.name not in by_hand]
    if labelled and (seen.disabled or ENABLE_KEY not in texts):  # else the controller does it
        yield from _unlabel(labelled)
    yield from _cool_down(False, seen)
    yield from _settle(seen, notes, seen.notes.get(RESCUED_NOTE) or None)


def _removal(seen: Observed, bfd: Texts) -> Iterable[Step]:
    by_hand = hand_labelled(None, seen)
    loss = f"whatever uses {', '.join(_networks(seen)) or 'the router port'}"
    if seen.config_map is not None and not seen.disabled:
        # The controller drops all labels: as long as the ConfigMap is there, it says which of them to put back.
        data = {"data": {ENABLE_KEY: "false"}, "notes": {HAND_NOTE: present(by_hand)} if by_hand else {}}
        text = f"disable the gateway in ConfigMap {CONFIG_MAP}; kube-ovn-controller takes the nodes' labels back"
        yield Step("write_config_map", text, loss, data, lasting=True)
    if by_hand and seen.config_map is not None:
        text = f"see that {', '.join(by_hand)} keep the gateway label that others gave them"
        yield Step("keep_labels", text, None, {"nodes": by_hand})
    if leftovers(seen):
        text = f"delete in NB what kube-ovn-controller leaves: {', '.join(leftovers(seen))}"
        yield Step("delete_external", text, loss if seen.ovn.router_port else None, lasting=True)
    labelled = [node.name for node in seen.nodes if node.gateway_label is not None and node.name not in by_hand]
    if labelled:
        text = f"remove the gateway label from {', '.join(labelled)}; the node daemon takes the bridge away"
        yield Step("label", text, None, {"labels": dict.fromkeys(labelled)})
    if seen.config_map is not None:  # the last thing that says which labels are the gateway's
        yield Step("delete_config_map", f"delete ConfigMap {CONFIG_MAP}")
    yield from _cool_down(False, seen)
    mine = {key: None for key, value in bfd.items() if seen.ovn.options.get(key) == value}
    if mine:
        yield Step("set_options", f"take {', '.join(mine)} out of NB_Global's options", None, mine)


def _networks(seen: Observed) -> tuple[str, ...]:
    return seen.ovn.router_port.networks if seen.ovn.router_port else ()
