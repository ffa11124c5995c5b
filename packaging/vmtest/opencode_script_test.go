//go:build vmtest

package vmtest

import (
	"time"

	"github.com/tierd/tierd/packaging/vmtest/script"
)

// sessions is the script of every chat of TestOpenCodeSession. A chat's name in parentheses is in what ann says.
func sessions() *script.Script {
	no := false
	task := func(agent, title, prompt string) script.Call {
		return script.Call{Name: "task", Arguments: map[string]any{"description": title, "prompt": prompt, "subagent_type": agent}}
	}
	return &script.Script{
		Rules: []script.Rule{
			// What `tierctl opencode verify` asks of each model.
			{Name: "verify: a word", Last: "Say hello in one word.", Say: "Hello"},
			{Name: "verify: a tool", Last: "Read the file README.md.", Calls: []script.Call{{Name: "read", Arguments: map[string]any{"filePath": "README.md"}}}},
			{Name: "title", Tier: "utility", Tools: &no, Say: "A title for it"},

			// A session of four agents: two at once, then one that is cold.
			{Name: "end", Tier: "orch", Last: "REVIEWED", Say: "ALL-DONE"},
			{Name: "to the reviewer", Tier: "orch", Last: "LOOKED", Say: "Both are back.",
				Calls: []script.Call{task("reviewer", "Review the notes", "Review notes.txt.")}},
			{Name: "to two at once", Tier: "orch", Last: "(four)", Say: "I will have it written and have the place looked at, both at the same time, " +
				"and when that is done somebody else has to review what came of it.", Pace: script.Duration(200 * time.Millisecond),
				Calls: []script.Call{
					task("coder", "Write the notes", "Write the notes."),
					task("utility", "Look around", "Look around."),
				}},
			{Name: "write", Tier: "coder", Last: "Write the notes.",
				Calls: []script.Call{{Name: "write", Arguments: map[string]any{"filePath": "/home/ann/four/notes.txt", "content": "One note.\n"}}}},
			{Name: "edit", Tier: "coder", Last: "Wrote file",
				Calls: []script.Call{{Name: "edit", Arguments: map[string]any{"filePath": "/home/ann/four/notes.txt", "oldString": "One", "newString": "A"}}}},
			{Name: "bash", Tier: "coder", Last: "Edit applied",
				Calls: []script.Call{{Name: "bash", Arguments: map[string]any{"command": "cat notes.txt", "description": "Shows the notes"}}}},
			{Name: "written", Tier: "coder", Last: "A note.", Say: "WRITTEN"},
			{Name: "look", Tier: "utility", Last: "Look around.", Wait: script.Duration(time.Second),
				Calls: []script.Call{{Name: "glob", Arguments: map[string]any{"pattern": "*"}}}},
			{Name: "looked", Tier: "utility", After: 2, Say: "LOOKED"},
			{Name: "read", Tier: "reviewer", Last: "Review notes.txt.",
				Calls: []script.Call{{Name: "read", Arguments: map[string]any{"filePath": "/home/ann/four/notes.txt"}}}},
			{Name: "reviewed", Tier: "reviewer", After: 2, Say: "REVIEWED"},

			// The other chats, each of one turn or two.
			{Name: "plugin", Tier: "orch", Last: "(plugin)", Say: "SISYPHUS"},
			{Name: "cut", Tier: "coder", Last: "(cut)", Say: "This breaks off", Cut: true},
			{Name: "busy", Tier: "coder", Last: "(busy)", Times: 2, Status: 503, Header: map[string]string{"Retry-After": "2"},
				Body: `{"error":{"code":503,"message":"Try again in a moment","type":"unavailable_error"}}`},
			{Name: "overflow", Tier: "coder", Last: "(llama)", Times: 1, Status: 400, Body: script.Overflow(50000, 49152)},
			{Name: "overflow of vLLM", Tier: "coder", Last: "(vllm)", Times: 1, Status: 400, Body: script.OverflowVLLM(50000, 49152)},
			{Name: "summary", Tier: "coder", Tools: &no, Say: "What was said so far, in short."},
			{Name: "first", Tier: "orch", Last: "(model)", Say: "The first one answers."},
			{Name: "second", Tier: "coder", Has: "The first one answers.", Say: "The second one goes on."},
			{Name: "plain", Tier: "coder", Say: "GOES-ON"},
		},
	}
}
