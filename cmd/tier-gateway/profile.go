//go:build profile

package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

// A gateway that is built with -tags profile writes CPU profiles to the file that this variable names: SIGUSR1 begins one,
// the next SIGUSR1 ends it. `make bench PROFILE=1` does so; no package has it.
const profileVar = "TIER_GATEWAY_PROFILE"

func init() {
	wishes := make(chan os.Signal, 1)
	signal.Notify(wishes, syscall.SIGUSR1)
	go func() {
		for {
			<-wishes
			if err := profileUntil(wishes, os.Getenv(profileVar)); err != nil {
				fmt.Fprintln(os.Stderr, "tier-gateway: cannot write a profile:", err)
			}
		}
	}()
}

// profileUntil writes the file under another name until it is whole.
func profileUntil(end <-chan os.Signal, path string) error {
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	<-end
	pprof.StopCPUProfile()
	return os.Rename(f.Name(), path)
}
