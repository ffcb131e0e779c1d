# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright (c) 2026, kubeovn.core contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which requests for EIPs are refused, each with its option's path. Pure.

Private to this collection: no promise is made to other users.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from ansible_collections.kubeovn.core.plugins.module_utils._addresses import IPV6_REASON, not_a_host_of
from ansible_collections.kubeovn.core.plugins.module_utils._claims import lease_name
from ansible_collections.kubeovn.core.plugins.module_utils._eip_assign import Wishes
from ansible_collections.kubeovn.core.plugins.module_utils._eip_site import Observed, Site, addresses_of, is_eip_rule
from ansible_collections.kubeovn.core.plugins.module_utils._eip_vpc import has_by_objects, objects_refused, torn
from ansible_collections.kubeovn.core.plugins.module_utils._model import (
    AUTO,
    CONFIG_MAP,
    DEFAULT_VPC,
    FIP,
    NAT_TYPES,
    SNAT,
    Eip,
    Holder,
    PodView,
    Problem,
    Workload,
)

GATEWAY_HINT = "configure it first: kubeovn.core.ovn_external_gw"
RELEASE_HINT = "release it there first (state: absent), take it with reassign: true, or choose another address"
LEASE_HINT = "somebody has written in it: repair or delete it, or choose another address"
IPV4_HINT = "an EIP needs an IPv4 pod"
ONE_NIC_HINT = "an EIP needs a pod with one NIC there"
UNDERLAY_HINT = "it has an address of a physical network already"
TAKE_HINT = "release it there first, or choose another address: reassign takes it from holders only"


def _is_ipv4(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def doubles(desired: Sequence[Eip]) -> list[Problem]:
    """Requests of one task that contradict each other, whatever the cluster looks like."""
    problems = []
    holders: dict[tuple[Holder, str], str] = {}
    addresses: dict[str, Eip] = {}
    for eip in desired:
        if (eip.holder, eip.kind) in holders:
            text = f"{eip.holder} is named twice, in {holders[eip.holder, eip.kind]} too"
            problems.append(Problem(eip.path, text, f"a holder has one EIP of kind {eip.kind}"))
        holders.setdefault((eip.holder, eip.kind), eip.path)
        if eip.address is None:
            continue
        if not _is_ipv4(eip.address):
            text = f"{eip.address!r} is not an IPv4 address"
            hint = "like 10.4.19.101, without a prefix length"
            problems.append(Problem(f"{eip.path}.address", text, IPV6_REASON if ":" in eip.address else hint))
            continue
        other = addresses.setdefault(eip.address, eip)
        if other is not eip and not other.kind == eip.kind == SNAT:
            text = f"{eip.address} is asked for twice, in {other.path} too"
            problems.append(Problem(f"{eip.path}.address", text, "only a SNAT address can have several holders"))
    return problems


def gateway_problems(site: Site) -> list[Problem]:
    """What is missing for any EIP at all."""
    observed = site.observed
    if not observed.configured:
        text = f"no external gateway is configured: ConfigMap {CONFIG_MAP} is missing or says false"
        return [Problem("eips", text, GATEWAY_HINT)]
    if not observed.blind and (not observed.ovn.router_port or not site.network):
        text = "the router has no port on the external network, although the ConfigMap asks for one"
        return [Problem("eips", text, GATEWAY_HINT)]
    return []


def problems(desired: Sequence[Eip], wishes: Wishes, observed: Observed) -> list[Problem]:
    """Everything for which single EIPs are refused before the first write."""
    site = Site(observed)
    found: list[Problem] = list(torn(desired, site)) if wishes.state == "present" else []
    for eip in desired:
        if site.by_objects(eip):
            found += _by_objects(eip, wishes, site) if wishes.state == "present" else _of_another_kind(eip, site)
            continue
        if wishes.state == "present":
            found += _holder_problems(eip, site)
            if eip.address and _is_ipv4(eip.address):
                found += _place_problems(eip, site, wishes)
                path, hint = f"{eip.path}.address", TAKE_HINT if wishes.reassign else RELEASE_HINT
                reasons = dict.fromkeys(holds(eip, wishes, site))
                found += [Problem(path, f"{eip.address} is held by {reason}", hint) for reason in reasons]
                found += _out_of_sight(eip, wishes, site)
        else:
            found += _of_another_kind(eip, site)
        found += [*_blind_problems(eip, wishes, site), *_contested(eip, site), *_kind_problems(eip, site)]
    return found


def _out_of_sight(eip: Eip, wishes: Wishes, site: Site) -> Iterable[Problem]:
    """Holders to be cleaned before the address is another's, of whom this identity may see nothing: nor clean them."""
    claim = site.claims.get(eip.address or "")
    if claim is None:
        return
    taken = wishes.reassign and not (claim.of(eip.holder) or claim.kind == eip.kind == SNAT)
    losers = [*(claim.claimants if taken else ()), *(claim.former if taken or claim.of(eip.holder) else ())]
    for holder in dict.fromkeys(one.holder for one in losers if not site.is_seen(one.holder)):
        text = f"{eip.address} is to be taken from {holder}, and this identity may not look into its namespace"
        yield Problem(f"{eip.path}.address", text, "let somebody move it who may see both, or release it there first")


def _of_another_kind(eip: Eip, site: Site) -> Iterable[Problem]:
    """An address to be released that the holder has as another kind: it would stay, and the task would say ok."""
    address = eip.address or ""
    claim = site.claims.get(address)
    kinds = [kind for kind in NAT_TYPES if address in site.asked_by(eip.holder, kind)]
    kinds += [claim.kind] if claim and claim.of(eip.holder) else []
    if kinds and eip.kind not in kinds:
        text = f"{address} is of kind {kinds[0]} to {eip.holder}, and kind {eip.kind} is asked for"
        yield Problem(f"{eip.path}.kind", text, f"kind: {kinds[0]}")


def _by_objects(eip: Eip, wishes: Wishes, site: Site) -> Iterable[Problem]:
    """Why an EIP is refused that objects make, in a custom VPC."""
    yield from _holder_problems(eip, site)
    yield from objects_refused(eip, wishes, site)
    owner = site.infrastructure().get(eip.address or "", "")
    if owner and not owner.startswith("router port"):  # one that Kube-OVN has made for the VPC can serve NAT as well
        hint = "choose another address of the external network"
        yield Problem(f"{eip.path}.address", f"{eip.address} belongs to {owner}", hint)
    if eip.address in wishes.busy and not has_by_objects(eip, site):
        text = f"{eip.address} answers on the network, though Kubernetes and OVN know nothing of it"
        yield Problem(f"{eip.path}.address", text, "find the machine that has it, or choose another address")
    if lease_name(eip.address or "") in site.observed.unreadable:
        yield Problem(
            f"{eip.path}.address", f"Lease {lease_name(eip.address or '')} is not readable as a claim", LEASE_HINT
        )
    named: set[Holder] = set()
    own = (eip.holder, eip.kind)  # its own annotation does nothing there, and goes
    mentions = [one for one in site.mentions(eip.address or "") if (one.holder, one.kind) != own]
    reasons = [f"{one.holder} ({one.where})" for one in mentions if one.outside or not wishes.reassign]
    reasons += [] if wishes.reassign else _claimed(eip, site, named)
    for reason in dict.fromkeys(reasons):
        yield Problem(f"{eip.path}.address", f"{eip.address} is held by {reason}", RELEASE_HINT)
    yield from _out_of_sight(eip, wishes, site)


def _blind_problems(eip: Eip, wishes: Wishes, site: Site) -> Iterable[Problem]:
    """What Kube-OVN would leave behind in OVN, where nobody can take it away."""
    if not site.observed.blind:
        return
    asked = [one for one in site.asked_by(eip.holder, eip.kind) if one != eip.address]
    claimed = [claim.address for claim in site.claims_of(eip.holder, eip.kind)]
    live = [pod for pod in site.pods_of(eip.holder) if not pod.deleting]
    if wishes.state == "present" and asked and eip.kind == FIP:
        text = f"the NAT rule of {asked[0]}, which {eip.holder} has now, would stay: OVN is not to be looked at"
        yield Problem(f"{eip.path}.address", text, "release that one first (state: absent), then attach the other")
    if wishes.state != "present" and not live and (site.asked_by(eip.holder, eip.kind) or claimed):
        text = f"{eip.holder} has no live pod, so its NAT rule would stay: OVN is not to be looked at"
        yield Problem(eip.path, text, "release it while it runs, or with access to OVN")


def _contested(eip: Eip, site: Site) -> Iterable[Problem]:
    """A pod whose floating address somebody else has a rule of, too: Kube-OVN then does nothing at all for the pod."""
    for pod in site.pods_of(eip.holder) if eip.kind == SNAT else ():
        rules = [rule for rule in site.rules_by_external.get(pod.eip or "", []) if is_eip_rule(rule)]
        if len(rules) > 1 and any(rule.logical_ip not in addresses_of(pod) for rule in rules):
            text = f"pod {pod.namespace}/{pod.name} has EIP {pod.eip}, of which OVN has {len(rules)} NAT rules"
            yield Problem(eip.path, text, "settle first who has that one: Kube-OVN gives up on such a pod")


def _place_problems(eip: Eip, site: Site, wishes: Wishes) -> list[Problem]:
    path, address, network = f"{eip.path}.address", IPv4Address(eip.address or ""), site.network
    if network and (refused := not_a_host_of(address, IPv4Network(network))):
        return [Problem(path, f"{address} is {refused}", "choose an address of the gateway's subnet")]
    owner = site.infrastructure().get(str(address))
    if owner:
        return [Problem(path, f"{address} belongs to {owner}", "choose another address of the subnet")]
    if str(address) in site.observed.ips and not site.rules_by_external.get(str(address)):
        text = f"{address} is an address of Kube-OVN's own: an IP object has it"
        return [Problem(path, text, "choose another address, or see whose it is: kubectl get ips.kubeovn.io")]
    if str(address) in wishes.busy and str(address) not in site.asked_by(eip.holder, eip.kind):
        text = f"{address} answers on the network, though Kubernetes and OVN know nothing of it"
        return [Problem(path, text, "find the machine that has it, or choose another address")]
    return []


def _kind_problems(eip: Eip, site: Site) -> list[Problem]:
    """Holders that are refused whatever the state: pods that are another holder's, and those with an EIP by CRDs."""
    pod = site.pod_named(eip.holder) if eip.holder.kind == "Pod" else None
    owner = site.holder_of(pod) if pod else eip.holder
    if pod is not None and owner.kind == "VirtualMachine":
        text = f"pod {pod.namespace}/{pod.name} is the launcher of VirtualMachine {pod.namespace}/{pod.vm}"
        return [Problem(f"{eip.path}.pod", text, f"use vm: {pod.vm}; an EIP on the pod alone is lost at a restart")]
    if pod is not None and pod.replica_set:
        text = f"pod {pod.namespace}/{pod.name} is one of ReplicaSet {pod.replica_set}, another one will follow it"
        hint = f"use deployment: {pod.deployment}" if pod.deployment else "an EIP needs a holder that stays"
        return [Problem(f"{eip.path}.pod", text, hint)]
    rules = [rule for ip in site.logical_addresses(eip.holder) for rule in site.rules_by_logical.get(ip, [])]
    return [
        Problem(
            eip.path,
            f"{eip.holder} has EIP {rule.external_ip} by OvnEip {site.observed.ovn_eips[rule.external_ip]}",
            "delete its OvnFip first: Kube-OVN cannot keep both apart",
        )
        for rule in rules
        if is_eip_rule(rule, eip.kind) and rule.external_ip in site.observed.ovn_eips
    ]


OPTIONS = {"VirtualMachine": "vm", "Pod": "pod", "Deployment": "deployment"}


def _holder_problems(eip: Eip, site: Site) -> list[Problem]:
    holder, path = eip.holder, f"{eip.path}.{OPTIONS[eip.holder.kind]}"
    if holder.kind == "VirtualMachine" and site.observed.vms is None:
        return [Problem(path, "this cluster has no KubeVirt, so it has no VirtualMachine", "use pod: for a pod")]
    if not site.exists(holder):
        return [Problem(path, f"{holder} does not exist", "check name and namespace")]
    workload, pod = site.workloads.get(holder), site.pod_named(holder) if holder.kind == "Pod" else None
    if (workload and workload.deleting) or (pod and pod.deleting):
        return [Problem(path, f"{holder} is being deleted", "wait until it is gone, or choose another")]
    if pod and not pod.alive:
        return [Problem(path, f"{holder} has ended ({pod.phase})", "only a live pod can have an EIP")]
    if pod and (found := _passing(path, pod, site)):
        return [found]
    if (pod and pod.host_network) or (workload and workload.host_network):
        text = f"{holder} uses its node's network (hostNetwork), so Kube-OVN gives it no address"
        return [Problem(path, text, "an EIP needs a pod on the overlay")]
    if workload and eip.kind == FIP and (found := _shared_template(path, workload)):
        return [found]
    if workload and workload.paused and not site.by_objects(eip) and workload.template(eip.kind) != eip.address:
        text = f"{holder} is paused, so that no pod of it would get what its template says"
        return [Problem(path, text, f"kubectl -n {holder.namespace} rollout resume deployment {holder.name}")]
    return [] if site.by_objects(eip) else _unserved_problems(path, eip, site)


def _unserved_problems(path: str, eip: Eip, site: Site) -> list[Problem]:
    """Holders whose network, now or when they have a pod, Kube-OVN's annotations do not serve."""
    workload = site.workloads.get(eip.holder)
    unserved = (_elsewhere(path, workload, eip, site) or _unserved(path, workload, site)) if workload else None
    if unserved:
        return [unserved]
    return [problem for pod in site.pods_of(eip.holder) for problem in _network_problems(path, pod)]


def _elsewhere(path: str, workload: Workload, eip: Eip, site: Site) -> Problem | None:
    """Why a holder that never ran cannot have an annotation: in its VPC it would do nothing, and never go."""
    homes = site.observed.homes
    if homes is None or site.has_address(eip.holder):
        return None
    vpc = homes.vpc_of(workload.namespace, workload.switch)
    if vpc == DEFAULT_VPC or (vpc is None and eip.backend != AUTO):
        return None
    where = f"will be in VPC {vpc}" if vpc else "may be in a VPC of its own"
    text = f"{eip.holder} has had no address from Kube-OVN yet, and {where}, where the annotation does nothing"
    return Problem(path, text, "start it once: its EIP is made of objects then")


def _unserved(path: str, workload: Workload, site: Site) -> Problem | None:
    """Why the pod that a holder does not have yet will be one that Kube-OVN's annotations do not serve."""
    holder, nics = workload.holder, site.observed.nics
    if nics is None or site.pods_of(holder):
        return None
    if providers := nics.further(workload.networks, dict(workload.nic_switches)):
        text = f"{holder} will have more NICs in {DEFAULT_VPC} ({', '.join(providers)}): the annotation would hit each"
        return Problem(path, text, ONE_NIC_HINT)
    known, own = site.logical_addresses(holder), nics.kept.get((holder.namespace, holder.name))
    # What is kept for further NICs, as of a VLAN, counts as little as it does of a pod; and what is kept elsewhere than
    # the template says, nobody knows whether it will be taken.
    stays = own is not None and workload.switch in (None, own.net.name)
    kept = [address for address in known if own and stays and address in own.addresses]
    there = (own.net,) if own and kept else ()
    nets = there if known else nics.first(workload.namespace, workload.switch)
    places = ", ".join(f"Subnet {net.name}, {net.cidr}" for net in nets)
    if any(":" in address for address in kept) or (nets and not kept and all(net.has_ipv6 for net in nets)):
        text = f"{holder} will have an IPv6 address ({', '.join(kept) or places}): Kube-OVN's reroute policy never"
        return Problem(path, f"{text} matches an IPv6 or dual-stack pod", IPV4_HINT)
    if nets and all(net.underlay for net in nets):
        text = f"{holder} will be on a provider network itself ({places}), not on the overlay: no router translates"
        return Problem(path, f"{text} for it", UNDERLAY_HINT)
    return None


def _passing(path: str, pod: PodView, site: Site) -> Problem | None:
    """Why a pod's EIP would be lost: another one follows it, under another name, and nothing gives that one the EIP."""
    name = f"pod {pod.namespace}/{pod.name}"
    if pod.launched and site.observed.vms is not None and site.holder_of(pod).kind == "Pod":
        text = f"{name} is the launcher of VirtualMachineInstance {pod.vm}, which no VirtualMachine has made"
        return Problem(path, text, "an EIP needs a VirtualMachine, whose template keeps it over migration and restart")
    if pod.passing:
        text = f"{name} is one of a {pod.passing}, which gives the next one another name"
        return Problem(path, text, "an EIP needs a holder that stays: a VM, a pod, a StatefulSet's pod, a Deployment")
    return None


def _shared_template(path: str, workload: Workload) -> Problem | None:
    """Why several pods would have the template's EIP at once: Kube-OVN breaks all but the first, and says nothing."""
    if workload.replicas > 1:
        text = f"{workload.holder} has {workload.replicas} replicas, which share its template"
        return Problem(path, text, "an EIP needs one replica; for the source address of many, use kind: snat")
    if workload.surges:
        text = f"{workload.holder} starts a new pod before the old one has ended (strategy RollingUpdate)"
        return Problem(path, text, "set its strategy to Recreate")
    return None


def _network_problems(path: str, pod: PodView) -> list[Problem]:
    """Pods whose network Kube-OVN's annotations do not serve."""
    name = f"pod {pod.namespace}/{pod.name}"
    if pod.vpc not in (None, DEFAULT_VPC):
        text = f"{name} is in VPC {pod.vpc}: the annotation works in {DEFAULT_VPC} only"
        return [Problem(path, text, "use OvnEip and OvnFip there")]
    if pod.underlay:
        text = f"{name} is on provider network {pod.underlay} itself, not on the overlay: no router translates for it"
        return [Problem(path, text, UNDERLAY_HINT)]
    if pod.has_ipv6:
        text = f"{name} has address {pod.ip}: Kube-OVN's reroute policy never matches an IPv6 or dual-stack pod"
        return [Problem(path, text, IPV4_HINT)]
    if pod.extra_nics:
        text = f"{name} has more NICs in {DEFAULT_VPC} ({', '.join(pod.extra_nics)}): the annotation would hit each"
        return [Problem(path, text, ONE_NIC_HINT)]
    return []


# --- who else has the address ---------------------------------------------------------------------------------------


def holds(eip: Eip, wishes: Wishes, site: Site) -> Iterable[str]:
    """Who else has the address and keeps it: by annotation, claim, OvnEip, or NAT rule."""
    address, holder = eip.address or "", eip.holder
    named: set[Holder] = set()
    if any(address in site.asked_by(holder, kind) for kind in NAT_TYPES if kind != eip.kind):
        yield f"{holder} itself, as another kind than {eip.kind}"
    for one in site.contenders(address, eip.kind):
        if one.holder != holder and one.holder not in named and (one.outside or not wishes.reassign):
            named.add(one.holder)
            yield f"{one.holder} ({one.where})"
    if not wishes.reassign:
        yield from _claimed(eip, site, named)
    if lease_name(address) in site.observed.unreadable:
        yield f"nobody knows whom: Lease {lease_name(address)} is not readable as a claim, so repair or delete it"
    if address in site.observed.ovn_eips:
        yield f"OvnEip {site.observed.ovn_eips[address]}"
        return
    for rule in site.foreign_rules.get(address, []):
        yield f"another router (NAT rule {rule.type} {rule.external_ip} -> {rule.logical_ip})"
    yield from _ruled(eip, wishes, site, named)


def _claimed(eip: Eip, site: Site, named: set[Holder]) -> Iterable[str]:
    claim = site.claims.get(eip.address or "")
    if claim is None or (claim.kind == eip.kind and (claim.of(eip.holder) or eip.kind == SNAT)):
        return
    for one in claim.claimants:
        if one.holder != eip.holder and one.holder not in named:
            named.add(one.holder)
            gone = "" if site.exists(one.holder) or not site.is_seen(one.holder) else ", which does not exist"
            yield f"{one.holder}{gone} (claim {lease_name(claim.address)})"
    if claim.kind != eip.kind and claim.of(eip.holder):
        yield f"{eip.holder} itself, as kind {claim.kind} (claim {lease_name(claim.address)})"


def _ruled(eip: Eip, wishes: Wishes, site: Site, named: set[Holder]) -> Iterable[str]:
    own = site.logical_addresses(eip.holder)
    for rule in site.rival_rules(eip.address or "", eip.kind):
        if is_eip_rule(rule) and eip.kind == FIP and (rule.logical_ip in own or site.is_leftover(rule, eip.holder)):
            continue
        words = f"(NAT rule {rule.type} {rule.external_ip} -> {rule.logical_ip})"
        owners = site.holders_at(rule.logical_ip)
        others = [other for other in owners if other not in named]
        if not owners:
            yield f"a NAT rule that leads to no pod {words}"
        elif others and not (wishes.reassign and is_eip_rule(rule) and others[0] != eip.holder):
            yield f"{others[0]} {words}"
