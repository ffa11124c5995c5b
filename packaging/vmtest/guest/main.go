// guest is the one program of ours inside a test VM. As the kernel's first process it makes the root and becomes systemd;
// as a service it carries out what the machine outside asks for; and scenarios run it, in beds as well, to watch and to load
// the tiers, and to stand for a cloud server or a hub of models.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// commands are what the program can be told to do. Each writes its result to stdout.
var commands = map[string]func(args []string, stdout io.Writer) error{
	"agent":         serve,
	"watch":         watch,
	"requests":      requests,
	"starts":        starts,
	"load":          clients,
	"cloud":         cloud,
	"engine":        engine,
	"netwatch":      netwatch,
	"hub":           serveHub,
	"hog":           hog,
	"files":         files,
	"shortage":      shortage,
	"notifications": notifications,
}

func run(args []string, stdout, stderr io.Writer) int {
	var err error
	switch {
	case os.Getpid() == 1:
		err = becomeSystemd() // returns only when it could not
	case len(args) == 0 || commands[args[0]] == nil:
		fmt.Fprintln(stderr, "usage: guest agent|watch|requests|starts|load|cloud|engine|netwatch|hub|hog|files|shortage|notifications")
		return 2
	default:
		err = commands[args[0]](args[1:], stdout)
	}
	if err != nil {
		fmt.Fprintln(stderr, "guest:", err)
		return 1
	}
	return 0
}
