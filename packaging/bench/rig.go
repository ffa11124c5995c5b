package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// rig is everything that runs beside the client: the engine, and the ways to it.
type rig struct {
	dir     string
	client  *client
	engine  *process
	socket  string
	tierd   *tierd
	control string
	targets []target
	running []*process
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

// startRig starts all three ways; opt tells where the programs are.
func startRig(opt options) (r *rig, err error) {
	r = &rig{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.stop())
		}
	}()
	if r.dir, err = os.MkdirTemp("", "tierd-bench-"); err != nil {
		return r, err
	}
	r.socket = filepath.Join(r.dir, "engine.sock")
	if r.client, err = startClient(r.dir); err != nil {
		return r, err
	}
	r.running = append(r.running, r.client.process)
	engine, address, err := startEngine(r.dir, r.socket)
	if err != nil {
		return r, err
	}
	r.engine = engine
	r.running = append(r.running, engine)
	r.targets = append(r.targets, target{name: direct, address: address})
	proxy, address, err := startNginx(r.dir, opt.nginx, r.socket)
	if err != nil {
		return r, err
	}
	r.running = append(r.running, proxy)
	if err := reach(address, proxy); err != nil {
		return r, err
	}
	workers, err := childrenOf(proxy.pid())
	if err != nil {
		return r, err
	}
	r.targets = append(r.targets, target{nginx, address, append(workers, proxy.pid())})
	if r.tierd, r.control, err = startTierd(r.dir, r.socket); err != nil {
		return r, err
	}
	g, err := r.startGateway(opt.gateway)
	if err != nil {
		return r, err
	}
	r.running = append(r.running, g)
	r.targets = append(r.targets, target{gateway, r.tierd.address(), []int{g.pid()}})
	return r, nil
}

// startGateway starts tier-gateway as its unit does, and waits for its port.
func (r *rig) startGateway(path string) (*process, error) {
	g, err := start(r.dir, "gateway", path, "-control", r.control)
	if err != nil {
		return nil, err
	}
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
	for i := len(r.running) - 1; i >= 0; i-- {
		errs = append(errs, r.running[i].stop())
	}
	if r.tierd != nil {
		errs = append(errs, r.tierd.server.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(r.dir))...)
}
