package gateway

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// firstTable is how long a start waits for tierd before it says that it is ready without knowing any tier.
const firstTable = 2 * time.Second

// Run serves until the context ends or a successor has taken over, and what is in flight then has finished or used up
// its bound.
func (g *Gateway) Run(ctx context.Context) error {
	in := g.cfg.Inherited
	if err := g.takeMemory(in); err != nil {
		return err
	}
	elder, _ := in.Take(elderName)
	ready, _ := in.Take(readyName)
	g.ports.adopt(in)

	control, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	promoted := make(chan struct{}, 1)
	if in.Handover {
		g.cfg.Notify.mute(true)
		g.followElder(elder, promoted)
	}
	tables := make(chan api.Table)
	go g.watch(control, tables)
	telling, stopTelling := context.WithCancel(control)
	defer stopTelling()
	go g.tell(telling)

	retry := time.NewTimer(0)
	<-retry.C
	g.learn(ctx, tables, retry)
	if err := g.sayUp(in.Handover, ready); err != nil {
		return err
	}
	var watchdog <-chan time.Time
	if every := watchdogInterval(os.Getenv, os.Getpid()); every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		watchdog = ticker.C
	}
	for {
		select {
		case table := <-tables:
			g.follow(table, retry)
			g.remember()
		case <-retry.C:
			g.follow(g.view.Load().table, retry)
		case <-promoted:
			g.cfg.Notify.mute(false)
			g.ports.keep()
			g.sayStatus()
		case <-watchdog:
			_ = g.cfg.Notify.Send("WATCHDOG=1")
		case answer := <-g.cfg.Reload:
			successor, err := g.reload()
			answer <- err
			if err == nil {
				stopTelling() // what tierd is told is the successor's to say
				return g.retire(ctx, tables, successor)
			}
		case <-ctx.Done():
			g.end(tables)
			return nil
		}
	}
}

// learn follows the table that this process or its predecessor kept, else the first that tierd tells.
func (g *Gateway) learn(ctx context.Context, tables <-chan api.Table, retry *time.Timer) {
	if table, err := g.memory.load(); err == nil {
		g.follow(table, retry)
		return
	}
	select {
	case table := <-tables:
		g.follow(table, retry)
		g.remember()
	case <-time.After(firstTable):
	case <-ctx.Done():
	}
}

// sayUp tells whoever started this process that it serves: its predecessor at a handover, else systemd.
func (g *Gateway) sayUp(handover bool, ready int) error {
	if handover {
		return sayReady(ready)
	}
	return g.cfg.Notify.Send("READY=1")
}

// reload has a successor take over. After an error this process goes on as before.
func (g *Gateway) reload() (*successor, error) {
	next, err := g.handOver()
	if err != nil {
		g.log.Error("cannot hand over; this process goes on", "err", err)
		_ = g.cfg.Notify.Send("STATUS=Reload failed: " + err.Error())
		return nil, err
	}
	g.promote(next)
	g.stepBack()
	g.log.Info("handed over", "successor", next.pid)
	return next, nil
}

// end closes the ports and gives what is in flight its time. A tier that has to go meanwhile is let go.
func (g *Gateway) end(tables <-chan api.Table) {
	_ = g.cfg.Notify.Send("STOPPING=1\nSTATUS=Finishing the requests in flight")
	g.ports.close()
	g.page.board.end()
	g.hold.stop()
	done := make(chan struct{})
	go func() { g.finish(g.cfg.StopBound); close(done) }()
	for {
		select {
		case table := <-tables:
			g.apply(table)
		case <-done:
			return
		}
	}
}

// takeMemory finds the table's memfd among the inherited, else makes one and puts it into the fd store.
func (g *Gateway) takeMemory(in *Inherited) error {
	if fd, ok := in.Take(tableName); ok {
		g.memory = &tableMemory{fd: fd}
		return nil
	}
	memory, err := newTableMemory()
	if err != nil {
		return err
	}
	g.memory = memory
	store := fdStore{g.cfg.Notify}
	if err := store.keep(tableName, memory.fd); err != nil {
		g.log.Warn("the table will not outlive this process", "err", err)
	}
	return nil
}

// follow makes a table the one in force and brings the listeners in line with it.
func (g *Gateway) follow(t api.Table, retry *time.Timer) {
	g.apply(t)
	retry.Stop()
	if again := g.ports.sync(t.Listen, g.view.Load().ports()); again > 0 {
		retry.Reset(again)
	}
	g.kick()
	g.sayStatus()
}

// sayStatus sets the line that `systemctl status` shows.
func (g *Gateway) sayStatus() {
	v := g.view.Load()
	if v == nil {
		return
	}
	ready := 0
	for _, r := range v.table.Routes {
		if r.State == api.Ready {
			ready++
		}
	}
	_ = g.cfg.Notify.Send(fmt.Sprintf("STATUS=Forwarding to %d ready of %d tiers", ready, len(v.table.Routes)))
}

// remember keeps the table in force, which is not always what tierd said: see keptAccess.
func (g *Gateway) remember() {
	if err := g.memory.save(g.view.Load().table); err != nil {
		g.log.Warn("a restart will not know the tiers before tierd tells them", "err", err)
	}
}

// finish gives what is in flight its time, and cuts the rest. The listeners were closed here and stay in the fd store.
func (g *Gateway) finish(bound time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if err := g.server.Shutdown(ctx); err != nil {
		g.log.Warn("cut the requests that were in flight when the time to end was over", "bound", bound)
		_ = g.server.Close()
	}
	g.pool.apply(nil)
}
