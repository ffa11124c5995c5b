package main

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAStopWhileLoadingKillsAtOnce(t *testing.T) {
	b := newBed(t)
	b.tierd(yes)
	b.run(nil, "--never", "--stubborn", "--child")
	engine, helper := b.pidIn("engine"), b.pidIn("helper")
	b.signal(syscall.SIGTERM)
	b.wantEnd(0, "Stopped while loading")
	b.gone(engine)
	b.gone(helper)
}

func TestAStopWhileWaitingForAdmission(t *testing.T) {
	b := newBed(t)
	asked := make(chan struct{})
	b.tierd(func(string) admitAnswer { close(asked); select {} })
	b.run(nil)
	<-asked
	b.signal(syscall.SIGTERM)
	b.wantEnd(0, "before the engine was started")
}

func TestAStopWaitsForTierdsDrain(t *testing.T) {
	b := newBed(t)
	asked, drained := make(chan struct{}), make(chan struct{})
	b.tierd(func(op string) admitAnswer {
		if op == "stop" {
			close(asked)
			<-drained
		}
		return admitAnswer{OK: true}
	})
	b.run(nil).await("READY=1")
	b.signal(syscall.SIGTERM)
	<-asked
	b.await("STOPPING=1")
	b.post("/v1/completions") // the engine still serves
	close(drained)
	b.wantEnd(0, "Stopped")
}

func TestADrainHasAnEnd(t *testing.T) {
	silent := func(op string) admitAnswer {
		if op == "stop" {
			select {}
		}
		return admitAnswer{OK: true}
	}
	t.Run("after its bound", func(t *testing.T) {
		b := newBed(t)
		b.tierd(silent)
		b.run([]string{"--drain=50ms"}).await("READY=1")
		b.signal(syscall.SIGTERM)
		b.wantEnd(0, "Stopped")
		if !strings.Contains(b.stderr.String(), "still in flight after 50ms") {
			t.Errorf("the journal does not say so: %s", b.stderr.String())
		}
	})
	t.Run("at a second signal", func(t *testing.T) {
		b := newBed(t)
		b.tierd(silent)
		b.run([]string{"--drain=1h"}).await("READY=1")
		b.signal(syscall.SIGTERM)
		b.await("STOPPING=1")
		b.signal(syscall.SIGINT)
		b.wantEnd(0, "Stopped")
	})
	t.Run("when the engine dies meanwhile", func(t *testing.T) {
		b := newBed(t)
		b.tierd(silent)
		b.run([]string{"--drain=1h"}).await("READY=1")
		b.signal(syscall.SIGTERM)
		b.await("STOPPING=1")
		newProber("llama", b.socket, "").ask(context.Background(), "POST", "/test/exit/1", nil, nil)
		b.wantEnd(0, "Stopped")
	})
}

func TestWithoutTierdTheEngineTellsWhatIsInFlight(t *testing.T) {
	b := newBed(t)
	b.run([]string{"--engine=vllm", "--drain=1h"}).await("READY=1")
	b.post("/test/load/2")
	b.signal(syscall.SIGTERM)
	b.await("STATUS=Draining")
	b.post("/test/load/0")
	b.wantEnd(0, "Stopped")
}

func TestAnEngineThatIgnoresSIGTERMIsKilled(t *testing.T) {
	b := newBed(t)
	b.tierd(yes)
	b.run(nil, "--stubborn", "--child").await("READY=1")
	engine, helper := b.pidIn("engine"), b.pidIn("helper")
	started := time.Now()
	b.signal(syscall.SIGTERM)
	b.wantEnd(0, "had to be killed")
	if took := time.Since(started); took < grace["llama"] {
		t.Errorf("it was killed after %s, before its grace of %s", took, grace["llama"])
	}
	b.gone(engine)
	b.gone(helper)
}

// The engine here dies of SIGTERM at once, in the order that is the harder one for the shim.
func TestASignalToTheWholeUnitIsAStop(t *testing.T) {
	b := newBed(t)
	b.tierd(yes)
	b.run([]string{"--drain=1h"}).await("READY=1")
	engine := b.pidIn("engine")
	if err := syscall.Kill(engine, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	b.gone(engine)
	b.signal(syscall.SIGTERM)
	b.wantEnd(0, "Stopped")
}

func TestTheEngineDiesWithTheShim(t *testing.T) {
	b := newBed(t)
	b.tierd(yes)
	b.run(nil, "--stubborn").await("READY=1")
	engine := b.pidIn("engine")
	b.signal(syscall.SIGKILL)
	<-b.exited
	b.gone(engine)
}
