//go:build vmtest

package vmtest

import "context"

// hubScript starts two hubs with the bed's small model: one that works, and one that stops in the middle of it.
const hubScript = `set -e
mkdir -p /root/hub/Bed/SmolLM2-GGUF
cp /var/lib/tierd/models/smollm2.gguf /root/hub/Bed/SmolLM2-GGUF/smollm2.gguf
echo '# a model' >/root/hub/Bed/SmolLM2-GGUF/README.md
systemd-run --quiet --unit=hub /bed/guest hub -root /root/hub
systemd-run --quiet --unit=hub-stops /bed/guest hub -root /root/hub -listen 127.0.0.1:9702 -contents 127.0.0.1:9703 -stop 50000000
for port in 9700 9702; do
	until curl -sf http://127.0.0.1:$port/api/models/Bed/SmolLM2-GGUF/revision/main >/dev/null; do sleep 0.05; done
done`

func startHub(ctx context.Context, b *Bed) error {
	guest, err := vmGuest()
	if err != nil {
		return err
	}
	if _, err := b.CopyInProgram(guest); err != nil {
		return err
	}
	_, err = b.Must(ctx, hubScript)
	return err
}
