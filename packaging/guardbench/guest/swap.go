package main

import (
	"bytes"
	"fmt"
	"os"
)

const (
	zramDevice = "/dev/zram0"
	zramSize   = "1G"
)

func swapOn() (bool, error) {
	text, err := os.ReadFile("/proc/swaps")
	return bytes.Contains(text, []byte(zramDevice)), err
}

// setSwap makes zram as it should be: off, or on and empty. What is in it belongs to processes, so they have to be ended first;
// to read it back takes longer than to start them anew.
func setSwap(wanted bool, endAll func() error) error {
	on, err := swapOn()
	if err != nil {
		return err
	}
	if on {
		total, err := meminfo("SwapTotal:")
		if err != nil {
			return err
		}
		free, err := meminfo("SwapFree:")
		if err != nil {
			return err
		}
		if wanted && total-free < 16*mib {
			return nil
		}
		if total-free >= 16*mib {
			if err := endAll(); err != nil {
				return err
			}
		}
		if _, err := command("swapoff", zramDevice); err != nil {
			return err
		}
		if err := setZram("reset", "1"); err != nil {
			return err
		}
	}
	if !wanted {
		return nil
	}
	if err := setZram("comp_algorithm", "lz4"); err != nil {
		return err
	}
	if err := setZram("disksize", zramSize); err != nil {
		return err
	}
	if _, err := command("mkswap", "-q", zramDevice); err != nil {
		return err
	}
	_, err = command("swapon", "-p", "100", zramDevice)
	return err
}

func setZram(name, value string) error {
	if err := os.WriteFile("/sys/block/zram0/"+name, []byte(value), 0); err != nil {
		return fmt.Errorf("cannot make zram: %w", err)
	}
	return nil
}
