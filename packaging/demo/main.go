// demo shows the built package at work on any Linux machine, without a GPU: it boots a throw-away system, installs the
// package there and serves four tiers with real llama-servers. `make demo` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/tierd/tierd/packaging/vmtest"
)

func main() {
	if err := vmtest.Enter(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	deb := flags.String("deb", "", "the package to show")
	files := flags.String("files", "packaging/vmtest", "folder with mkroot.sh and testdata/tiers.toml")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	d := &demo{deb: *deb, files: *files, out: stdout}
	if err := d.show(context.Background()); err != nil {
		fmt.Fprintln(stderr, "demo:", err)
		return 1
	}
	return 0
}

// demo is one run of the show.
type demo struct {
	deb, files string
	out        io.Writer
	bed        *vmtest.Bed
}

// ports of the four tiers in testdata/tiers.toml.
var ports = []struct {
	tier string
	port int
}{{"orch", 8001}, {"coder", 8002}, {"reviewer", 8011}, {"utility", 8012}}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, "\n== "+format+"\n", args...) }

// show does all of it in order; the first thing that fails ends it, with the bed's journal.
func (d *demo) show(ctx context.Context) (err error) {
	d.say("Preparing a throw-away Debian system (made once, kept in your cache)")
	base, err := vmtest.MakeBase(ctx, d.files+"/mkroot.sh", os.Stderr)
	if err != nil {
		return err
	}
	start := time.Now()
	if d.bed, err = vmtest.Boot(ctx, base.Model, base.Root); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\nthe journal of the bed:\n%s", err, d.bed.Journal())
		}
		err = errors.Join(err, d.bed.Close())
	}()
	fmt.Fprintf(d.out, "systemd is up in %.1f s\n", time.Since(start).Seconds())
	for _, step := range []func(context.Context) error{d.install, d.up, d.talk, d.look, d.onDemand, d.switchUnderLoad, d.page, d.shell} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// do prints a command as typed and runs it.
func (d *demo) do(ctx context.Context, script string) error {
	fmt.Fprintf(d.out, "\n# %s\n", script)
	cmd := d.bed.Command(ctx, script)
	cmd.Stdout, cmd.Stderr = d.out, d.out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%q failed: %w", script, err)
	}
	return nil
}

func (d *demo) install(ctx context.Context) error {
	d.say("Installing the package")
	path, err := d.bed.CopyIn(d.deb)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n# apt install .%s\n", path)
	if _, err := d.bed.Must(ctx, vmtest.InstallScript(path)); err != nil {
		return err
	}
	tiers, err := os.ReadFile(d.files + "/testdata/tiers.toml")
	if err != nil {
		return err
	}
	fmt.Fprintln(d.out, "and a tiers.toml with four tiers, each a llama-server with SmolLM2 135M")
	if err := d.bed.WriteFile("/etc/tierd/tiers.toml", tiers, 0o644); err != nil {
		return err
	}
	return d.do(ctx, "tierctl reload")
}

func (d *demo) up(ctx context.Context) error {
	d.say("Starting the tiers")
	if err := d.do(ctx, "tierctl up full"); err != nil {
		return err
	}
	if err := d.do(ctx, "tierctl status"); err != nil {
		return err
	}
	return d.do(ctx, "tierctl budget")
}

func (d *demo) talk(ctx context.Context) error {
	d.say("A completion from each tier, by its own port and by its name on port 8000")
	for _, p := range ports {
		own, err := d.bed.Chat(ctx, p.port, p.tier, "Say hello.", 12)
		if err != nil {
			return err
		}
		common, err := d.bed.Chat(ctx, 8000, p.tier, "Name a colour.", 12)
		if err != nil {
			return err
		}
		fmt.Fprintf(d.out, "%-9s :%d says %-50q :8000 says %q\n", p.tier, p.port, own, common)
	}
	return nil
}

func (d *demo) look(ctx context.Context) error {
	d.say("A tier is a systemd unit like any other")
	return d.do(ctx, "systemctl status --no-pager --lines=3 tier-coder")
}

// onDemand asks for a tier that is down.
func (d *demo) onDemand(ctx context.Context) error {
	d.say("A request for a tier that is down starts it, and waits meanwhile")
	if err := d.do(ctx, "tierctl stop reviewer"); err != nil {
		return err
	}
	start := time.Now()
	text, err := d.bed.Chat(ctx, 8000, "reviewer", "Say hello.", 12)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nreviewer  :8000 says %q after %.1f s\n", text, time.Since(start).Seconds())
	return d.do(ctx, "tierctl changes | tail -n 1")
}

// switchUnderLoad moves the orchestrator to its other variant and back while clients keep asking it, some with streams.
// Neither way may a request fail or a stream be cut.
func (d *demo) switchUnderLoad(ctx context.Context) error {
	d.say("Moving the orchestrator to its other variant and back while three clients keep asking it")
	l := startLoad(ctx, d.bed)
	err := d.do(ctx, "tierctl switch-orch llama")
	if err == nil {
		err = d.do(ctx, "tierctl status orch")
	}
	if err == nil {
		err = d.do(ctx, "tierctl switch-orch main --drain    # the one ends before the other starts, as where memory is short")
	}
	if err := errors.Join(err, l.end()); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nmeanwhile: %d requests and %d streams, all answered to their end; the longest took %.1f s\n", l.plain, l.streams, l.longest.Seconds())
	return nil
}

// page shows what a browser would, as text.
func (d *demo) page(ctx context.Context) error {
	d.say("The same for people: http://127.0.0.1:8000/ is a page that follows all of this live; programs get it as text")
	return d.do(ctx, "curl -s http://127.0.0.1:8000/")
}

// shell hands the system over to whoever watches, when there is a terminal.
func (d *demo) shell(ctx context.Context) error {
	if !isTerminal() || os.Getenv("CI") != "" {
		d.say("Done. On a terminal you would now get a shell in this system.")
		return nil
	}
	window, err := openWindow(d.bed)
	if err != nil {
		return err
	}
	defer window.Close()
	d.say("A shell in this system: try `tierctl`, `systemctl stop tier-coder`, `journalctl -u tierd`; leave with exit")
	fmt.Fprintf(d.out, "Its page, until then, for a browser on this machine: http://%s/\n", window.Addr())
	cmd := d.bed.Command(ctx, "cd /root; exec bash -i")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	_ = cmd.Run() // the status of the last command that was typed is nobody's failure
	return nil
}
