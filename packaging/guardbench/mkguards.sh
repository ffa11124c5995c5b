#!/bin/sh
# mkguards.sh: makes, once, in the user's cache, a layer for the bed's Debian tree with the guards that tier-guard is compared
# with: earlyoom, systemd-oomd and nohang. Prints the tree's folder and the layer's, one a line. Root only.
set -eu

here=$(cd "$(dirname "$0")/../vmtest" && pwd)
bed=$("$here/mkroot.sh")
layer=$("$here/mkdebs.sh" guards earlyoom nohang systemd-oomd)
printf '%s\n' "$bed/root" "$layer"
