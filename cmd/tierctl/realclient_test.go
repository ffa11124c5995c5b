//go:build opencode

package main

import (
	"os"
	"testing"
)

// TestScriptsWithTheRealClient runs those that need the OpenCode that $TIERD_OPENCODE names.
func TestScriptsWithTheRealClient(t *testing.T) {
	if os.Getenv("TIERD_OPENCODE") == "" {
		t.Fatal("TIERD_OPENCODE names no OpenCode")
	}
	runScripts(t, "testdata/script-opencode")
}
