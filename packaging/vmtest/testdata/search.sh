#!/bin/bash
# Prints every place but the owner's in which the provider's key can be read, as it is or in base64.
cd /root
{ cat provider-token; echo; printf '%s' "$(cat provider-token)" | base64 -w 0 | cut -c 1-60; } >/root/needles
find_in() { grep -a -l -s -F -f /root/needles "$@"; }
said() { "${@:2}" 2>&1 | grep -q -a -F -f /root/needles && echo "$1"; }
for p in /proc/[0-9]*; do find_in "$p/cmdline" "$p/environ"; done
said journal journalctl -b --no-pager -o export
said status tierctl status
said status-of-orch tierctl status orch
said status-json tierctl status --format json
said events-and-changes tierctl changes --format json
said plan tierctl plan full
said plan-json tierctl plan full --format json
for path in v1/status v1/tiers v1/tiers/orch v1/gateway/table v1/config v1/budget; do
	said "/$path" curl -s --max-time 5 --unix-socket /run/tierd/tierd.sock "http://tierd/$path"
done
for path in / metrics v1/models health; do
	said ":8000/$path" curl -s --max-time 5 "http://127.0.0.1:8000/$path"
done
said unit systemctl cat --no-pager tier-orch-cloud.service
said properties systemctl show --no-pager --all tier-orch-cloud.service tier-gateway.service tierd.service
said D-Bus busctl --no-pager call org.freedesktop.systemd1 /org/freedesktop/systemd1/unit/tier_2dorch_2dcloud_2eservice org.freedesktop.DBus.Properties GetAll s org.freedesktop.systemd1.Service
find /etc /run /tmp /var -xdev -type f ! -path '/run/credentials/*' -readable -print0 2>/dev/null | xargs -0 grep -a -l -s -F -f /root/needles
exit 0
