//go:build vmtest

package vmtest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tierd/tierd/packaging/vmtest/script"
)

// client is a bed with the real OpenCode client, and a person, ann, who uses it. All that would leave the bed is seen.
type client struct {
	*Bed
	t   *testing.T
	ctx context.Context
}

// clientLayer has OpenCode and its plugin fetched, once.
var clientLayer = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("./mkopencode.sh")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cannot have OpenCode for the bed (mkopencode.sh): %w", err)
	}
	return strings.TrimSpace(string(out)), nil
})

// watchScript leads every address there is onto the loopback interface, where netwatch sees what is sent to it. The bed gets
// addresses that are not of the loopback's, since programs look no name up on a machine that has none (AI_ADDRCONFIG of
// getaddrinfo(3)).
const watchScript = `set -e
ip address add 192.0.2.2/32 dev lo
ip route add local default dev lo
[ ! -e /proc/net/if_inet6 ] || { ip -6 address add 2001:db8::2/128 dev lo && ip -6 route add local default dev lo; }
echo 'nameserver 127.0.0.1' >/etc/resolv.conf
install -m 755 /bed/guest /usr/local/bin/guest
systemd-run --quiet --unit=netwatch -p StandardOutput=file:/bed/net.jsonl /usr/local/bin/guest netwatch
for i in $(seq 100); do getent ahostsv4 ready.bed.test >/dev/null && break; sleep 0.05; done
useradd --create-home --shell /bin/bash ann`

// withClient boots a bed with the client, and the tiers of a file of testdata.
func withClient(t *testing.T, tiers string, s *script.Script) *client {
	t.Helper()
	layer, err := clientLayer()
	if err != nil {
		t.Fatal(err)
	}
	guest, err := vmGuest()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", tiers))
	if err != nil {
		t.Fatal(err)
	}
	b, ctx := measured(t, layer)
	c := &client{Bed: b, t: t, ctx: ctx}
	if _, err := b.CopyInProgram(guest); err != nil {
		t.Fatal(err)
	}
	c.must(watchScript)
	c.say(s)
	if err := b.WriteFile("/etc/tierd/tiers.toml", text, 0o644); err != nil {
		t.Fatal(err)
	}
	c.must("tierctl reload && tierctl up")
	return c
}

func (c *client) must(script string) string {
	c.t.Helper()
	return must(c.t, c.Bed, c.ctx, script)
}

// say makes a script that of all engines; there are none of that kind where s is nil.
func (c *client) say(s *script.Script) {
	c.t.Helper()
	if s == nil {
		return
	}
	text, err := json.MarshalIndent(s, "", "\t")
	if err == nil {
		err = c.WriteFile("/usr/local/share/script.json", text, 0o644)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// asAnn is a command as ann types it, in a folder of hers, with what `tierctl opencode env` prints.
func asAnn(folder, command string) string {
	return "runuser -u ann -- env -i HOME=/home/ann USER=ann LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin bash -c " +
		quote(`eval "$(tierctl opencode env)" && mkdir -p ~/`+folder+" && cd ~/"+folder+" && "+command)
}

// left is all that was seen to leave the bed, without what the bed itself looked up to see that the watch is there.
func (c *client) left(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.Share(), "net.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	for line := range strings.Lines(string(text)) {
		var s struct{ Name, To string }
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatalf("cannot read %q: %v", line, err)
		}
		if what := s.Name + s.To; what != "ready.bed.test" && !slices.Contains(seen, what) {
			seen = append(seen, what)
		}
	}
	return seen
}
