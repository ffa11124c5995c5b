package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// files opens files until the system has no descriptor left, takes each that becomes free, and ends at SIGTERM.
// Whoever has CAP_SYS_ADMIN gets descriptors all the same (file_table.c, alloc_empty_file).
func files(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("files", flag.ContinueOnError)
	most := flags.Int("most", 1<<20, "files to hold")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	<-tick.C // Go makes its epoll descriptor when somebody first waits for a timer, and dies when there is none
	var held []int
	defer func() {
		for _, fd := range held {
			unix.Close(fd)
		}
	}()
	told := false
	for {
		err := error(nil)
		for len(held) < *most && err == nil {
			var fd int
			if fd, err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); err == nil {
				held = append(held, fd)
			}
		}
		if err != nil && !errors.Is(err, unix.ENFILE) {
			return fmt.Errorf("after %d files: %w", len(held), err)
		}
		if !told {
			told = true
			if _, err := fmt.Fprintf(stdout, "%d files are held\n", len(held)); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ended:
			return nil
		}
	}
}
