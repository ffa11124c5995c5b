package agent

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAUnitWhoseDefinitionWasCutOffCanStartAgain(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, definingDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, unit := range []string{coder, "tier-gone.service"} {
		if err := os.WriteFile(filepath.Join(dir, unit), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	onBusIn(t, root)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestAReconnectLeavesADefinitionUnderWayAlone(t *testing.T) {
	root := t.TempDir()
	b, f := onBusIn(t, root)
	unblock, err := b.block(coder)
	if err != nil {
		t.Fatal(err)
	}
	defer unblock()
	f.hangUp()
	for s, err := b.open(t.Context()); err != nil || s.conn.Context().Err() != nil; s, err = b.open(t.Context()) {
		if t.Context().Err() != nil {
			t.Fatal("not connected again")
		}
	}
	if _, err := os.Stat(filepath.Join(root, definingDir, coder)); err != nil {
		t.Errorf("the unit could start in the middle of its definition: %v", err)
	}
}
