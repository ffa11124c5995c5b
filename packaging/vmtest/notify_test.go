//go:build vmtest

package vmtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// deskScript gives the bed what is around the package's unit on a desktop: a target that graphical-session.target is bound to,
// as every desktop has one (systemd.special(7)), and a service that shows notifications. There are three users: ann has all of
// that, bob's systemd has no session bus, and a greeter shows its screen as a system user.
const deskScript = `set -e
install -m 755 /bed/guest /usr/local/bin/guest
systemctl unmask --quiet systemd-logind.service systemd-logind-varlink.socket
systemctl start systemd-logind.service
printf '[Unit]\nBindsTo=graphical-session.target\nBefore=graphical-session.target\n' >/etc/systemd/user/desk.target
cat >/etc/systemd/user/shows.service <<'UNIT'
[Service]
Type=dbus
BusName=org.freedesktop.Notifications
ExecStart=/usr/local/bin/guest notifications
StandardOutput=append:%h/shown.jsonl
UNIT
useradd --create-home ann
useradd --create-home bob
useradd --system --create-home greeter
mkdir -p ~bob/.config/systemd/user
ln -s /dev/null ~bob/.config/systemd/user/dbus.socket
for user in ann bob greeter; do systemctl start user@$(id -u $user); done`

// memoryScript has the guard look at a meminfo of the test's, through its own unit: a bed's memory is the machine's.
var memoryScript = `set -e
` + memoryIs(2048) + `
mkdir -p /run/systemd/system/tier-guard.service.d
printf '[Service]\nBindReadOnlyPaths=/run/meminfo:/proc/meminfo\n' >/run/systemd/system/tier-guard.service.d/meminfo.conf
systemctl daemon-reload
systemctl restart tier-guard.service
tierctl start utility
for i in $(seq 300); do tierctl guard | grep -q 'utility .* idle for' && exit; sleep 0.1; done
tierctl guard`

// memoryIs is a command that makes so many MiB of 4 GiB available: in place, since the guard's file stays open.
func memoryIs(mib int) string {
	return fmt.Sprintf("printf 'MemTotal: 4194304 kB\\nMemAvailable: %7d kB\\nSwapTotal: 0 kB\\nSwapFree: 0 kB\\n' | dd of=/run/meminfo conv=notrunc status=none", mib<<10)
}

// desk is the bed with its users.
type desk struct {
	*Bed
	t   *testing.T
	ctx context.Context
}

// as runs a command of somebody with a systemd of his own.
func (d *desk) as(user, command string) string {
	d.t.Helper()
	return must(d.t, d.Bed, d.ctx, "runuser -u "+user+" -- env -i HOME=/home/"+user+" XDG_RUNTIME_DIR=/run/user/$(id -u "+user+
		") PATH=/usr/local/bin:/usr/bin:/bin bash -c "+quote(command))
}

// unit wants a user's notifications to be in a state, which comes soon.
func (d *desk) unit(user, want string) {
	d.t.Helper()
	got := ""
	for range 100 {
		got = d.as(user, "systemctl --user show -p ActiveState,Result,NRestarts tierd-notify.service | sort | xargs")
		if got == want {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	d.t.Errorf("tierd-notify.service of %s: %s; want %s", user, got, want)
}

// shown is what ann's desktop was asked to show so far.
func (d *desk) shown() (list []wire.Notification) {
	d.t.Helper()
	for line := range strings.Lines(must(d.t, d.Bed, d.ctx, "cat /home/ann/shown.jsonl")) {
		var n wire.Notification
		if err := json.Unmarshal([]byte(line), &n); err != nil {
			d.t.Fatalf("cannot read %q: %v", line, err)
		}
		list = append(list, n)
	}
	return list
}

const (
	notifies = "ActiveState=active NRestarts=0 Result=success"
	stands   = "ActiveState=inactive NRestarts=0 Result=success"
)

// TestNotify has a tier give way while people are logged in, each with a systemd of their own that has the unit as the package
// enables it: whoever has a desktop is shown one notification, in the guard's words.
func TestNotify(t *testing.T) {
	guest, err := vmGuest()
	if err != nil {
		t.Fatal(err)
	}
	layer := debsLayer(t, "./mkdebs.sh", "session", "dbus-user-session", "libpam-systemd")
	b, ctx := measured(t, layer)
	d := &desk{b, t, ctx}
	if _, err := b.CopyInProgram(guest); err != nil {
		t.Fatal(err)
	}
	must(t, b, ctx, deskScript)
	must(t, b, ctx, memoryScript)
	for _, user := range []string{"bob", "greeter"} {
		d.as(user, "systemctl --user start desk.target")
	}
	d.as("ann", "systemctl --user start desk.target shows.service")
	d.unit("ann", notifies)
	// Bob's is started and ends at once; the greeter's is not started.
	said := must(t, b, ctx, `said() { journalctl --no-pager -o cat _SYSTEMD_USER_UNIT=tierd-notify.service; }
for i in $(seq 100); do said | grep -q . && break; sleep 0.1; done; said`)
	if strings.Count(said, "\n") > 0 || !strings.HasPrefix(said, "There is no session bus") {
		t.Errorf("the units say %q", said)
	}
	d.unit("bob", stands)
	d.unit("greeter", stands)

	must(t, b, ctx, memoryIs(250)+`
for i in $(seq 300); do [ $(systemctl show -P ActiveState tier-utility) = inactive ] && break; sleep 0.05; done
`+memoryIs(2048)+`
for i in $(seq 300); do tierctl events | grep 'utility gave back ' && exit; sleep 0.1; done
tierctl events; exit 1`)
	time.Sleep(noticeGap + time.Second) // a second one, which must not be, would come so late
	shown := d.shown()
	if len(shown) == 0 {
		t.Fatal("the desktop was asked to show nothing")
	}
	for _, again := range shown[1:] { // an engine that does not end in time is killed, which the same notification tells
		if again.Replaces == 0 {
			t.Fatalf("the desktop was asked to show %+v", shown)
		}
	}
	n := shown[0]
	sentence, rest, _ := strings.Cut(n.Body, "\n")
	if n.App != "tierd" || n.Summary != "utility gave way: memory is short" || n.Urgency != 1 || !strings.Contains(rest, "tierctl start utility") {
		t.Errorf("shown is %+v", n)
	}
	if events := must(t, b, ctx, "tierctl events"); !strings.HasPrefix(sentence, "utility gives way: 250MiB available, ") || !strings.Contains(events, " "+sentence) {
		t.Errorf("shown is %q, and the events are\n%s", sentence, events)
	}

	d.as("ann", "tierctl notify --try")
	if all := d.shown(); len(all) != len(shown)+1 || all[len(shown)].Summary != "tierd can show notifications" {
		t.Errorf("after a try there are %+v", all)
	}
	d.as("ann", "systemctl --user stop desk.target")
	d.unit("ann", stands)
	d.as("ann", "systemctl --user start desk.target")
	d.unit("ann", notifies)
	// As docs/guard.md has it, for good.
	d.as("ann", "systemctl --user mask --now tierd-notify")
	d.as("ann", "systemctl --user stop desk.target && systemctl --user start desk.target && systemctl --user is-active graphical-session.target")
	if state := d.as("ann", "systemctl --user show -P ActiveState tierd-notify.service"); state != "inactive" {
		t.Errorf("notifications that ann has turned off are %s in her next session", state)
	}
	d.as("ann", "systemctl --user unmask tierd-notify && systemctl --user stop desk.target && systemctl --user start desk.target")
	d.unit("ann", notifies)
}

// noticeGap is how far two notifications are apart at least.
const noticeGap = 3 * time.Second
