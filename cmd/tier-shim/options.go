package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// options is the command line. Sizes are bytes.
type options struct {
	mode   string // "run" or "remote"
	tier   string
	socket string // where the engine listens, or where remote serves
	admit  string // tierd's admission socket

	variant       string // its name, for sentences
	engine        string // "vllm" or "llama"
	argv          []string
	memory        uint64
	served        string // the name that the engine must list in /v1/models; "" when any will do
	loadTimeout   time.Duration
	stallTimeout  time.Duration
	oomScore      int // of the engine, where this process is one that the kernel does not take
	drain         time.Duration
	progressBytes uint64 // size of the model on disk; 0 when unknown
	prefer        []preference
	blocked       *blocked

	url     string
	model   string
	key     string // a credential's name, never the secret
	timeout time.Duration
}

// blocked is why the unit cannot start as things are: tierd found it out when it made the plan.
type blocked struct{ class, sentence string }

const usage = `usage: tier-shim run --tier=T --engine=vllm|llama --socket=PATH [options] -- ENGINE ARGV...
       tier-shim remote --tier=T --socket=PATH --url=https://... --model=NAME [--key=CREDENTIAL] [options]`

// parseOptions reads the command line. An error names the flag at fault.
func parseOptions(args []string) (options, error) {
	if len(args) == 0 || (args[0] != "run" && args[0] != "remote") {
		return options{}, fmt.Errorf("cannot tell what to do\n%s", usage)
	}
	o := options{mode: args[0]}
	flags := flag.NewFlagSet("tier-shim "+o.mode, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error that Parse returns says it all
	flags.StringVar(&o.tier, "tier", "", "name of the tier")
	flags.StringVar(&o.socket, "socket", "", "unix socket of the engine")
	flags.StringVar(&o.admit, "admit", "/run/tierd/admit.sock", "tierd's admission socket")
	flags.Uint64Var(&o.memory, "memory", 0, "bytes that the tier takes when it is loaded")
	flags.DurationVar(&o.drain, "drain", 30*time.Second, "longest wait for requests in flight at a stop")
	if o.mode == "run" {
		o.runFlags(flags)
	} else {
		o.remoteFlags(flags)
	}
	if err := flags.Parse(args[1:]); err != nil {
		return options{}, fmt.Errorf("cannot use the command line: %w", err)
	}
	o.argv = flags.Args()
	return o, o.check()
}

func (o *options) runFlags(flags *flag.FlagSet) {
	flags.StringVar(&o.variant, "variant", "", "name of the tier's variant")
	flags.StringVar(&o.engine, "engine", "", "vllm or llama")
	flags.StringVar(&o.served, "served", "", "name that /v1/models must list")
	flags.DurationVar(&o.loadTimeout, "load-timeout", 20*time.Minute, "longest time without progress before readiness")
	flags.DurationVar(&o.stallTimeout, "stall-timeout", 5*time.Minute, "longest time with requests in flight and no token")
	flags.IntVar(&o.oomScore, "oom-score", 0, "the engine's OOM score adjustment, 0 to 1000, when the unit's is -1000")
	flags.Uint64Var(&o.progressBytes, "progress-bytes", 0, "size of the model on disk")
	flags.Func("prefer", "'--flag value|--other|': append the first that the engine knows", func(text string) error {
		o.prefer = append(o.prefer, parsePreference(text))
		return nil
	})
	flags.Func("blocked", "CLASS:sentence: do not start, and say why", func(text string) error {
		class, sentence, found := strings.Cut(text, ":")
		if !found || statusOf[class] == 0 {
			return fmt.Errorf("%q is not CLASS:sentence", text)
		}
		o.blocked = &blocked{class, strings.TrimSpace(sentence)}
		return nil
	})
}

func (o *options) remoteFlags(flags *flag.FlagSet) {
	flags.StringVar(&o.url, "url", "", "base URL of the server")
	flags.StringVar(&o.model, "model", "", "model name to ask the server for")
	flags.StringVar(&o.key, "key", "", "credential that holds the key")
	flags.DurationVar(&o.loadTimeout, "load-timeout", 5*time.Minute, "longest wait for the server's first answer")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Minute, "longest silence of the server, before its answer and within it")
}

func (o *options) check() error {
	switch {
	case o.tier == "":
		return fmt.Errorf("cannot start: --tier is missing")
	case o.socket == "":
		return fmt.Errorf("cannot start tier %q: --socket is missing", o.tier)
	case o.mode == "remote" && len(o.argv) > 0:
		return fmt.Errorf("cannot start tier %q: remote takes no argument %q", o.tier, o.argv[0])
	case o.mode == "remote" && (o.url == "" || o.model == ""):
		return fmt.Errorf("cannot start tier %q: remote needs --url and --model", o.tier)
	case o.mode == "run" && !slices.Contains([]string{"vllm", "llama"}, o.engine):
		return fmt.Errorf("cannot start tier %q: --engine=%s is neither vllm nor llama", o.tier, o.engine)
	case o.mode == "run" && len(o.argv) == 0:
		return fmt.Errorf("cannot start tier %q: no engine behind --", o.tier)
	case o.oomScore < 0 || o.oomScore > 1000:
		return fmt.Errorf("cannot start tier %q: --oom-score=%d is not between 0 and 1000", o.tier, o.oomScore)
	case o.mode == "remote" && o.timeout <= 0:
		return fmt.Errorf("cannot start tier %q: --timeout must be above zero", o.tier)
	case o.loadTimeout <= 0 || o.drain < 0:
		return fmt.Errorf("cannot start tier %q: --load-timeout must be above zero and --drain not below", o.tier)
	}
	return nil
}
