package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// rig is everything that runs beside the client: the engine, and the ways to it.
type rig struct {
	dir     string
	client  *client
	engine  *process
	tierd   *tierd
	control string
	program string   // tier-gateway
	gateway *process // the one that runs
	targets []target
	others  []*process // nginx, engine and client
}

// target is one way to the engine.
type target struct {
	name    string
	address string
	pids    []int // what stands between; none for direct
}

const (
	direct  = "direct"
	nginx   = "nginx"
	gateway = "gateway"
)

// startRig starts all three ways to an engine of that kind; opt tells where the programs are. Without an nginx that way is
// left out.
func startRig(opt options, kind string) (r *rig, err error) {
	r = &rig{program: opt.gateway}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.stop())
		}
	}()
	if r.dir, err = os.MkdirTemp("", "tierd-bench-"); err != nil {
		return r, err
	}
	if r.client, err = startClient(r.dir); err != nil {
		return r, err
	}
	r.others = append(r.others, r.client.process)
	socket := filepath.Join(r.dir, "engine.sock")
	engine, address, err := startEngine(r.dir, kind, socket)
	if err != nil {
		return r, err
	}
	r.engine = engine
	r.others = append(r.others, engine)
	r.targets = append(r.targets, target{name: direct, address: address})
	if opt.nginx != "" {
		if err := r.addNginx(opt.nginx, socket); err != nil {
			return r, err
		}
	}
	if r.tierd, r.control, err = startTierd(r.dir, socket); err != nil {
		return r, err
	}
	r.targets = append(r.targets, target{name: gateway, address: r.tierd.address()})
	_, err = r.freshGateway()
	return r, err
}

func (r *rig) addNginx(path, socket string) error {
	p, address, err := startNginx(r.dir, path, socket)
	if err != nil {
		return err
	}
	r.others = append(r.others, p)
	if err := reach(address, p); err != nil {
		return err
	}
	workers, err := childrenOf(p.pid())
	r.targets = append(r.targets, target{nginx, address, append(workers, p.pid())})
	return err
}

// freshGateway starts tier-gateway as its unit does, in place of the one that runs, and waits for its port.
func (r *rig) freshGateway() (*process, error) {
	if r.gateway != nil {
		if err := r.gateway.stop(); err != nil {
			return nil, err
		}
	}
	g, err := start(r.dir, "gateway", r.program, "-control", r.control)
	r.gateway = g
	if err != nil {
		return nil, err
	}
	r.targets[len(r.targets)-1].pids = []int{g.pid()}
	return g, reach(r.tierd.address(), g)
}

// reach waits until an address accepts; a process that ends before is an error with its log.
func reach(address string, p *process) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(p.log)
			return fmt.Errorf("%s does not listen: %w\n%s", p.Path, err, text)
		}
	}
}

// stop ends everything and removes the folder.
func (r *rig) stop() error {
	var errs []error
	if r.gateway != nil {
		errs = append(errs, r.gateway.stop())
	}
	for _, p := range slices.Backward(r.others) {
		errs = append(errs, p.stop())
	}
	if r.tierd != nil {
		errs = append(errs, r.tierd.server.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(r.dir))...)
}
