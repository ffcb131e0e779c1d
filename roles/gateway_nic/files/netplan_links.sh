#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# netplan_links.sh GENERATOR LINK...: bring what netplan makes of /etc/netplan for these links, and for no other, to
# systemd-networkd. `netplan generate` writes every link's file anew, whereupon networkd would reconfigure all of them.
set -eu
generator=$1
shift
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/etc" "$root/run/systemd/network" /run/systemd/network
cp -r /etc/netplan "$root/etc/"
"$generator" --root-dir "$root"
for link; do
    rm -f "/run/systemd/network/10-netplan-$link".*
    for file in "$root/run/systemd/network/10-netplan-$link".*; do
        [ ! -e "$file" ] || cp -p "$file" /run/systemd/network/
    done
done
networkctl reload
