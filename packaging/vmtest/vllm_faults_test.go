//go:build vllm && !vmtest

package vmtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// stuckEngine stops EngineCore as a hung GPU would.
func stuckEngine(ctx context.Context, v *vllmBed) (string, error) {
	return v.recovers(ctx, "STOP", engineCoreName, func(ctx context.Context) error {
		said, err := v.engineSays(ctx, "/health")
		if err == nil && !strings.HasSuffix(said, " 200") {
			err = fmt.Errorf("the engine's /health says %q: this scenario is there because it used to say 200", said)
		}
		return err
	}, "The engine stopped answering: ", "status=74")
}

// killedEngine kills EngineCore as the kernel's OOM killer would.
func killedEngine(ctx context.Context, v *vllmBed) (string, error) {
	return v.recovers(ctx, "KILL", engineCoreName, nil, "engine process of vLLM died", "status=70")
}

// killedShim leaves systemd alone with vLLM's processes, which would outlive their parent.
func killedShim(ctx context.Context, v *vllmBed) (string, error) {
	return v.recovers(ctx, "KILL", shimName, nil, "code=killed, status=9/KILL")
}

// recovers sends one of the unit's processes a signal while a stream is open, and sees the stream break, the unit fail
// with the given words in its log, systemd start it again with nothing left of the first run, and a completion.
func (v *vllmBed) recovers(ctx context.Context, signal, victim string, meanwhile func(context.Context) error, words ...string) (string, error) {
	if err := v.ensureReady(ctx); err != nil {
		return "", err
	}
	restarts, err := v.restarts(ctx)
	if err != nil {
		return "", err
	}
	old, err := v.processes(ctx, coder)
	if err != nil {
		return "", err
	}
	p, err := named(old, victim)
	if err != nil {
		return "", err
	}
	stream, err := v.openStream(ctx)
	if err != nil {
		return "", err
	}
	begin, taken := time.Now(), monotonic()
	if _, err := v.Must(ctx, fmt.Sprintf("kill -%s %d", signal, p.pid)); err != nil {
		return "", err
	}
	if meanwhile != nil {
		if err := meanwhile(ctx); err != nil {
			return "", err
		}
	}
	if _, err := v.await(ctx, coder, "known to have failed", func(p map[string]string) bool { return !active(p) }); err != nil {
		return "", err
	}
	noticed := time.Since(begin)
	o, err := endOf(stream, taken)
	if err != nil {
		return "", err
	}
	if _, err := v.await(ctx, coder, "ready again", restartedAfter(restarts)); err != nil {
		return "", err
	}
	again := time.Since(begin)
	if err := v.want(ctx, coder, words...); err != nil {
		return "", err
	}
	if err := v.noneOf(ctx, old); err != nil {
		return "", err
	}
	if o := v.complete(ctx, coderPort, "coder", 4, false, nil); !o.whole() {
		return "", fmt.Errorf("after the restart a completion ended so: %v %s", o, o.text)
	}
	return fmt.Sprintf("failed after %.1f s, the stream: %v; answers again after %.0f s", noticed.Seconds(), o, again.Seconds()), nil
}

// noneOf is an error when coder's unit still has one of the processes.
func (v *vllmBed) noneOf(ctx context.Context, old []process) error {
	now, err := v.processes(ctx, coder)
	if err != nil {
		return err
	}
	for _, p := range now {
		if slices.ContainsFunc(old, func(q process) bool { return q.pid == p.pid }) {
			return fmt.Errorf("process %d (%s) outlived the restart", p.pid, p.name)
		}
	}
	return nil
}

func missingModel(ctx context.Context, v *vllmBed) (string, error) {
	begin := time.Now()
	r, err := v.Run(ctx, "tierctl start nowhere")
	if err != nil {
		return "", err
	}
	if r.Exit == 0 || !strings.Contains(r.Stderr, "org/no-such-model") {
		return "", fmt.Errorf("tierctl start ended with %d: %s%s", r.Exit, r.Stdout, r.Stderr)
	}
	const unit = "tier-nowhere.service"
	r, err = v.Run(ctx, "systemctl start "+unit)
	if err == nil && r.Exit == 0 {
		err = errors.New("systemctl start says that the tier is up")
	}
	if err != nil {
		return "", err
	}
	took := time.Since(begin)
	p, err := v.show(ctx, unit, "ExecMainStatus", "StatusText", "NRestarts")
	if err == nil && (p["ExecMainStatus"] != "66" || p["NRestarts"] != "0" || !strings.Contains(p["StatusText"], "org/no-such-model")) {
		err = fmt.Errorf("the unit shows %v", p)
	}
	return fmt.Sprintf("%.1f s for both: %s", took.Seconds(), p["StatusText"]), err
}

func crampedCache(ctx context.Context, v *vllmBed) (string, error) {
	begin := time.Now()
	r, err := v.Run(ctx, "tierctl start cramped")
	if err != nil {
		return "", err
	}
	took := time.Since(begin)
	p, err := v.show(ctx, "tier-cramped.service", "ActiveState", "ExecMainStatus", "StatusText", "NRestarts")
	switch {
	case err != nil:
		return "", err
	case r.Exit == 0 || !strings.Contains(r.Stderr, "The KV cache is too small for a context of 8192"):
		return "", fmt.Errorf("tierctl start ended with %d: %s%s", r.Exit, r.Stdout, r.Stderr)
	case p["ActiveState"] != "failed" || p["ExecMainStatus"] != "71" || p["NRestarts"] != "0":
		return "", fmt.Errorf("the unit shows %v", p)
	}
	return fmt.Sprintf("%.0f s: %s", took.Seconds(), p["StatusText"]), nil
}
