# SPDX-License-Identifier: GPL-3.0-or-later
"""What was observed of Kube-OVN, KubeVirt and OVN, and the tests that hold it: the rows of docs/kube-ovn.md.

`seen` says how a row is known, and so where its tests have to be: "lab" was run, "source" was read, "bench" was
measured. tests/checks/test_observed.py holds list, guide and tests together.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """`what`: the guide's first column."""

    what: str
    seen: str
    tests: tuple[str, ...]


GATEWAY, EIP, EIP_ROWS = "integration/test_gateway_rows.py", "integration/test_eip.py", "integration/test_eip_rows.py"
EXTERNAL_GW, NODES, DAYS = (
    "integration/test_external_gw.py",
    "integration/test_gateway_nodes.py",
    "integration/test_eip_days.py",
)
KUBEVIRT, MOVES, SYNCED, VPC = (
    "integration/test_eip_kubevirt.py",
    "integration/test_eip_moves.py",
    "integration/test_eip_synced.py",
    "integration/test_eip_vpc.py",
)
OBJECTS = "integration/test_findings_objects.py"
MANY = "integration/test_eip_many.py::test_pods_that_are_deleted_at_one_moment_leave_nothing_that_pruning_does_not_take"

OBSERVED: dict[str, tuple[Row, ...]] = {
    "The gateway: ConfigMap ovn-external-gw-config": (
        Row(
            "write it the first time",
            "lab",
            (
                f"{EXTERNAL_GW}::test_a_site_that_was_built_by_hand_is_taken_over",
                "integration/test_gateway_tour.py::test_from_state_to_state",
            ),
        ),
        Row(
            "write a wrong MAC, mask or node name",
            "source",
            (
                "unit/test_gateway_check.py::test_everything_wrong_is_said_at_once",
                "unit/test_gateway_check.py::test_refused_with_the_options_path",
                "integration/test_gateway_preflight.py::test_refused",
            ),
        ),
        Row(
            "name a node that does not exist",
            "lab",
            (
                f"{GATEWAY}::test_a_name_of_no_node_is_told_nowhere_and_nothing_comes_of_the_rest",
                "integration/test_gateway_preflight.py::test_refused",
            ),
        ),
        Row(
            'turn it off with `enable-external-gw: "no"`',
            "source, lab",
            (
                f"{GATEWAY}::test_a_lost_gateway_chassis_comes_back_when_any_text_changes_and_only_then",
                "unit/test_gateway.py::test_enabled_by_another_word_is_made_plain",
            ),
        ),
        Row(
            "change `nic-ip` or `nic-mac`",
            "lab",
            (
                f"{EXTERNAL_GW}::test_a_change_that_kube_ovn_ignored_is_put_right",
                "unit/test_gateway.py::test_an_address_goes_to_nb_and_then_to_the_config_map",
            ),
        ),
        Row(
            "change the router port's addresses in OVN, then the same in the ConfigMap",
            "lab",
            (
                f"{NODES}::test_a_changed_mac_is_told_to_the_neighbours",
                "integration/test_gateway_tour.py::test_from_state_to_state",
                "bench/test_gateway_loss.py::test_new_mac",
            ),
        ),
        Row(
            "take a node from the list",
            "lab",
            (
                f"{GATEWAY}::test_a_node_that_is_dropped_keeps_its_row_and_the_traffic_and_the_others_their_priorities",
                "unit/test_gateway.py::test_a_removed_active_node_loses_its_row_before_its_label",
                "unit/test_gateway.py::test_traffic_never_goes_to_a_node_without_a_bridge",
            ),
        ),
        Row(
            "order the nodes anew",
            "lab",
            (
                f"{GATEWAY}::test_a_node_that_is_dropped_keeps_its_row_and_the_traffic_and_the_others_their_priorities",
                "unit/test_gateway.py::test_reordered_nodes_get_new_priorities_in_place",
            ),
        ),
        Row(
            "change any letter of it",
            "lab",
            (
                f"{GATEWAY}::test_a_lost_gateway_chassis_comes_back_when_any_text_changes_and_only_then",
                f"{NODES}::test_a_dead_gateway_is_rescued_and_comes_back_when_it_is_proven",
                "unit/test_gateway_members.py::test_rows_that_the_controller_adds_again_go_again",
            ),
        ),
        Row(
            'set it to "false", or delete it',
            "lab",
            (
                f"{GATEWAY}::test_of_a_gateway_that_is_no_more_all_stays_in_ovn",
                "integration/test_gateway_absent.py::test_nothing_is_left_of_it",
            ),
        ),
        Row(
            "delete a NAT rule or the router port by hand",
            "lab",
            (
                f"{GATEWAY}::test_a_router_port_and_a_nat_rule_deleted_by_hand_stay_away_until_the_next_run",
                f"{EXTERNAL_GW}::test_drift_is_put_right",
            ),
        ),
        Row(
            "write `type: distributed`",
            "source",
            ("unit/test_gateway_changes.py::test_distributed_is_written_once_the_nodes_are_labelled",),
        ),
        Row(
            "give the default VPC `extraExternalSubnets`",
            "source",
            (
                "unit/test_gateway_check.py::test_a_cluster_that_ignores_the_config_map_is_refused",
                "integration/test_gateway_preflight.py::test_a_default_vpc_with_subnets_of_its_own_is_refused",
            ),
        ),
        Row(
            "give it the management NIC",
            "lab",
            (
                "integration/test_external_gateway.py::test_a_wrong_nic_or_node_is_refused_before_any_write",
                "integration/test_gateway_nic_guard.py::test_each_link_is_refused_for_its_own_reason",
            ),
        ),
        Row(
            "use Kube-OVN 1.12 or 1.13",
            "source",
            (
                "unit/test_gateway.py::test_any_state_becomes_the_gateway_asked_for",
                "unit/test_gateway_changes.py::test_on_a_vlan_subnet_another_list_tears_the_router_port_down",
            ),
        ),
    ),
    "EIPs: annotation ovn.kubernetes.io/eip": (
        Row(
            "set it, and take `routed` away in the same patch",
            "lab",
            (
                f"{EIP}::test_a_vm_gets_its_eip_and_the_second_run_writes_nothing",
                "unit/test_eip.py::test_eip_and_routed_go_in_one_write",
            ),
        ),
        Row(
            'read `routed: "true"`',
            "lab",
            (
                f"{EIP}::test_a_rule_deleted_by_hand_is_repaired_though_the_pod_says_routed",
                "unit/test_eip.py::test_routed_true_proves_nothing",
            ),
        ),
        Row(
            "change it",
            "lab",
            (
                f"{EIP}::test_an_old_rule_that_kube_ovn_left_is_found_and_removed",
                f"{EIP}::test_a_changed_eip_leaves_no_rule_of_the_old_one",
            ),
        ),
        Row(
            "give two pods one address",
            "lab",
            (
                f"{EIP}::test_the_second_holder_of_one_eip_is_refused_and_the_first_one_named",
                f"{EIP}::test_a_held_address_is_refused_before_any_write",
                "integration/test_eip_contention.py::test_one_of_stopped_vms_and_running_pods_wins",
            ),
        ),
        Row(
            "then let the first one go",
            "lab",
            (f"{EIP}::test_the_second_holder_does_not_get_the_eip_when_the_first_lets_go_before_a_run_sees_to_it",),
        ),
        Row(
            "take it away",
            "lab",
            (
                f"{DAYS}::test_pruning_takes_what_is_proven_and_tells_of_the_rest",
                f"{EIP}::test_release_leaves_neither_annotation_nor_rule_nor_policy",
            ),
        ),
        Row(
            "delete the pod",
            "lab",
            (f"{MOVES}::test_batches_stop_after_a_failure_and_one_bad_item_stops_nobody_else",),
        ),
        Row(
            "make a pod with it while the ConfigMap is missing",
            "lab",
            (f"{EIP_ROWS}::test_a_new_pod_with_an_eip_hangs_while_the_configmap_is_missing",),
        ),
        Row(
            "delete its NAT rule by hand",
            "lab",
            (
                f"{GATEWAY}::test_a_router_port_and_a_nat_rule_deleted_by_hand_stay_away_until_the_next_run",
                f"{EIP}::test_a_rule_deleted_by_hand_is_repaired_though_the_pod_says_routed",
            ),
        ),
        Row(
            "restart kube-ovn-controller",
            "lab",
            (
                f"{DAYS}::test_policies_that_a_restarted_controller_takes_are_made_again",
                "unit/test_eip.py::test_a_restarted_controller_takes_all_policies_and_the_next_run_has_them_made_again",
            ),
        ),
        Row("annotate 500 pods at once", "lab, bench", (MANY, "bench/test_eip_bulk.py::test_bulk")),
        Row("delete them at once", "lab", (MANY,)),
        Row(
            "give it to a pod with a second OVN NIC",
            "lab",
            (
                f"{EIP_ROWS}::test_a_pod_with_another_nic_in_the_default_vpc_is_refused",
                f"{EIP_ROWS}::test_an_eip_of_a_pod_with_two_nics_is_given_to_the_second_one_and_all_of_it_is_taken_back",
                f"{EIP_ROWS}::test_a_stopped_machine_that_will_have_two_nics_is_refused_before_anything_is_written",
                "unit/test_eip_leftovers.py::test_a_pod_of_two_nics_whose_eip_was_annotated_by_hand_is_cleaned_wholly",
            ),
        ),
        Row(
            "give it to a dual-stack pod",
            "lab",
            (
                f"{EIP_ROWS}::test_a_dual_stack_pod_is_refused_and_what_was_annotated_by_hand_is_cleaned",
                f"{EIP_ROWS}::test_a_stopped_machine_of_a_dual_stack_subnet_is_refused_before_anything_is_written",
                "unit/test_eip_leftovers.py::test_a_dual_stack_pod_whose_eip_was_annotated_by_hand_is_cleaned_wholly",
            ),
        ),
        Row(
            "ask from the gateway's own subnet",
            "lab",
            (
                "integration/test_eip_probe.py::test_a_physical_gateway_without_hairpin_is_among_the_probable_causes",
                f"{EIP}::test_pods_and_a_vm_in_one_task",
            ),
        ),
    ),
    "Virtual machines: KubeVirt": (
        Row(
            "start a VM whose template has it",
            "lab",
            (f"{EIP}::test_a_stopped_vm_is_pending_holds_its_address_and_has_it_when_it_starts",),
        ),
        Row(
            "set it on the template while the VM runs",
            "lab",
            (f"{KUBEVIRT}::test_template_and_instance_of_a_running_vm_do_not_reach_its_pod",),
        ),
        Row(
            "set it on the instance",
            "lab",
            (
                f"{KUBEVIRT}::test_template_and_instance_of_a_running_vm_do_not_reach_its_pod",
                f"{MOVES}::test_a_vm_that_migrates_keeps_its_eip",
            ),
        ),
        Row(
            "set it on the pod only, then restart the VM",
            "lab",
            (
                f"{KUBEVIRT}::test_an_eip_on_the_pod_alone_is_lost_at_a_restart_but_for_its_policy",
                f"{EIP}::test_eip_on_the_pod_alone_is_completed_on_template_and_instance",
            ),
        ),
        Row(
            "set it on the pod only, then migrate the VM",
            "lab",
            (
                f"{EIP_ROWS}::test_an_eip_on_the_pod_alone_is_lost_at_a_migration",
                f"{MOVES}::test_an_eip_on_the_pod_alone_is_lost_at_a_migration_and_cancelling_brings_nothing_back",
            ),
        ),
        Row(
            "set it on all three, then restart or migrate",
            "lab",
            (
                f"{EIP}::test_a_restarted_vm_keeps_its_eip",
                f"{MOVES}::test_a_vm_that_migrates_keeps_its_eip",
                f"{MOVES}::test_a_cancelled_migration_leaves_the_eip_where_it_was_and_the_next_one_takes_it_along",
            ),
        ),
        Row(
            "migrate it, and again while the first launcher pod, which has ended, is still there",
            "lab",
            (f"{MOVES}::test_a_vm_that_migrates_keeps_its_eip",),
        ),
        Row(
            "migrate it, and KubeVirt calls the migration completed before Kube-OVN looks at its end",
            "lab",
            (f"{MOVES}::test_a_migration_whose_end_kube_ovn_overlooks_changes_nothing",),
        ),
        Row(
            "set another one on the pod of a running VM",
            "lab",
            (f"{KUBEVIRT}::test_another_eip_on_the_pod_of_a_running_vm_makes_two_rules",),
        ),
        Row(
            "stop a VM and delete it",
            "lab",
            (
                f"{EIP}::test_what_a_deleted_vm_left_goes_with_its_address",
                "unit/test_eip.py::test_rules_and_policy_of_a_deleted_vm_make_room",
            ),
        ),
        Row(
            "delete a VM while it runs",
            "lab",
            (f"{KUBEVIRT}::test_what_a_vm_that_is_deleted_while_it_runs_leaves_goes_with_its_claim",),
        ),
        Row(
            "start virt-controller with `--additional-launcher-annotations-sync`",
            "lab",
            (
                f"{SYNCED}::test_the_annotation_is_copied_but_no_rule_comes_of_it_until_the_module_runs",
                f"{SYNCED}::test_the_run_warns_where_routed_is_copied",
                "unit/test_eip_run.py::test_a_pod_that_virt_controller_writes_is_told_so",
            ),
        ),
        Row(
            "start a VM without `firmware.uuid`, without virt-api",
            "lab",
            (f"{EIP_ROWS}::test_a_false_restart_required_is_no_reason_against_an_eip",),
        ),
    ),
    "Failover: what OVN does, and what it does not": (
        Row(
            "the active gateway loses its power",
            "lab",
            (
                f"{NODES}::test_a_gateway_that_was_off_takes_the_traffic_back_though_nobody_has_asked_for_it",
                "integration/test_gateway_tour.py::test_from_state_to_state",
                "bench/test_gateway_failover.py::test_power_off",
            ),
        ),
        Row(
            "only its external NIC loses the link",
            "lab",
            (
                "integration/test_findings.py::test_the_traffic_stays_where_the_active_gateways_link_is_down",
                "integration/test_findings.py::test_a_link_that_is_down_is_found_where_its_node_shows_it",
            ),
        ),
        Row(
            "of all machines one gateway is left",
            "lab",
            (
                f"{NODES}::test_the_last_machine_of_all_is_no_gateway_until_the_rows_of_the_others_go",
                "unit/test_gateway_members.py::test_a_lone_survivor_is_rescued",
                "unit/test_gateway_members.py::test_a_drain_that_leaves_one_alone_takes_the_drained_and_the_dead_rows_out",
            ),
        ),
        Row(
            "the gateway with the highest priority comes back",
            "lab",
            (
                f"{NODES}::test_a_gateway_that_was_off_takes_the_traffic_back_though_nobody_has_asked_for_it",
                f"{NODES}::test_a_dead_gateway_is_rescued_and_comes_back_when_it_is_proven",
                "unit/test_gateway_members.py::test_a_gateway_comes_back_only_when_proven",
            ),
        ),
        Row(
            "a NAT rule is added for an address that has one",
            "lab",
            (
                f"{EIP_ROWS}::test_two_rows_of_one_address_are_made_one",
                "integration/test_findings.py::test_what_somebody_did_to_ovn_is_found",
            ),
        ),
    ),
    "Custom VPCs": (
        Row(
            "change a field of an OvnFip",
            "source, lab",
            (
                "unit/test_eip_objects.py::test_a_pod_with_another_overlay_address_is_followed",
                "unit/test_eip_objects.py::test_another_address_comes_before_the_old_one_goes",
                f"{VPC}::test_a_changed_ovn_fip_stays_as_it_was",
            ),
        ),
        Row(
            "lose its NAT rule",
            "source, lab",
            (
                "unit/test_eip_objects.py::test_ready_proves_nothing",
                f"{VPC}::test_a_rule_whose_row_is_lost_is_ready_and_cannot_be_deleted",
                f"{VPC}::test_a_lost_row_comes_back",
            ),
        ),
        Row(
            "make an OvnFip in the default VPC",
            "lab",
            (
                f"{OBJECTS}::test_an_ovn_fip_in_the_default_vpc_is_found_and_becomes_an_annotation",
                "unit/test_eip_objects.py::test_the_default_vpc_is_refused",
                "unit/test_eip_vpc.py::test_the_default_vpc_goes_on_with_annotations",
                "unit/test_eip_check.py::test_a_holder_with_an_ovnfip_is_refused",
            ),
        ),
        Row(
            "name an IP object in an OvnFip",
            "source, lab",
            (
                "unit/test_eip_objects.py::test_a_centralized_gateway_does_nat_and_so_no_logical_port_is_named",
                "unit/test_eip_objects.py::test_a_distributed_gateway_does_nat_on_the_holders_node",
                "unit/test_gateway_changes.py::test_the_nat_of_an_ovn_fip_always_has_a_port",
                f"{VPC}::test_an_ovn_fip_that_names_an_ip_works_on_nodes_with_a_bridge_only",
            ),
        ),
    ),
    "Reading it all": (
        Row(
            "reach OVN's databases as Kube-OVN's kubectl plugin does",
            "lab",
            (
                "integration/test_nat_info.py::test_what_is_told_is_what_kubectl_and_nbctl_say",
                "integration/test_nat_info.py::test_no_leader_of_ovn_central_is_said",
                "unit/test_ovsdb_tls.py::test_a_modules_options_lead_over_tls_past_a_dead_endpoint_to_the_one_that_answers",
            ),
        ),
        Row("read 10,000 NAT rules", "bench", ("bench/test_nat_read.py::test_reading_nat_rows",)),
        Row("run `kubernetes.core.k8s` with a list of 1,000", "bench", ("bench/test_eip_bulk.py::test_bulk",)),
    ),
}
