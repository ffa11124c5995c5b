#!/bin/sh
# build.sh [VERSION [DIR]]: builds the deb and the rpm into DIR (default dist). Run from the top of the tree; setup.sh
# says what it needs. VERSION is CHANGELOG.md's newest unless given.
set -eu

version=${1:-$(awk '/^## /{print $2; exit}' CHANGELOG.md)}
dist=${2:-dist}
STAGE=build/stage-$version
ARCH=$(go env GOARCH)
VERSION=$version
# Two builds of one commit give the same packages.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export STAGE ARCH VERSION SOURCE_DATE_EPOCH

./packaging/tools.sh nfpm
rm -rf "$STAGE"
mkdir -p "$STAGE/bin" "$STAGE/completions" "$STAGE/man" "$dist"

for name in tierd tier-gateway tier-guard tier-shim tierctl; do
	packaging/program.sh "$name" "$STAGE/bin/$name" "$version"
done

"$STAGE/bin/tierctl" completion bash >"$STAGE/completions/tierctl.bash"
"$STAGE/bin/tierctl" completion zsh >"$STAGE/completions/_tierctl"
"$STAGE/bin/tierctl" completion fish >"$STAGE/completions/tierctl.fish"

"$STAGE/bin/tierctl" man "$STAGE/man" docs/man/*.md
find "$STAGE/man" -type f -exec gzip -9n {} +
awk -v now="$SOURCE_DATE_EPOCH" -v format=deb -f packaging/changelog.awk CHANGELOG.md | gzip -9n >"$STAGE/changelog.gz"
awk -v now="$SOURCE_DATE_EPOCH" -v format=yaml -f packaging/changelog.awk CHANGELOG.md >"$STAGE/changelog.yaml"

pack() {
	build/bin/nfpm package --config "$2" --packager "$1" --target "$dist/" >"$STAGE/$1.log" || {
		cat "$STAGE/$1.log" >&2
		exit 1
	}
}
# Only the rpm's configuration marks pages as documentation, which nfpm cannot do for a pattern, and names a
# changelog: nfpm would put its own rendering of it beside the deb's.
{
	cat nfpm.yaml
	for page in "$STAGE"/man/*.gz; do
		section=${page%.gz}
		echo "  - { src: $page, dst: /usr/share/man/man${section##*.}/${page##*/}, type: doc, file_info: { mode: 0644 } }"
	done
	for page in docs/*.md; do
		echo "  - { src: $page, dst: /usr/share/doc/tierd/${page##*/}, type: doc, file_info: { mode: 0644 } }"
	done
	echo "changelog: $STAGE/changelog.yaml"
} >"$STAGE/nfpm-rpm.yaml"
pack deb nfpm.yaml
pack rpm "$STAGE/nfpm-rpm.yaml"
ls -l "$dist"/tierd[_-]"$version"*
