#!/bin/bash
# mkdebs.sh NAME PACKAGE...: makes, once, in the user's cache, an overlay layer for the bed's tree with packages as Debian has
# them, below bed-NAME. A boot starts nothing of them: who wants a service starts it. Some megabytes, half a minute. Prints the
# layer's folder. Root only.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
name=$1
shift

# install BED LAYER TMP PACKAGE... runs in a mount namespace, and its mounts go with that.
install() {
	set -euo pipefail
	local bed=$1 layer=$2 tmp=$3
	shift 3
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
	chroot . apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends "$@"
	rm usr/sbin/policy-rc.d
}

bed=$("$here/mkroot.sh")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tierd/bed-$name
key=$(printf '%s' "$(basename "$bed") $* $(declare -f install)" | sha256sum | cut -c1-12)
layer=$cache/$key
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two runs at once: the second waits and finds the work done

if [ ! -d "$layer" ]; then
	echo "making a layer with $* in $layer (once)" >&2
	rm -rf "$layer.new"
	mkdir "$layer.new"
	tmp=$(mktemp -d -p "$cache") # an overlay's work folder lies on its layer's file system
	trap 'rm -rf "$tmp"' EXIT
	export -f install
	unshare --mount --propagation private bash -c 'install "$@"' install "$bed" "$layer.new" "$tmp" "$@" </dev/null >&2
	# What the layer only hides is there again when it is seen through the machine's own file system.
	find "$layer.new" -type c -delete
	# All links that are here have come with the packages.
	rm -rf "$layer.new"/etc/systemd/system/*.wants "$layer.new"/etc/systemd/system/dbus-*.service
	mv "$layer.new" "$layer"
fi
echo "$layer"
