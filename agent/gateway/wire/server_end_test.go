package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestAShutdownEndsWhatHasNoRequestAndWaitsForTheRest(t *testing.T) {
	arrived, letGo := make(chan struct{}), make(chan struct{})
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			close(arrived)
			<-letGo
		}
	})
	at := listen(t, s)
	idleOne, busyOne := dialTCP(t, at), dialTCP(t, at)
	idleOne.Write(lines("GET / HTTP/1.1", "Host: a"))
	in := bufio.NewReader(idleOne)
	if res, err := http.ReadResponse(in, nil); err != nil || res.Close {
		t.Fatal(res, err)
	}
	busyOne.Write(lines("GET /long HTTP/1.1", "Host: a"))
	<-arrived
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the idle connection: %v", err)
	}
	select {
	case err := <-ended:
		t.Fatalf("it ended before its request: %v", err)
	default:
	}
	close(letGo)
	if res, err := http.ReadResponse(bufio.NewReader(busyOne), nil); err != nil || !res.Close {
		t.Errorf("the request in flight: %+v, %v", res, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestAShutdownHasABound(t *testing.T) {
	arrived, ended := make(chan struct{}), make(chan struct{})
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
		close(ended)
	})
	dialTCP(t, listen(t, s)).Write(lines("GET / HTTP/1.1", "Host: a"))
	<-arrived
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	s.Close()
	<-ended
}

func TestAnAnswerWithoutALengthIsCutByAReset(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		Of(w).Abort()
	})
	c := dialTCP(t, listen(t, s))
	c.Write(lines("GET / HTTP/1.0"))
	if body, err := io.ReadAll(c); err == nil {
		t.Errorf("ended cleanly with %q", body)
	}
}

func TestTheMemoryOfACrowdIsGivenBackOnce(t *testing.T) {
	s := newServer(t, func(w http.ResponseWriter, r *http.Request) {})
	at := listen(t, s)
	var all []net.Conn
	for range crowd + 20 {
		all = append(all, dialTCP(t, at))
	}
	most := func() (most, now int) { s.mu.Lock(); defer s.mu.Unlock(); return s.most, len(s.conns) }
	waitFor(t, "all are connected", func() bool { most, _ := most(); return most == crowd+20 })
	for _, c := range all {
		c.Close()
	}
	waitFor(t, "all have gone", func() bool { _, now := most(); return now == 0 })
	if most, _ := most(); most != (crowd+20)/8 {
		t.Errorf("counts from %d on", most)
	}
}
