#!/bin/sh
# mkopencode.sh: makes, once, in the user's cache, an overlay layer with the OpenCode client, its plugin oh-my-opencode, the preview
# of OpenCode 2 and ripgrep, at fixed versions but the last: 130 MB to download, 370 MB on disk, half a minute. Prints the layer's
# folder. Root, on x86-64.
#
# The packages are unpacked and nothing else: no script of theirs runs. npm takes them from whatever registry this machine
# is set up for, so what came is compared with npm's own checksums, which are written down here.
set -eu

here=$(cd "$(dirname "$0")" && pwd)

# npm package, version, sha512 as npm writes it, where its folder "package" goes
client="opencode-linux-x64 1.18.33 q/t/3p2CTxOT9y2kvjesb/LZab2+1eqlhhWA02Be6mjTtmYtNBcBsrI5yDo4Fw7ZSPBW2oyMIGMNRqiKQjiAWw== opt/opencode"
plugin="oh-my-openagent 4.19.4 XZFwJQK9+iy3vtpPzty1BcyA/tZRHW+h5IpCSnEIGFNnWwpzEhP/dbBVcZ+LKz7mFyD3wIrm5+ijqLk3y12/TA== opt/plugin/node_modules/oh-my-openagent"
# Of all that the plugin names as what it needs, this is what its bundle does not have in itself.
zod="zod 4.4.3 ytENFjIJFl2UwYglde2jchW2Hwm4GJFLDiSXWdTrJQBIN9Fcyp7n4DhxJEiWNAJMV1/BqWfW/kkg71UDcHJyTQ== opt/plugin/node_modules/zod"
# "OpenCode 2.0 preview command line interface", as it calls itself: a server and questions to it, nothing to work with. Of version
# 2 itself there is no package here.
second="@opencode-ai/cli-linux-x64 1.18.18 usr/Go+SojmnqXMu0TeDbPqCZgCTUEKsvfg/AXvJxiGydIDD5ZViIqly9uh7nVI6qWoLhTCeiZlnHn/YeXaTBg== opt/opencode2"
# The client fetches a ripgrep from elsewhere for its tools glob and grep, where there is none.
suite=forky

if [ "$(uname -m)" != x86_64 ]; then
	echo "this version of OpenCode is fetched for x86-64 only, and this machine is $(uname -m)" >&2
	exit 1
fi

# unpack NAME VERSION SHA512 FOLDER
unpack() {
	npm pack "$1@$2" --silent --pack-destination "$tmp" >/dev/null || {
		echo "npm cannot fetch $1@$2 from the registry that it is set up for (npm config get registry)" >&2
		exit 1
	}
	archive=$tmp/$(echo "${1#@}" | tr / -)-$2.tgz # as npm calls it
	came=$(openssl dgst -sha512 -binary "$archive" | openssl base64 -A)
	if [ "$came" != "$3" ]; then
		echo "$1@$2 is not what it should be: its sha512 is $came, not $3" >&2
		exit 1
	fi
	mkdir -p "$layer.new/$4"
	tar -xzf "$archive" -C "$layer.new/$4" --strip-components=1 --no-same-owner
}

cache=${XDG_CACHE_HOME:-$HOME/.cache}/tierd/opencode
# What is asked for is part of the name, so a change of it makes a new layer.
key=$(printf '%s' "$client $plugin $zod $second $suite" | sha256sum | cut -c1-12)
layer=$cache/$key
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two runs at once: the second waits and finds the work done

if [ ! -d "$layer" ]; then
	echo "fetching OpenCode, its plugin and ripgrep to $layer (once, 130 MB)" >&2
	"$here/../setup.sh" opencode >&2
	rm -rf "$layer.new"
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	# shellcheck disable=SC2086 # words
	unpack $client
	# shellcheck disable=SC2086
	unpack $plugin
	# shellcheck disable=SC2086
	unpack $zod
	# shellcheck disable=SC2086
	unpack $second
	# "extract" unpacks the program and what it depends on, and installs nothing; the bed's tree has the rest.
	mmdebstrap --quiet --variant=extract --include=ripgrep --aptopt='Acquire::Check-Valid-Until "false"' "$suite" "$tmp/debian" >&2
	install -D "$tmp/debian/usr/bin/rg" "$layer.new/usr/bin/rg"
	mkdir -p "$layer.new/usr/local/bin"
	ln -s ../../../opt/opencode/bin/opencode "$layer.new/usr/local/bin/opencode"
	ln -s ../../../opt/opencode2/bin/lildax "$layer.new/usr/local/bin/lildax"
	chmod -R a+rX "$layer.new"
	mv "$layer.new" "$layer"
fi
echo "$layer"
