//go:build vllm && !vmtest

package vmtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// benchReport is what this test wants to know of `tierctl bench --format json`.
type benchReport struct {
	Schema int
	Tiers  []struct {
		Engine, Version, Skipped string
		Weights                  uint64
		Notes                    []string
		Points                   []struct {
			Depth, Streams int
			Skipped        string
			Prompt         int          `json:"prompt_tokens"`
			Cached         int          `json:"cached_tokens"`
			TTFT           *benchFigure `json:"ttft_seconds"`
			CachedTTFT     *benchFigure `json:"cached_ttft_seconds"`
			Writing        *benchFigure `json:"generation_rate"`
			Total          *benchFigure `json:"total_rate"`
			Percent        *float64
		}
	}
}

type benchFigure struct {
	Median, Min, Max float64
	Count            int
}

// benchedTier measures coder as a user would: vLLM takes prompts as tokens, counts them, and has a cache for prefixes.
func benchedTier(ctx context.Context, v *vllmBed) (string, error) {
	out, err := v.Must(ctx, "tierctl bench coder --tokens 16 --runs 1 --depth 0,1K,4K --concurrency 1,4 --bandwidth 20 --format json 2>/dev/null")
	if err != nil {
		return "", err
	}
	var r benchReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		return "", err
	}
	if len(r.Tiers) != 1 || len(r.Tiers[0].Points) != 6 {
		return "", fmt.Errorf("not one tier with six points: %s", out)
	}
	tier := r.Tiers[0]
	// 269 MB in bfloat16; its embeddings are its output, too, so a token reads all of it.
	if tier.Engine != "vllm" || tier.Version == "" || tier.Skipped != "" || tier.Weights < 250e6 || tier.Weights > 290e6 || len(tier.Notes) > 0 {
		return "", fmt.Errorf("the tier is not told right: %+v", tier)
	}
	for _, p := range tier.Points {
		switch {
		case p.Depth == 4096:
			if p.TTFT != nil || !strings.Contains(p.Skipped, "its context is 4096 tokens") {
				return "", fmt.Errorf("a depth beyond the context is measured: %+v", p)
			}
		case p.TTFT == nil || p.Skipped != "" || p.Prompt != max(p.Depth, 16) || p.Writing == nil || p.Writing.Count != p.Streams || p.Percent == nil:
			return "", fmt.Errorf("not measured, or not at its depth: %+v", p)
		case p.Writing.Min <= 0 || p.Total.Median <= 0 || *p.Percent <= 0 || *p.Percent > 200:
			return "", fmt.Errorf("figures that cannot be: %+v", p)
		case p.Depth == 1024 && p.Streams == 1 && (p.CachedTTFT == nil || p.CachedTTFT.Median >= p.TTFT.Median):
			return "", fmt.Errorf("the cache did not help: %+v", p)
		}
	}
	one := tier.Points[2]
	return fmt.Sprintf("behind 1024 tokens: first token after %.2f s, with cache %.2f s, %.1f tokens/s, %.1f of four together",
		one.TTFT.Median, one.CachedTTFT.Median, one.Total.Median, tier.Points[3].Total.Median), nil
}
