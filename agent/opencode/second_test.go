//go:build opencode

package opencode

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// preview is the server of OpenCode 2's preview, with what asks it. There is no package of version 2 itself on npm.
type preview struct {
	path string
	env  Env
}

// startPreview starts one in the home of e, which is gone with the test.
func startPreview(t *testing.T, e Env) preview {
	t.Helper()
	p := preview{filepath.Join(filepath.Dir(realClient(t)), "lildax"), e}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	listener.Close()
	cmd := p.command(t, "serve", "--register", "--hostname", "127.0.0.1", "--port", port)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: packaging/vmtest/mkopencode.sh puts it beside the client", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			t.Fatalf("the preview ended before it listened: %v", lines.Err())
		}
		if strings.Contains(lines.Text(), "listening") {
			go func() {
				for lines.Scan() { // or it would wait for somebody to read
				}
			}()
			return p
		}
	}
}

func (p preview) command(t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), p.path, args...)
	cmd.Dir, cmd.Env = p.env.Dir, slices.Concat(p.env.Environ, Variables(false))
	return cmd
}

// list asks for a list until it is as somebody wants it, or two minutes have passed: the first answers come before the configuration
// is read.
func (p preview) list(t *testing.T, what string, wanted func(names []string) bool) []map[string]any {
	t.Helper()
	until := time.Now().Add(2 * time.Minute)
	for {
		out, err := p.command(t, "api", "GET", "/api/"+what).Output()
		var answer struct {
			Data []map[string]any `json:"data"`
		}
		if err == nil {
			err = json.Unmarshal(out, &answer)
		}
		late := time.Now().After(until)
		if late && err != nil {
			t.Fatalf("%s: %v, %s", what, err, out)
		}
		if late || err == nil && wanted(names(answer.Data)) {
			return answer.Data
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func some(names []string) bool { return len(names) > 0 }

func names(list []map[string]any) []string {
	var all []string
	for _, one := range list {
		all = append(all, fmt.Sprint(one["id"]))
	}
	return all
}

// What is known of OpenCode 2: its preview reads the same file, takes limits, time limits, agents and rules from it, and offers no
// hosted model beside the tiers.
func TestTheRealClientOfVersion2ReadsTheSameFile(t *testing.T) {
	p := startPreview(t, realHome(t, map[string]string{
		ownFile:                           goldenPlan(t),
		".config/opencode/opencode.jsonc": `{ "provider": { "local_coder": { "name": "Mine" } }, } // wins`,
	}))
	want := []string{"local_orch", "local_coder", "local_reviewer", "local_utility"}
	providers := p.list(t, "provider", func(names []string) bool { return slices.Equal(names, want) })
	if got := names(providers); !slices.Equal(got, want) {
		t.Errorf("it offers %v, and was told of %v", got, want)
	}
	config := tree(t, MakePlan(four(), here()), KindConfig)
	for _, one := range providers {
		id := fmt.Sprint(one["id"])
		if id == "local_coder" && one["name"] != "Mine" {
			t.Errorf("the user's file does not win: %v", one["name"])
		}
		options, _ := at(config, "provider", id, "options").(map[string]any)
		want := map[string]any{"apiKey": options["apiKey"], "headerTimeout": options["headerTimeout"], "chunkTimeout": options["chunkTimeout"]}
		if got := at(one, "api", "settings"); at(one, "api", "url") != options["baseURL"] || !reflect.DeepEqual(got, any(want)) {
			t.Errorf("%s is at %v with %v, and was to be at %v with %v", id, at(one, "api", "url"), got, options["baseURL"], want)
		}
	}
	for _, one := range p.list(t, "model", some) {
		provider, id := fmt.Sprint(one["providerID"]), fmt.Sprint(one["id"])
		want := at(config, "provider", provider, "models", id, "limit")
		if want == nil || !reflect.DeepEqual(one["limit"], want) {
			t.Errorf("%s/%s has %v, and was to have %v", provider, id, one["limit"], want)
		}
	}
	agents := p.list(t, "agent", func(names []string) bool { return slices.Contains(names, primaryAgent) })
	for name, a := range at(config, "agent").(map[string]any) {
		i := slices.Index(names(agents), name)
		if i < 0 {
			t.Errorf("it has no agent %q", name)
			continue
		}
		if model := at(a, "model"); model != nil && fmt.Sprintf("%v/%v", at(agents[i], "model", "providerID"), at(agents[i], "model", "id")) != model {
			t.Errorf("%s works with %v, and was to work with %v", name, agents[i]["model"], model)
		}
		for tool, rule := range orNone(at(a, "permission")) {
			if _, simple := rule.(string); simple && !holds(agents[i], tool, rule) {
				t.Errorf("%s has %v, where %s was to be %v", name, agents[i]["permissions"], tool, rule)
			}
		}
	}
}

func orNone(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// holds tells whether an agent of the preview has a rule, and no later one of the same tool.
func holds(agent map[string]any, tool string, effect any) bool {
	rules, _ := agent["permissions"].([]any)
	for _, r := range slices.Backward(rules) {
		if at(r, "action") == tool && at(r, "resource") == "*" {
			return at(r, "effect") == effect
		}
	}
	return false
}

// Without the policies it would offer what is elsewhere, whatever enabled_providers says: that they are seen to work needs both.
func TestTheRealClientOfVersion2GoesByPolicies(t *testing.T) {
	config := tree(t, MakePlan(four(), here()), KindConfig)
	delete(config, "experimental")
	without, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	p := startPreview(t, realHome(t, map[string]string{ownFile: string(without)}))
	hosted := func(names []string) bool { return slices.Contains(names, "opencode") }
	if got := names(p.list(t, "provider", hosted)); !hosted(got) {
		t.Errorf("it goes by enabled_providers after all, and offers %v", got)
	}
}
