package opencode

import (
	"fmt"
	"time"
)

// What one answer may have, by role: what the predecessor gave each. Roles of other names have the reviewer's.
var outputs = map[string]int{"orchestrator": 32 << 10, "coder": 24 << 10, "reviewer": 16 << 10, "utility": 4 << 10}

const (
	otherOutput = 16 << 10
	// maxOutput and a quarter of the context are the most that an answer gets. OpenCode sets that much of the context aside
	// from the first prompt on: 32K of 64K would have it shorten the session when it is half full.
	maxOutput = 16 << 10
	// leastOutput holds a short edit; one answer that is cut within a tool call is lost.
	leastOutput = 1 << 10
	// sentOutput is the most that OpenCode asks for, whatever the limit says.
	sentOutput = 32000
)

// Tokens that have to be left for prompts. What each agent begins with was measured with these very permissions, OpenCode 1.18.33
// and its plugin 4.19.4, as bytes by four. Below them the instructions and tools alone come near the point at which OpenCode
// shortens the session, and where they pass it, it does so again and again.
const (
	primaryNeeds  = 12000 // begins with 7400
	subagentNeeds = 9000  // explore begins with 2700, reviewer and utility with 3300, coder and general with 5700; and a file or a diff
	smallNeeds    = 4000  // a title takes 600 to 1000, and what the user wrote
	sisyphusNeeds = 28000 // begins with 22400
	workerNeeds   = 18000 // oracle, librarian and the categories begin with 13300 to 14300
)

// promptRate is the slowest that a prompt is worked off, in tokens a second: a model of 70B on the CPU. It is assumed, with a
// margin: a limit that comes too early has the whole prompt worked off again, and one that comes late only waits.
const promptRate = 20

// outputOf is what one answer of a tier may have, 0 where its context is not known.
func outputOf(t Tier) int {
	most, known := outputs[t.Role]
	if !known {
		most = otherOutput
	}
	if t.Output > 0 {
		most = t.Output
	}
	return min(most, maxOutput, t.Context/4)
}

// usable is how long a prompt may become before OpenCode shortens the session, which is a negative number of tokens never, and
// without meaning where the context is not known.
func (s seat) usable() int { return s.Context - min(s.output, sentOutput) }

// fits tells whether prompts of so many tokens have room. A context that nobody knows is not held against a tier.
func (s seat) fits(need int) bool { return s.Context == 0 || s.usable() >= need }

// sum is the reckoning that a finding about sizes shows.
func (s seat) sum() string {
	return fmt.Sprintf("%d tokens of context less %d for the answer leave %d", s.Context, s.output, s.usable())
}

// promptTime is how long a prompt that fills the context may take, and no less than what tierd lets pass before it takes the engine
// for stuck.
func (s seat) promptTime() time.Duration {
	return max(time.Duration(s.Context)*time.Second/promptRate, s.Silence)
}

// headerTimeout covers a load and a prompt: llama-server answers with its status after the prompt alone, and the gateway sends
// nothing before the engine does.
func (s seat) headerTimeout() int64 { return wholeMinutes(max(s.Load, s.Hold) + s.promptTime()) }

// chunkTimeout lets tierd find a stuck engine first. It covers a whole prompt, since vLLM sends its status before that.
func (s seat) chunkTimeout() int64 { return wholeMinutes(s.promptTime() + time.Minute) }

// wholeMinutes is in milliseconds, rounded up: OpenCode's own five minutes at least.
func wholeMinutes(d time.Duration) int64 {
	return max(int64((d+time.Minute-1)/time.Minute), 5) * time.Minute.Milliseconds()
}
