package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tierd/tierd/rocm"
)

var clientHeader = []string{"PID", "PROGRAM", "TIER", "UNIT", "GPU", "GTT", "VRAM", "ROCM"}

func (a *app) printClients(s rocm.Snapshot) {
	var rows []row
	for _, c := range s.Clients {
		for i, m := range c.Memory {
			rocm := uint64(0)
			if g := s.GPU(m.PCI); g != nil && g.KFD != nil {
				rocm = c.KFD[g.KFD.GPUID]
			}
			r := row{cells: []cell{{text: strconv.Itoa(c.PID)}, {text: dash(c.Comm)}, {text: tierOfClient(c)}, {text: unitOfClient(c)},
				{text: m.PCI}, {text: sizeOrDash(m.GTT)}, {text: sizeOrDash(m.VRAM)}, {text: sizeOrDash(rocm)}}}
			if i > 0 {
				for j := range 4 {
					r.cells[j].text = ""
				}
			}
			rows = append(rows, r)
		}
	}
	fmt.Fprintln(a.stdout)
	if rows == nil {
		fmt.Fprintln(a.stdout, "No process is seen to hold GPU memory.")
		return
	}
	writeTable(a.stdout, clientHeader, rows)
}

func tierOfClient(c rocm.Client) string {
	if !c.Tier() {
		return "-"
	}
	return strings.TrimSuffix(strings.TrimPrefix(c.Unit, "tier-"), ".service")
}

func unitOfClient(c rocm.Client) string {
	if c.UserUnit != "" {
		return c.UserUnit
	}
	return dash(c.Unit)
}

func (a *app) printProblems(s rocm.Snapshot) {
	if len(s.Problems) == 0 {
		return
	}
	fmt.Fprintln(a.stdout, "\nWhat could not be read:")
	for _, p := range s.Problems {
		say(a.stdout, 4, fmt.Sprintf("  %v", p))
	}
}
