//go:build vmtest

package vmtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// debsLayer has a script make a layer of packages of Debian's, once, and returns its folder, which is the script's last line.
func debsLayer(t *testing.T, script string, args ...string) string {
	t.Helper()
	cmd := exec.Command(script, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	lines := strings.Fields(string(out))
	if err != nil || len(lines) == 0 {
		t.Fatalf("cannot have a layer with packages of Debian's (%s): %v", filepath.Base(script), err)
	}
	return lines[len(lines)-1]
}
