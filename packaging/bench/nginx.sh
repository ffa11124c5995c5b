#!/bin/bash
# nginx.sh: prints where an nginx is. Where the machine has none, the distribution's package is unpacked into the user's
# cache and not installed: installed, it would start a web server on port 80. Debian or Ubuntu.
set -euo pipefail

PATH=$PATH:/usr/sbin
if command -v nginx; then exit; fi
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tierd/nginx
program=$cache/usr/sbin/nginx
if "$program" -v 2>/dev/null; then
	echo "$program"
	exit
fi

echo "missing: nginx, to compare with; it goes to $cache" >&2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
chmod 755 "$tmp" # apt downloads as a user of its own
{
	apt-get update -qq || true # without root, the lists as they are must do
	(cd "$tmp" && apt-get download -qq nginx)
	rm -rf "$cache" && mkdir -p "$cache"
	dpkg-deb -x "$tmp"/nginx_*.deb "$cache"
	if ldd "$program" | grep -q 'not found'; then
		# Its libraries, as the package names them.
		mapfile -t libraries < <(dpkg-deb -f "$tmp"/nginx_*.deb Depends | grep -oE '\blib[a-z0-9.+-]+')
		apt-get install -y -qq --no-install-recommends "${libraries[@]}"
	fi
	"$program" -v
} >"$tmp/log" 2>&1 || {
	cat "$tmp/log" >&2
	echo "cannot get nginx: install it by hand" >&2
	exit 1
}
echo "$program"
