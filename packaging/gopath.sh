#!/bin/sh
# gopath.sh: prints PATH with the Go that setup.sh fetched in front, if the machine's own is too old.
dir=${XDG_CACHE_HOME:-$HOME/.cache}/tierd/go/bin
if [ -x "$dir/go" ]; then
	echo "$dir:$PATH"
else
	echo "$PATH"
fi
