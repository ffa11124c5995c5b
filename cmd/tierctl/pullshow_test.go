package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/hub"
)

func TestThePullLine(t *testing.T) {
	now := noon
	s := &pullCount{now: func() time.Time { return now }}
	const mib = 1 << 20
	for _, c := range []struct {
		rule string
		do   func()
		want string
	}{
		{"before anything is known, the name", func() { s.model("Org/Model") }, "Org/Model"},
		{"what came earlier counts", func() { s.begin(1000*mib, 400*mib) }, "Org/Model  40 %  400MiB of 1000MiB"},
		{"no rate before a second has passed", func() { now = now.Add(500 * time.Millisecond); s.Got(50 * mib) }, "Org/Model  45 %  450MiB of 1000MiB"},
		{"then how fast, and for how long", func() { now = now.Add(1500 * time.Millisecond); s.Got(50 * mib) }, "Org/Model  50 %  500MiB of 1000MiB  50MiB/s  10s left"},
		{"a rate is of the last seconds alone", func() {
			for range 20 {
				now = now.Add(time.Second)
				s.Got(mib)
			}
		}, "Org/Model  52 %  520MiB of 1000MiB  1MiB/s  8m 0s left"},
		{"what has to come again is taken off, and the rate with it", func() { s.Got(-500 * mib) }, "Org/Model  2 %  20MiB of 1000MiB"},
		{"never beyond the whole", func() { s.Got(5000 * mib) }, "Org/Model  100 %  1000MiB of 1000MiB"},
		{"never below nothing", func() { s.Got(-9000 * mib) }, "Org/Model  0 %  0 of 1000MiB"},
	} {
		c.do()
		if got := s.text(); c.want != got && !(strings.Contains(c.rule, "beyond") && strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: %q, want %q", c.rule, got, c.want)
		}
	}
}

func TestALogGetsALineEachTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		l := &pullLines{pullCount: &pullCount{out: &out, now: time.Now}}
		l.begin(1<<30, 0)
		l.model("Org/Model")
		for range 50 {
			time.Sleep(490 * time.Millisecond) // never in the moment of a line
			l.Got(1 << 20)
		}
		synctest.Wait()
		l.Note("a wait")
		l.close()
		l.close()
		want := "Org/Model  1 %  20MiB of 1GiB"
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 3 || !strings.HasPrefix(lines[0], want) || !strings.HasPrefix(lines[1], "Org/Model  3 %  40MiB of 1GiB  ") || !strings.HasSuffix(lines[1], " left") || lines[2] != "a wait" {
			t.Errorf("%q", lines)
		}
	})
}

func TestNothingMissingShowsNothing(t *testing.T) {
	var out strings.Builder
	l := &pullLines{pullCount: &pullCount{out: &out, now: time.Now}}
	l.begin(0, 0)
	l.model("Org/Model")
	l.close()
	if out.String() != "" {
		t.Error(out.String())
	}
}

func TestRoomIsLookedAtFirst(t *testing.T) {
	folder, err := hub.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	free, reserve, err := folder.Room()
	if err != nil {
		t.Fatal(err)
	}
	if err := checkRoom(folder, 1, 0); err != nil && free > reserve {
		t.Error(err)
	}
	if err := checkRoom(folder, 1<<45, 1<<45); err != nil {
		t.Errorf("what is here already needs room: %v", err)
	}
	err = checkRoom(folder, 1<<45, 3<<30)
	if err == nil || !strings.Contains(err.Error(), "32TiB are missing, 3GiB of that came before") || !strings.Contains(err.Error(), "too little") {
		t.Error(err)
	}
}
