//go:build vmtest

package vmtest

import (
	"context"
	"os"
	"path/filepath"
)

// startProvider starts a provider in a bed, and leaves in /bed what goes with it: cloud.toml, the variant to add to
// tiers.toml, and the scripts of testdata.
func startProvider(ctx context.Context, b *Bed) error {
	guest, err := vmGuest()
	if err != nil {
		return err
	}
	if err := b.StartProvider(ctx, guest); err != nil {
		return err
	}
	for _, script := range []string{"testdata/cloud-errors.sh", "testdata/search.sh"} {
		if _, err := b.CopyInProgram(script); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(b.Share(), "cloud.toml"), []byte(CloudVariant), 0o644)
}
