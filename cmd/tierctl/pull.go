package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/agent/hub"
)

// pullOptions are the flags of pull.
type pullOptions struct {
	tiers    []string
	all      bool
	into     string
	with     string
	revision string
	include  []string
	config   string
}

// What --with may be.
const (
	withHF   = "hf"
	withHTTP = "http"
)

// pulled is what `tierctl pull --format json` prints of each repository.
type pulled struct {
	Models  []string     `json:"models"`
	Folder  string       `json:"folder"`
	Commit  string       `json:"commit"`
	Files   []pulledFile `json:"files"`
	Fetched int64        `json:"fetched"` // bytes that came over the network, without those of earlier runs
	Tiers   []string     `json:"tiers"`   // "tier/variant" that load one of the models

	changed bool // something in the folder is another than before
}

type pulledFile struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
	Sum  string `json:"sum"` // of the whole file, or git's sum of a small one
}

func (a *app) pullCommand() *cobra.Command {
	o := pullOptions{}
	cmd := &cobra.Command{
		Use:   "pull [MODEL...] [--tier NAME] [--all]",
		Short: "Fetch models from a hub",
		Long: `Fetch models from a Hugging Face hub into the model folder. They are named as in
tiers.toml: ORG/NAME for safetensors, ORG/NAME/FILE.gguf for one GGUF file, all parts of a
split one. --tier fetches what a tier lacks, --all what any tier lacks. What comes is
compared with the hub's checksums, and gets its place when the model is whole.

After an interruption, or a while without a network, the same command goes on where it
stopped. Where hf, Hugging Face's client, is installed, it does the transfer.

HF_ENDPOINT names another hub. A token is taken from HF_TOKEN, the credential hf-token, or
where hf login leaves it, and is sent to the hub alone. The folder is the first of models
in [host] that can be written to: /var/lib/tierd/models takes sudo.`,
		Example: `  sudo tierctl pull --all
  sudo tierctl pull --tier orch/llama
  tierctl pull Qwen/Qwen2.5-14B-Instruct --into ~/models`,
		Args: takes(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.pull(cmd.Context(), o, args)
		},
		ValidArgsFunction: a.completePull(&o),
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.tiers, "tier", nil, "a tier, or TIER/VARIANT, whose models are fetched; several times for more")
	f.BoolVar(&o.all, "all", false, "all models of tiers.toml that are not there")
	f.StringVar(&o.into, "into", "", "the folder, instead of the first one of tiers.toml that can be written to")
	f.StringVar(&o.with, "with", "", "hf or http: what does the transfer; left out: hf where it is installed")
	f.StringVar(&o.revision, "revision", "", "branch, tag or commit; left out: main")
	f.StringArrayVar(&o.include, "include", nil, "a pattern of the files to fetch, in place of those that an engine needs; several times for more")
	f.StringVar(&o.config, "config", configFile, "the tiers.toml that names models and folders")
	_ = cmd.RegisterFlagCompletionFunc("with", cobra.FixedCompletions([]string{withHF, withHTTP}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("tier", a.completeTiers)
	_ = cmd.MarkFlagDirname("into")
	return cmd
}

func (a *app) pull(ctx context.Context, o pullOptions, args []string) error {
	config, err := pullConfig(o, args)
	if err != nil {
		return err
	}
	names, left, err := pullNames(o, args, config)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if len(left) == 0 {
			return a.nothingToPull()
		}
		return errors.Join(left...)
	}
	folder, err := pullFolder(o, config)
	if err != nil {
		return err
	}
	defer folder.Close()
	if o.with == "" && !folder.Mine() {
		o.with = withHTTP
	}
	h, transfer, err := pullFrom(o.with)
	if err != nil {
		return err
	}
	show := a.newPullShow()
	results, err := pullAll(ctx, h, transfer, folder, names, o, show)
	show.close()
	if err != nil {
		return pullFailure(err)
	}
	for i := range results {
		results[i].Tiers = usersOf(config, results[i].Models)
	}
	return errors.Join(append(left, a.printPulled(ctx, results, config, folder.Path))...)
}

// pullFrom is the hub and what does the transfer.
func pullFrom(with string) (*hub.Hub, hub.Transfer, error) {
	if with != "" && with != withHF && with != withHTTP {
		return nil, nil, &failure{status: exitUsage, message: fmt.Sprintf("--with %q is neither hf nor http", with), hint: "tierctl pull --help"}
	}
	home, _ := os.UserHomeDir() // without one there is no file with a token
	token, err := hub.FindToken(os.Getenv, home)
	if err != nil {
		return nil, nil, err
	}
	h, err := hub.New(cmp.Or(os.Getenv("HF_ENDPOINT"), hub.DefaultEndpoint), token, nil, hub.Patience{})
	if err != nil {
		return nil, nil, err
	}
	if with == withHTTP {
		return h, h, nil
	}
	program, err := exec.LookPath("hf")
	switch {
	case err == nil:
		return h, &hub.Client{Program: program, Hub: h, Env: os.Environ()}, nil
	case with == withHF:
		return nil, nil, &failure{status: exitFailed, message: "hf is not installed", hint: "pip install huggingface_hub, or --with http"}
	}
	return h, h, nil
}

// pullAll looks at everything first, so that what has no room is refused before anything comes.
func pullAll(ctx context.Context, h *hub.Hub, t hub.Transfer, folder *hub.Folder, names []hub.Name, o pullOptions, show pullShow) ([]pulled, error) {
	wants, err := h.Look(ctx, names, o.revision, o.include, show)
	if err != nil {
		return nil, err
	}
	var pulls []*hub.Pull
	defer func() {
		for _, p := range pulls {
			p.Close()
		}
	}()
	var missing, here int64
	for _, want := range wants {
		p, err := folder.Begin(ctx, want, show)
		if errors.Is(err, hub.ErrBusy) {
			return nil, &failure{status: exitFailed, message: fmt.Sprintf("another tierctl pull of %s into %s is at work", want.List.Repo, folder.Path), hint: "wait for its end, or stop it; what it fetched is kept"}
		}
		if err != nil {
			return nil, fmt.Errorf("cannot prepare %s in %s: %w", want.List.Repo, folder.Path, err)
		}
		pulls = append(pulls, p)
		_, m, n := p.Sizes()
		missing, here = missing+m, here+n
	}
	if err := checkRoom(folder, missing, here); err != nil {
		return nil, err
	}
	show.begin(missing, here)
	var results []pulled
	for _, p := range pulls {
		_, m, n := p.Sizes()
		show.model(p.List.Repo)
		if err := p.Run(ctx, t, show); err != nil {
			return nil, err
		}
		results = append(results, resultOf(p, folder.Path, m-n))
	}
	return results, nil
}

func resultOf(p *hub.Pull, folder string, fetched int64) pulled {
	r := pulled{Folder: folder + "/" + p.List.Repo, Commit: p.List.Commit, Fetched: fetched, Tiers: []string{}, changed: len(p.Missing) > 0}
	for _, n := range p.Names {
		r.Models = append(r.Models, n.String())
	}
	for _, f := range p.Files {
		r.Files = append(r.Files, pulledFile{Path: f.Path, Size: f.Size, Sum: f.Sum.Kind + ":" + f.Sum.Hex})
	}
	return r
}

// pullFailure words the end of a pull for its user: what came is never lost.
func pullFailure(err error) error {
	var refused *hub.Refused
	switch {
	case errors.Is(err, context.Canceled):
		return &failure{status: exitInterrupted, message: "interrupted; what came is kept", hint: "the same command goes on where this one stopped"}
	case errors.As(err, &refused):
		return &failure{status: exitFailed, message: err.Error(), hint: refused.Hint}
	case errors.Is(err, hub.ErrWrongSum):
		return &failure{status: exitFailed, message: err.Error(), hint: "the same command fetches it anew; a proxy or a mirror between may have changed it"}
	}
	var own *failure
	var reach *net.OpError
	switch {
	case errors.As(err, &own):
		return own
	case errors.As(err, &reach):
		return &failure{status: exitFailed, message: err.Error(), hint: "look at the network, or name another hub by HF_ENDPOINT; the same command goes on where this one stopped"}
	case errors.Is(err, fs.ErrPermission):
		return &failure{status: exitForbidden, message: err.Error(), hint: "another user has made a part of the folder: use sudo, or give it to yourself with chown -R"}
	case errors.Is(err, unix.ENOSPC):
		return &failure{status: exitFailed, message: err.Error(), hint: "make room; what came is kept, and the same command goes on from there"}
	}
	return &failure{status: exitFailed, message: err.Error(), hint: "what came is kept; the same command goes on where this one stopped"}
}
