package agent

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/rocm/rocmtest"
	"github.com/tierd/tierd/units"
)

// hosted has vLLM on the CPU serve a model of 64 MiB, whose size is left to its files.
const hosted = `
[host]
reserve = "10GiB"
models = ["/m"]
[engine.vllm]
command = ["/opt/vllm/bin/vllm", "serve"]
gpu = false
[tier.coder]
port = 8002
[tier.coder.variant.a]
engine = "vllm"
model = "q"
context = "4K"
extra_args = ["--enforce-eager"]
`

// modelFiles is a host with that engine and a model of so many bytes.
func modelFiles(size int) fstest.MapFS {
	header := fmt.Sprintf(`{"w":{"dtype":"BF16","shape":[%d],"data_offsets":[0,%d]}}`, size/2, size)
	text := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	text = append(append(text, header...), make([]byte, size)...)
	return fstest.MapFS{
		"opt/vllm/bin/vllm": {Mode: 0o755},
		"m/q/config.json": {Data: []byte(`{"architectures":["Qwen2ForCausalLM"],"model_type":"qwen2","num_hidden_layers":4,"num_attention_heads":4,
			"num_key_value_heads":2,"hidden_size":256,"torch_dtype":"bfloat16","vocab_size":1000,"max_position_embeddings":8192}`)},
		"m/q/model.safetensors": {Data: text},
	}
}

// disk is a file system whose files change in one step, while others look at it.
type disk struct{ now atomic.Pointer[fstest.MapFS] }

func diskOf(files fstest.MapFS) *disk { d := &disk{}; d.now.Store(&files); return d }

func (d *disk) Open(name string) (fs.File, error)          { return d.now.Load().Open(name) }
func (d *disk) ReadDir(name string) ([]fs.DirEntry, error) { return d.now.Load().ReadDir(name) }
func (d *disk) Lstat(name string) (fs.FileInfo, error)     { return d.now.Load().Lstat(name) }
func (d *disk) ReadLink(name string) (string, error)       { return d.now.Load().ReadLink(name) }

// becomes puts other files in place.
func (d *disk) becomes(files fstest.MapFS) {
	for _, f := range files {
		f.ModTime = time.Now()
	}
	d.now.Store(&files)
}

// inHostedBed runs a test on an agent whose tier's charge comes from its model's files.
func inHostedBed(t *testing.T, f func(b *bed)) {
	t.Helper()
	state := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, filepath.Join(t.TempDir(), "tiers.toml"))
		b.state = state
		b.files = diskOf(modelFiles(64 << 20))
		b.write(hosted)
		b.run()
		defer b.end()
		f(b)
	})
}

func (b *bed) charge(tier string) units.Bytes {
	b.t.Helper()
	return units.Bytes(b.tierNow(tier).Memory)
}

func TestARunThatTakesMoreCorrectsTheEstimate(t *testing.T) {
	inHostedBed(t, func(b *bed) {
		estimate := b.charge("coder")
		if estimate < 64*units.MiB || estimate > 5*gib {
			t.Fatalf("the estimate is %s", estimate)
		}
		mustDone(t, b.act("coder", "start", ""))
		b.held.Store(coder, uint64(estimate)/2)
		b.after(2 * time.Minute)
		if got := b.charge("coder"); got != estimate {
			t.Errorf("a run that takes less: %s", got)
		}
		b.held.Store(coder, uint64(8*gib))
		b.after(2 * time.Minute)
		if got := b.tierNow("coder"); units.Bytes(got.Memory) != 8*gib || got.RestartPending {
			t.Errorf("while it runs: %s, restart pending: %t", units.Bytes(got.Memory), got.RestartPending)
		}
		b.end()
		b.run()
		b.after(time.Second)
		if got := b.tierNow("coder"); units.Bytes(got.Memory) != 8*gib || got.RestartPending {
			t.Errorf("and after a restart of tierd: %s, restart pending: %t", units.Bytes(got.Memory), got.RestartPending)
		}
		mustDone(t, b.act("coder", "stop", ""))
		b.after(2 * time.Minute)
		if got := b.charge("coder"); got != 8*gib {
			t.Errorf("once it has stopped: %s", got)
		}
		b.held.Store(coder, uint64(1))
		b.end()
		b.run()
		b.after(2 * time.Minute)
		if got := b.charge("coder"); got != 8*gib {
			t.Errorf("after a restart of tierd: %s", got)
		}
		b.files = diskOf(modelFiles(32 << 20)) // another model teaches nothing of this one
		b.end()
		b.run()
		b.after(time.Second)
		if got := b.charge("coder"); got >= 8*gib {
			t.Errorf("of another model: %s", got)
		}
	})
}

func TestATierThatBrokeItsLimitIsCountedWithMoreTheNextTime(t *testing.T) {
	inHostedBed(t, func(b *bed) {
		estimate := b.charge("coder")
		b.systemd.ends[coder] = 71
		mustError(t, b.act("coder", "start", ""), api.KindUnit, "ended with 71")
		b.after(2 * time.Minute)
		charge := b.charge("coder")
		if charge < estimate+estimate/10 || charge > estimate+estimate/8 {
			t.Errorf("%s after %s", charge, estimate)
		}
		// The same limit would end it the same way. It keeps its reason all the same.
		if sets := b.systemd.did("define", "set"); len(sets) == 0 || !strings.HasPrefix(sets[len(sets)-1], "set "+coder+" MemoryMax=") {
			t.Errorf("it was limited anew by %q", sets)
		}
		var limit units.Bytes
		b.systemd.by(func() { limit = b.systemd.units[coder].MemoryMax })
		if limit < charge+charge/20 || limit > charge+charge/10 {
			t.Errorf("it may take %s of %s", limit, charge)
		}
		b.mustState("coder", api.Failed)
	})
}

func TestAFileOfMeasuredFiguresThatIsBrokenCostsTheFiguresOnly(t *testing.T) {
	for name, text := range map[string]string{"cut": `{"a":{"bytes":`, "other": `[1]`, "text": "x"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFile(t, filepath.Join(dir, measuredName), text)
			peaks, err := loadMeasured(dir)
			if err == nil || !strings.Contains(err.Error(), measuredName) || len(peaks) != 0 {
				t.Errorf("got %v, %v", peaks, err)
			}
		})
	}
	if peaks, err := loadMeasured(t.TempDir()); err != nil || peaks == nil {
		t.Errorf("without a file: %v, %v", peaks, err)
	}
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, measuredName), "null")
	if peaks, err := loadMeasured(dir); err != nil || peaks == nil {
		t.Errorf("of null: %v, %v", peaks, err)
	}
}

func TestFiguresAreKeptInOneStep(t *testing.T) {
	dir := t.TempDir()
	want := map[string]peak{"tier-a.service/1": {Bytes: 5 << 30, Seen: time.Unix(1, 0).UTC()}}
	if err := saveMeasured(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := loadMeasured(dir)
	if err != nil || got["tier-a.service/1"] != want["tier-a.service/1"] {
		t.Errorf("got %v, %v", got, err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
	if err := saveMeasured(filepath.Join(dir, "none"), want); err == nil {
		t.Error("a folder that is not there")
	}
}

func TestOnlySoManyRunsAreRemembered(t *testing.T) {
	m := measured{peaks: map[string]peak{}}
	for i := range maxMeasured + 10 {
		m.note(fmt.Sprint(i), gib, time.Unix(int64(i), 0))
	}
	if _, first := m.peaks["0"]; first || len(m.peaks) != maxMeasured {
		t.Errorf("%d are remembered, the first among them: %t", len(m.peaks), first)
	}
	if m.note("200", gib+gib/100, time.Now()) || m.note("", gib, time.Now()) || !m.note("200", 2*gib, time.Now()) {
		t.Error("what is news")
	}
}

func TestAModelThatChangedIsLookedAtAgain(t *testing.T) {
	inHostedBed(t, func(b *bed) {
		estimate := b.charge("coder")
		b.files.(*disk).becomes(modelFiles(512 << 20))
		answer := b.Admit(context.Background(), coder, "start", nil) // systemctl start
		if answer.OK || answer.Class != api.ClassModel || !strings.Contains(answer.Message, "the model of coder has changed") {
			t.Errorf("got %+v", answer)
		}
		b.after(time.Second)
		if got := b.charge("coder"); got < estimate+400*units.MiB {
			t.Errorf("it counts as %s, after %s", got, estimate)
		}
		mustDone(t, b.act("coder", "start", ""))
		b.files.(*disk).becomes(modelFiles(64 << 20))
		b.after(2 * time.Minute)
		if got := b.tierNow("coder").Warning; !strings.Contains(got, "the model's files have changed since") || !strings.Contains(got, "tierctl restart coder") {
			t.Errorf("while it runs: %q", got)
		}
		mustDone(t, b.act("coder", "restart", ""))
		b.after(2 * time.Minute)
		if got := b.tierNow("coder"); got.Warning != "" || units.Bytes(got.Memory) != estimate {
			t.Errorf("after a restart: %q, %s", got.Warning, units.Bytes(got.Memory))
		}
	})
}

func TestWhatIsLearnedOfAGPUTierHasItsGPUMemory(t *testing.T) {
	inHostedBed(t, func(b *bed) {
		b.end()
		b.change("gpu = false", "gpu = true")
		s := rocm.Open(rocmtest.Unpack(t, "gtt120")).Snapshot(context.Background())
		for i, c := range s.Clients { // the recordings call the units of tiers tierd-NAME
			if c.Unit == "tierd-coder.service" {
				s.Clients[i].Unit = coder
			}
		}
		b.snapshot.Store(&s)
		b.free(120)
		b.run()
		b.after(time.Second)
		mustDone(t, b.act("coder", "start", ""))
		b.held.Store(coder, uint64(2*gib))
		b.after(3 * time.Minute)
		got := b.charge("coder")
		if want := 2*gib + units.Bytes(69256347648); got < want || got > want+2*units.MiB {
			t.Errorf("it counts as %s", got)
		}
	})
}

// TestAFigureThatCannotBeKeptIsNoFault has a state directory that is not there.
func TestAFigureThatCannotBeKeptIsNoFault(t *testing.T) {
	inHostedBed(t, func(b *bed) {
		b.end()
		b.state = filepath.Join(b.state, "none")
		b.run()
		b.after(time.Second)
		mustDone(t, b.act("coder", "start", ""))
		b.held.Store(coder, uint64(9*gib))
		b.after(3 * time.Minute)
		if got := b.charge("coder"); got != 9*gib {
			t.Errorf("it counts as %s", got)
		}
		b.mustState("coder", api.Ready)
	})
}
