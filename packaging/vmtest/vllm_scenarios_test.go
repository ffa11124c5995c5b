//go:build vllm && !vmtest

package vmtest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// phases of a start, as the unit's status line tells them. Short ones may be missed by somebody who looks from time to
// time; their order may not change.
var vllmPhases = []struct {
	words string
	must  bool
}{
	{"Asking for admission", false},
	{"Reading the engine's flags", false}, // at the first start of a version
	{"Starting the engine", true},
	{"Reading the model's configuration", true},
	{"Starting the engine process", true},
	{"Loading weights", false},
	{"Weights are loaded", false},
	{"Warming up", false},
	{"Starting the server", false},
	{"Probing the server", false},
	{"Ready", true},
}

// stopWhileLoading stops a vLLM whose engine process loads: it would not obey a SIGTERM then, and go on for minutes.
func stopWhileLoading(ctx context.Context, v *vllmBed) (string, error) {
	if _, err := v.Must(ctx, "systemctl start --no-block "+coder); err != nil {
		return "", err
	}
	_, err := v.await(ctx, coder, "with an engine process", func(p map[string]string) bool {
		return phaseOf(p["StatusText"]) >= phaseOf("Starting the engine process")
	})
	if err != nil {
		return "", err
	}
	list, err := v.processes(ctx, coder)
	if err == nil && len(list) < 3 {
		err = fmt.Errorf("the loading tier has only %v", list)
	}
	if err != nil {
		return "", err
	}
	var held int
	for _, p := range list {
		held += p.rss
	}
	begin := time.Now()
	if _, err := v.Must(ctx, "systemctl stop "+coder); err != nil {
		return "", err
	}
	took := time.Since(begin)
	p, err := v.show(ctx, coder, "ActiveState", "Result", "StatusText")
	switch {
	case err != nil:
		return "", err
	case took > 15*time.Second:
		return "", fmt.Errorf("the stop took %s", took)
	case p["ActiveState"] != "inactive" || p["Result"] != "success" || !strings.Contains(p["StatusText"], "while loading"):
		return "", fmt.Errorf("after the stop the unit shows %v", p)
	}
	return fmt.Sprintf("%.1f s; %d processes that held %.1f GiB are gone", took.Seconds(), len(list), float64(held)/(1<<30)),
		v.nothingLeft(ctx, list[0].uid)
}

// phaseOf is the index of the phase that a status line tells, -1 for none: the last that fits, since one is the
// beginning of another.
func phaseOf(text string) int {
	for i := len(vllmPhases) - 1; i >= 0; i-- {
		if strings.HasPrefix(text, vllmPhases[i].words) {
			return i
		}
	}
	return -1
}

// startToReady starts coder while a client keeps asking it.
func startToReady(ctx context.Context, v *vllmBed) (string, error) {
	asking, stop := context.WithCancel(ctx)
	early := make(chan map[int]int, 1)
	go func() {
		statuses := map[int]int{}
		for asking.Err() == nil {
			o := v.complete(asking, coderPort, "coder", 1, false, nil)
			if asking.Err() == nil {
				statuses[o.status]++
			}
			pause(asking, time.Second)
		}
		early <- statuses
	}()
	begin := time.Now()
	if _, err := v.Must(ctx, "systemctl start --no-block "+coder); err != nil {
		stop()
		return "", err
	}
	words, err := v.await(ctx, coder, "ready", active)
	took := time.Since(begin)
	stop()
	statuses := <-early
	if err != nil {
		return "", err
	}
	phases, err := inOrder(words)
	if err != nil {
		return "", err
	}
	if o := v.complete(ctx, coderPort, "coder", 1, false, nil); o.status != http.StatusOK {
		return "", fmt.Errorf("the unit is ready and its first completion ended so: %v %s", o, o.text)
	}
	delete(statuses, http.StatusOK) // the tier may be ready a moment before this looks
	if statuses[http.StatusServiceUnavailable] == 0 || len(statuses) != 1 {
		return "", fmt.Errorf("clients that came before it was ready got these statuses: %v", statuses)
	}
	lag, err := v.readyLag(ctx)
	return fmt.Sprintf("%.0f s, %d phases, %d early requests got 503; ready %.2f s after vLLM's server was up, one token included",
		took.Seconds(), phases, statuses[http.StatusServiceUnavailable], lag), err
}

// inOrder checks status lines against the phases and counts those that were seen.
func inOrder(words []string) (int, error) {
	last := -1
	seen := map[int]bool{}
	for _, text := range words {
		phase := phaseOf(text)
		if last < 0 && phase < 0 {
			continue // the last words of the run before
		}
		if phase < last {
			return 0, fmt.Errorf("status lines out of order: %q came late in %q", text, words)
		}
		last, seen[phase] = phase, true
	}
	for i, phase := range vllmPhases {
		if phase.must && !seen[i] {
			return 0, fmt.Errorf("no status line says %q: %q", phase.words, words)
		}
	}
	return len(seen), nil
}

// readyLag is how many seconds passed between vLLM's own word that it serves and the unit's readiness.
func (v *vllmBed) readyLag(ctx context.Context) (float64, error) {
	out, err := v.Must(ctx, `journalctl --no-pager -u `+coder+` -o json | jq -r 'select((.MESSAGE | type) == "string"
			and (.MESSAGE | contains("Application startup complete"))) | .__MONOTONIC_TIMESTAMP' | tail -n 1
		systemctl show -P ActiveEnterTimestampMonotonic `+coder)
	fields := strings.Fields(out)
	if err == nil && len(fields) != 2 {
		err = fmt.Errorf("cannot tell when vLLM was up: %q", out)
	}
	if err != nil {
		return 0, err
	}
	up, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return 0, err
	}
	ready, err := strconv.ParseFloat(fields[1], 64)
	return (ready - up) / 1e6, err
}

// closedUnit holds the unit that vLLM runs in to the same figure as every tier.
func closedUnit(ctx context.Context, v *vllmBed) (string, error) {
	out, err := v.Must(ctx, "systemd-analyze security --no-pager "+coder+" | tail -n 1")
	if err != nil {
		return "", err
	}
	_, after, _ := strings.Cut(out, coder+": ")
	score, err := strconv.ParseFloat(strings.Fields(after + " ?")[0], 64)
	if err == nil && score > 1.5 {
		err = fmt.Errorf("the score is %.1f and should be at most 1.5", score)
	}
	return fmt.Sprintf("score %.1f", score), err
}

func plainRequests(ctx context.Context, v *vllmBed) (string, error) {
	var took []string
	for _, port := range []int{coderPort, 8000} {
		begin := time.Now()
		if _, err := v.Chat(ctx, port, "coder", "Write one line of Go.", 16); err != nil {
			return "", err
		}
		took = append(took, fmt.Sprintf("port %d: 16 tokens in %.1f s", port, time.Since(begin).Seconds()))
	}
	ids, err := v.Models(ctx, 8000)
	if err == nil && !slices.Contains(ids, "coder") {
		err = fmt.Errorf("port 8000 lists %q and not coder", ids)
	}
	return strings.Join(took, ", "), err
}

// streamedRequest also shows that the engine hears of a client that leaves.
func streamedRequest(ctx context.Context, v *vllmBed) (string, error) {
	const tokens = 64
	o := v.complete(ctx, coderPort, "coder", tokens, true, nil)
	if !o.whole() || o.chunks < tokens/2 || o.first > o.took/2 {
		return "", fmt.Errorf("a stream of %d tokens ended so: %v, first after %s of %s %s", tokens, o, o.first, o.took, o.text)
	}
	idle, err := v.serverLoad(ctx)
	if err != nil {
		return "", err
	}
	leaving, leave := context.WithCancel(ctx)
	defer leave()
	end, err := v.openStream(leaving)
	if err != nil {
		return "", err
	}
	busy, err := v.serverLoad(ctx)
	if err == nil && busy <= idle {
		err = fmt.Errorf("with one request open the engine's /load says %d, and said %d before", busy, idle)
	}
	if err != nil {
		return "", err
	}
	leave()
	<-end
	begin := time.Now()
	for {
		after, err := v.serverLoad(ctx)
		if err != nil {
			return "", fmt.Errorf("the engine still works for a client that has left: %w", err)
		}
		if after <= idle {
			break
		}
		pause(ctx, 50*time.Millisecond)
	}
	return fmt.Sprintf("%d chunks in %.1f s, the first after %.2f s; a client that leaves is gone from the engine after %.1f s",
		o.chunks, o.took.Seconds(), o.first.Seconds(), time.Since(begin).Seconds()), nil
}

func othersUntouched(ctx context.Context, v *vllmBed) (string, error) {
	now, err := v.otherPIDs(ctx)
	if err == nil && now != v.others {
		err = fmt.Errorf("their main processes were %q and are %q", v.others, now)
	}
	if err != nil {
		return "", err
	}
	for _, port := range []int{8001, 8012} {
		if _, err := v.Chat(ctx, port, "", "Hello", 8); err != nil {
			return "", err
		}
	}
	return "same processes, both answer", nil
}
