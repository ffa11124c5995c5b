# Makes package changelogs of CHANGELOG.md: a heading "## VERSION (DATE)" starts an entry, its list items are the lines.
# Set format to deb (Debian's changelog) or yaml (what nfpm puts into an rpm), and now to seconds since 1970, which dates
# what is unreleased.
BEGIN { maintainer = "The tierd authors <tierd@users.noreply.github.com>" }
function flush_item(   words, n, i, line) {
	if (item == "") return
	if (format == "yaml") {
		gsub(/'/, "''", item)
		print "    - note: '" item "'"
	} else {
		n = split(item, words, " ")
		line = "  *"
		for (i = 1; i <= n; i++) {
			if (length(line) + length(words[i]) > 78) {
				print line
				line = "   "
			}
			line = line " " words[i]
		}
		print line
	}
	item = ""
}
function finish() {
	flush_item()
	if (version != "" && format == "deb") printf "\n -- %s  %s\n\n", maintainer, strftime("%a, %d %b %Y %H:%M:%S +0000", when, 1)
}
/^## / {
	finish()
	version = $2
	when = now
	if (match($3, /[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]/)) {
		split(substr($3, RSTART, RLENGTH), d, "-")
		when = mktime(d[1] " " d[2] " " d[3] " 12 00 00")
	}
	if (format == "yaml") {
		printf "- semver: %s\n  date: %s\n  packager: %s\n  changes:\n", version, strftime("%Y-%m-%dT%H:%M:%SZ", when, 1), maintainer
	} else {
		printf "tierd (%s) unstable; urgency=medium\n\n", version
	}
	next
}
version != "" && /^- / { flush_item(); item = substr($0, 3); next }
version != "" && /^  / { sub(/^ +/, " "); item = item $0 }
END { finish() }
