//go:build vllm && !vmtest

package vmtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// errEndedFirst: the requests under which a tier was to be stopped had ended before systemd heard of the stop. That says
// nothing about the stop. It was seen where vLLM left other processes no core (mkvllm.sh, yield).
var errEndedFirst = errors.New("a request had ended by itself before the stop began")

// stopWithRequests stops coder under a client that streams and one that waits for its answer: either alone would keep a
// vLLM that is only sent SIGTERM.
func stopWithRequests(ctx context.Context, v *vllmBed) (string, error) {
	for {
		figure, err := v.stopUnderRequests(ctx)
		if !errors.Is(err, errEndedFirst) || ctx.Err() != nil {
			return figure, err
		}
		fmt.Printf("once more: %v\n", err)
	}
}

func (v *vllmBed) stopUnderRequests(ctx context.Context) (string, error) {
	if err := v.ensureReady(ctx); err != nil {
		return "", err
	}
	list, err := v.processes(ctx, coder)
	if err != nil {
		return "", err
	}
	stream, err := v.openStream(ctx)
	if err != nil {
		return "", err
	}
	plain, err := v.openPlain(ctx, 1)
	if err != nil {
		return "", err
	}
	ordered := monotonic()
	if _, err := v.Must(ctx, "systemctl stop "+coder); err != nil {
		return "", err
	}
	began, ended, err := v.lastStop(ctx, coder)
	if err != nil {
		return "", err
	}
	streamed, err := endOf(stream, began)
	if err != nil {
		return "", fmt.Errorf("%w; the stop was ordered %.1f s before it began and took %.1f s", err, (began - ordered).Seconds(), (ended - began).Seconds())
	}
	answered, err := endOf(plain, began)
	if err != nil {
		return "", err
	}
	p, err := v.show(ctx, coder, "ActiveState", "Result", "StatusText")
	took := ended - began
	switch {
	case err != nil:
		return "", err
	case took > 45*time.Second: // a drain of 5 s, 15 s for vLLM, and a slow machine
		return "", fmt.Errorf("the stop took %s", took)
	case p["ActiveState"] != "inactive" || p["Result"] != "success":
		return "", fmt.Errorf("after the stop the unit shows %v", p)
	}
	return fmt.Sprintf("%.1f s of which 5 s are the drain; the stream: %v; the plain request: %v; %q", took.Seconds(), streamed, answered, p["StatusText"]),
		v.nothingLeft(ctx, list[0].uid)
}

// lastStop is when systemd began to stop a unit and when it was done, by monotonic. What brings the order to systemd is
// not in it.
func (v *vllmBed) lastStop(ctx context.Context, unit string) (began, ended time.Duration, err error) {
	p, err := v.show(ctx, unit, "ActiveExitTimestampMonotonic", "InactiveEnterTimestampMonotonic")
	if err != nil {
		return 0, 0, err
	}
	micros := func(name string) time.Duration {
		n, bad := strconv.ParseInt(p[name], 10, 64)
		if bad != nil || n == 0 {
			err = fmt.Errorf("%s: systemd shows no %s: %q", unit, name, p[name])
		}
		return time.Duration(n) * time.Microsecond
	}
	return micros("ActiveExitTimestampMonotonic"), micros("InactiveEnterTimestampMonotonic"), err
}
