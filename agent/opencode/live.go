package opencode

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tierd/tierd/agent/openai"
	"github.com/tierd/tierd/units"
)

// Live is what a running engine says of itself.
type Live struct {
	Context  int // tokens that one request may have; 0: it did not say
	Parallel int // requests at the same time; 0: it did not say
}

const (
	askTime = 3 * time.Second
	// askBytes is ample: llama-server's answer has the chat template in it, some 10 KiB.
	askBytes = 4 << 20
)

// question is where an engine says what it serves, and how its answer is read.
type question struct {
	path string
	read func([]byte) (Live, error)
}

var questions = map[string]question{
	units.KindLlama: {"/props", readProps},
	units.KindVLLM:  {"/v1/models", readModels},
}

// Ask asks the engines of the tiers that are ready, all at once and for three seconds at most, through the gateway's port for all
// tiers at base ("http://127.0.0.1:8000"). key is the gateway's, "" for none. The gateway starts no tier for such a question, also
// when one has gone meanwhile, and none is asked that is elsewhere. What was not told is a finding, and what tiers.toml says stays.
func Ask(ctx context.Context, rt http.RoundTripper, base, key string, tiers []Tier) (map[string]Live, []Finding) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	answers, errs := make([]Live, len(tiers)), make([]error, len(tiers))
	var all sync.WaitGroup
	for i, t := range tiers {
		if q, known := questions[t.Engine]; known && t.Ready {
			all.Go(func() { answers[i], errs[i] = q.ask(ctx, rt, base+"/upstream/"+url.PathEscape(t.Name), key) })
		}
	}
	all.Wait()
	live := map[string]Live{}
	var findings []Finding
	for i, t := range tiers {
		if errs[i] != nil {
			findings = append(findings, Finding{
				Tier: t.Name, Text: fmt.Sprintf("tier %q does not say what context it serves: %v", t.Name, errs[i]),
				Hint: "what tiers.toml says is taken for it; `tierctl status` says how the tier is",
			})
		} else if answers[i] != (Live{}) {
			live[t.Name] = answers[i]
		}
	}
	return live, findings
}

func (q question) ask(ctx context.Context, rt http.RoundTripper, base, key string) (Live, error) {
	r, err := openai.Request(ctx, base+q.path, key, nil)
	if err != nil {
		return Live{}, err
	}
	answer, err := rt.RoundTrip(r)
	if err != nil {
		return Live{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, askBytes+1))
	switch {
	case err != nil:
		return Live{}, fmt.Errorf("%s: %w", q.path, err)
	case answer.StatusCode != http.StatusOK:
		return Live{}, fmt.Errorf("%s: status %s", q.path, strings.TrimSpace(answer.Status))
	case len(body) > askBytes:
		return Live{}, fmt.Errorf("%s: the answer has more than %d MiB", q.path, askBytes>>20)
	}
	l, err := q.read(body)
	if err != nil {
		return Live{}, fmt.Errorf("%s: %w", q.path, err)
	}
	return l, nil
}

// readProps reads llama-server's GET /props. n_ctx is that of one slot: what was asked for is shared out among them, and silently
// cut to what the model was trained with.
func readProps(body []byte) (Live, error) {
	var props struct {
		Slots    *int64 `json:"total_slots"`
		Settings struct {
			Context *int64 `json:"n_ctx"`
		} `json:"default_generation_settings"`
	}
	if err := json.Unmarshal(body, &props); err != nil {
		return Live{}, fmt.Errorf("not what llama-server answers: %w", err)
	}
	context, err := count("default_generation_settings.n_ctx", props.Settings.Context)
	if err != nil {
		return Live{}, err
	}
	l := Live{Context: context}
	if props.Slots != nil { // older ones do not tell
		l.Parallel, err = count("total_slots", props.Slots)
	}
	return l, err
}

// readModels reads vLLM's GET /v1/models. Adapters are listed behind the model that they are for, and have no length of their own.
func readModels(body []byte) (Live, error) {
	var list struct {
		Data []struct {
			Length *int64 `json:"max_model_len"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return Live{}, fmt.Errorf("not what vLLM answers: %w", err)
	}
	for _, m := range list.Data {
		if m.Length != nil {
			context, err := count("max_model_len", m.Length)
			return Live{Context: context}, err
		}
	}
	_, err := count("max_model_len", nil)
	return Live{}, err
}

// count is a number that an engine gave of something it has at least one of.
func count(name string, n *int64) (int, error) {
	switch {
	case n == nil:
		return 0, fmt.Errorf("the answer has no %s", name)
	case *n < 1 || *n > math.MaxInt32:
		return 0, fmt.Errorf("%s is %d", name, *n)
	}
	return int(*n), nil
}
