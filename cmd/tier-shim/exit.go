package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// Failure classes, by the names that agent/api gives them.
const (
	classRefused       = "refused"
	classConfiguration = "configuration"
	classModel         = "model"
	classPort          = "port"
	classBudget        = "budget"
	classDeviceLost    = "device-lost"
	classEngineDied    = "engine-died"
	classKilled        = "killed"
	classTimeout       = "timeout"
)

// statusOf is the exit status by which tierd and systemd know a class. The unit's RestartPreventExitStatus= names those
// that a second try cannot cure. killed stands here for SIGKILL; other signals give 128 + their number.
var statusOf = map[string]int{
	classRefused:       75,
	classConfiguration: 78,
	classModel:         66,
	classPort:          73,
	classBudget:        71,
	classDeviceLost:    69,
	classEngineDied:    70,
	classKilled:        128 + int(syscall.SIGKILL),
	classTimeout:       74,
}

// end is how a run ended: the exit status, and the sentence that explains it to a user.
type end struct {
	status int
	text   string
}

func failed(class, format string, args ...any) *end {
	return &end{statusOf[class], oneLine(fmt.Sprintf(format, args...))}
}

func stopped(text string) *end { return &end{0, text} }

// faults are the signals by which a process ends because of what it did itself; all others come from outside.
var faults = map[syscall.Signal]string{
	syscall.SIGSEGV: "a segmentation fault",
	syscall.SIGABRT: "an abort of its own",
	syscall.SIGBUS:  "a bus error (a model file that shrank or a full /dev/shm)",
	syscall.SIGILL:  "an illegal instruction (a build for another CPU)",
	syscall.SIGFPE:  "an arithmetic fault",
	syscall.SIGSYS:  "a system call that the unit's sandbox forbids",
}

// explain tells why an engine that nobody asked to stop has ended. vLLM exits 0 when its engine process dies, so no
// status is a good one here. The engine's own words decide before the status does: every start error of either engine
// is status 1, see the tables of log signatures.
func explain(state *os.ProcessState, found *finding, lastWords string) *end {
	how := "with exit status " + fmt.Sprint(state.ExitCode())
	wait, _ := state.Sys().(syscall.WaitStatus)
	if wait.Signaled() {
		how = "by signal " + signalName(wait.Signal())
	}
	if found != nil && !(found.weak && wait.Signaled()) {
		return failed(found.class, "%s", found.sentence)
	}
	words := ""
	if lastWords != "" {
		words = "; its last words: " + lastWords
	}
	if wait.Signaled() {
		if fault, own := faults[wait.Signal()]; own {
			return failed(classEngineDied, "The engine died of %s%s", fault, words)
		}
		last := failed(classKilled, "The engine was killed from outside %s%s", how, words)
		last.status = 128 + int(wait.Signal())
		return last
	}
	if state.ExitCode() == 2 { // argparse's status for a command line that it does not take
		return failed(classConfiguration, "The engine refused its command line%s", words)
	}
	return failed(classEngineDied, "The engine ended by itself %s%s", how, words)
}

func signalName(sig syscall.Signal) string {
	names := map[syscall.Signal]string{syscall.SIGKILL: "SIGKILL", syscall.SIGTERM: "SIGTERM", syscall.SIGINT: "SIGINT", syscall.SIGHUP: "SIGHUP"}
	if name, known := names[sig]; known {
		return name
	}
	return fmt.Sprint(int(sig))
}

// longestLine bounds a sentence: systemd drops a notification datagram that it finds too long, and a status is one line.
const longestLine = 500

// oneLine makes text fit for STATUS=, which systemd ignores unless it is UTF-8, and which ends at a line feed.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= longestLine {
		return text
	}
	cut := longestLine
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
