#!/bin/bash
# mkguards.sh: makes, once, in the user's cache, an overlay layer for the bed's Debian tree with the guards that tier-guard is
# compared with: earlyoom, systemd-oomd and nohang, as Debian has them. Some megabytes, half a minute. Prints the tree's folder
# and the layer's, one a line. Root only.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
packages="earlyoom nohang systemd-oomd"
units="earlyoom nohang nohang-desktop systemd-oomd" # none is started by a boot: the bench starts one at a time

# install BED LAYER TMP runs in a mount namespace, and its mounts go with that.
install() {
	set -euo pipefail
	local bed=$1 layer=$2 tmp=$3
	mkdir "$tmp/work" "$tmp/root"
	mount -t overlay tree -o "lowerdir=$bed/root,upperdir=$layer,workdir=$tmp/work" "$tmp/root"
	cd "$tmp/root"
	mount -t proc proc proc
	mount --rbind /dev dev
	# What only this takes goes to memory, and not into the layer.
	local dir
	for dir in run tmp var/cache/apt var/lib/apt/lists; do
		mount -t tmpfs memory "$dir"
	done
	mkdir -p var/lib/apt/lists/partial var/cache/apt/archives/partial
	# Name servers are the machine's own, and so are trusted authorities where it has any.
	cp -L /etc/resolv.conf tmp/resolv.conf
	[ -e etc/resolv.conf ] && mount --bind tmp/resolv.conf etc/resolv.conf || cp tmp/resolv.conf etc/resolv.conf
	local trusted=/etc/ssl/certs/ca-certificates.crt
	[ ! -e "${SSL_CERT_FILE:-$trusted}" ] || mount --bind "$(realpath "${SSL_CERT_FILE:-$trusted}")" ".$trusted"
	export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
	printf '#!/bin/sh\nexit 101\n' >usr/sbin/policy-rc.d # nothing is started here
	chmod 755 usr/sbin/policy-rc.d
	# Check-Valid-Until: a mirror that lags a little is good enough for a tree that is thrown away.
	chroot . apt-get -qq -o Acquire::Check-Valid-Until=false update
	# shellcheck disable=SC2086 # a list
	chroot . apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends $packages
	rm usr/sbin/policy-rc.d
	local unit
	for unit in $units; do
		rm -f etc/systemd/system/*.wants/"$unit".* etc/systemd/system/dbus-org.freedesktop.oom1.service
	done
}

bed=$("$here/../vmtest/mkroot.sh")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tierd/bed-guards
key=$(printf '%s' "$(basename "$bed") $packages $(declare -f install)" | sha256sum | cut -c1-12)
layer=$cache/$key
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two runs at once: the second waits and finds the work done

if [ ! -d "$layer" ]; then
	echo "making a layer with $packages in $layer (once)" >&2
	rm -rf "$layer.new"
	mkdir "$layer.new"
	tmp=$(mktemp -d -p "$cache") # an overlay's work folder lies on its layer's file system
	trap 'rm -rf "$tmp"' EXIT
	export packages units
	export -f install
	unshare --mount --propagation private bash -c 'install "$@"' install "$bed" "$layer.new" "$tmp" </dev/null >&2
	# What the layer only hides is there again when it is seen through the machine's own file system.
	find "$layer.new" -type c -delete
	mv "$layer.new" "$layer"
fi
printf '%s\n' "$bed/root" "$layer"
