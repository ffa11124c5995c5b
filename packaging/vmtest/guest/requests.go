package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// requests asks for tiers in a random order for so long, one after the other: each is started, others giving way, and then
// asked for a few tokens through the gateway.
func requests(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("requests", flag.ContinueOnError)
	length := flags.Duration("for", 10*time.Minute, "how long")
	seed := flags.Uint64("seed", 1, "of the order")
	open := hammerFlags(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	h, file, err := open()
	if err != nil {
		return err
	}
	order := rand.New(rand.NewPCG(*seed, 0))
	for time.Since(h.begin) < *length && err == nil {
		err = h.request(context.Background(), h.targets[order.IntN(len(h.targets))])
	}
	return errors.Join(err, file.Close(), json.NewEncoder(stdout).Encode(h.Summary))
}

// request starts one tier and asks it. A tier that is refused is not asked.
func (h *hammer) request(ctx context.Context, to target) error {
	a, err := h.attempt(ctx, to.Tier, "tierctl", "start", to.Tier, "--evict")
	if err != nil || a.Outcome != wire.Admitted {
		return err
	}
	start := time.Now()
	err = chat(ctx, to)
	h.mu.Lock()
	if err == nil {
		h.Summary.Answered++
	} else {
		h.Summary.Failed = append(h.Summary.Failed, err.Error())
	}
	h.mu.Unlock()
	line := struct {
		At, Took float64
		Chat     string
		Error    string `json:",omitempty"`
	}{start.Sub(h.begin).Seconds(), time.Since(start).Seconds(), to.Tier, ""}
	if err != nil {
		line.Error = err.Error()
	}
	return h.write(line)
}

// chat asks a tier for a completion of a few tokens.
func chat(ctx context.Context, to target) error {
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	body := fmt.Sprintf(`{"model":%q,"max_tokens":8,"messages":[{"role":"user","content":"Say hello."}]}`, to.Tier)
	url := fmt.Sprintf("http://127.0.0.1:%d/v1/chat/completions", to.Port)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("%s: the answer broke: %w", to.Tier, err)
	}
	return checkCompletion(to.Tier, res.StatusCode, text)
}

// checkCompletion is an error unless the answer has text.
func checkCompletion(tier string, status int, body []byte) error {
	var reply struct {
		Choices []struct{ Message struct{ Content string } }
	}
	switch err := json.Unmarshal(body, &reply); {
	case status != http.StatusOK:
		return fmt.Errorf("%s: status %d: %.300s", tier, status, bytes.TrimSpace(body))
	case err != nil:
		return fmt.Errorf("%s: cannot read the completion: %w", tier, err)
	case len(reply.Choices) == 0 || reply.Choices[0].Message.Content == "":
		return fmt.Errorf("%s: the completion is empty", tier)
	}
	return nil
}
