//go:build vmtest

package vmtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// ownFile is what ann has told OpenCode before there was a tierd. OpenCode writes a $schema into a file that has none.
const ownFile = `{
	"$schema": "https://opencode.ai/config.json",
	// Mine. It stays as it is, and what it says counts.
	"username": "ann",
}
`

// apply gives ann a file of her own, writes OpenCode's configuration, has the client start once and returns what her home was
// before. A first start makes the client's database, which two at once fall over.
func (c *client) apply(t *testing.T) (before string) {
	t.Helper()
	c.must("install -d -o ann -g ann -m 755 /home/ann/.config /home/ann/.config/opencode")
	if err := c.WriteFile("/home/ann/.config/opencode/opencode.jsonc", []byte(ownFile), 0o644); err != nil {
		t.Fatal(err)
	}
	c.must("chown ann: /home/ann/.config/opencode/opencode.jsonc")
	before = c.home(t)
	c.must(asAnn(".", "tierctl opencode apply --yes"))
	const models = "local_coder/coder local_orch/orchestrator local_reviewer/reviewer local_utility/utility"
	if got := strings.Join(strings.Fields(c.must(asAnn(".", "opencode models"))), " "); got != models {
		t.Errorf("the client offers the models %s, not %s", got, models)
	}
	return before
}

// verify has tierd ask the client what it has made of the file, and every model for a word and a tool call.
func (c *client) verify(t *testing.T) {
	t.Helper()
	begin := time.Now()
	c.must(asAnn(".", "tierctl opencode verify"))
	fmt.Printf("opencode: verified in %.1f s\n", time.Since(begin).Seconds())
}

// undo takes the configuration back and compares ann's home with what it was.
func (c *client) undo(t *testing.T, before string) {
	t.Helper()
	c.must(asAnn(".", "tierctl opencode undo"))
	if after := c.home(t); after != before {
		t.Errorf("ann's home was:\\n%s\nand is, without what OpenCode itself wrote:\n%s", before, after)
	}
}

// home lists what is in ann's home, with mode, owner and a checksum of each file; what OpenCode itself writes there, and what
// ann worked on, is left out.
func (c *client) home(t *testing.T) string {
	t.Helper()
	return c.must(`cd /home/ann && find . -mindepth 1 \( -path ./.cache/opencode -o -path ./.local/share/opencode -o -path ./.local/state/opencode \
		-o -path ./.config/opencode/.gitignore -o -path './[a-z]*' \) -prune -o \
		! \( -type d \( -path ./.cache -o -path ./.local -o -path ./.local/share -o -path ./.local/state \) \) -printf '%y %m %u %g %p %l\n' | sort
		find .config -type f ! -path .config/opencode/.gitignore -exec sha256sum {} +`)
}

// nothingLeft looks at what was seen to leave the bed, and then whether it would have been seen.
func (c *client) nothingLeft(t *testing.T) {
	t.Helper()
	if seen := c.left(t); len(seen) > 0 {
		t.Errorf("the client looked up or tried to reach %q", seen)
	}
	c.must("curl -s -m 5 http://watched.bed.test:4242/ || true")
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		seen := c.left(t)
		if slices.Contains(seen, "watched.bed.test") && slices.Contains(seen, "tcp 192.0.2.1:4242") {
			return
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("the watch is blind: of a request to a host elsewhere it saw %q", seen)
		}
	}
}

// plugin has oh-my-opencode written for, puts it where the client would have fetched it to, and lets it answer once.
func (c *client) plugin(t *testing.T) {
	t.Helper()
	before := c.left(t)
	c.must(asAnn(".", "tierctl opencode apply --yes --with-omo && mkdir -p ~/.cache/opencode/packages && "+
		"cp -r /opt/plugin ~/.cache/opencode/packages/oh-my-openagent@4.19.4"))
	turns := c.open("plugin", "Who are you (plugin)?").end(t, "SISYPHUS", 2)
	// OpenCode says nothing when it cannot load a plugin, and works without it.
	if answers := by(turns, "plugin"); len(answers) != 1 || !slices.Contains(answers[0].Tools, "background_output") {
		t.Errorf("the plugin was not there:\n%s", tell(turns))
	}
	if now := c.left(t); len(now) > len(before) {
		t.Errorf("with the plugin the client looked up or tried to reach %q", now[len(before):])
	}
	c.must(asAnn(".", "tierctl opencode undo"))
}
