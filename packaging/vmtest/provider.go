package vmtest

import (
	"context"
	"fmt"
)

// ProviderURL is where a bed's provider answers; ProviderModel what its model is called there.
const (
	ProviderURL   = "https://api.bed.test:9443/v1"
	ProviderModel = "example-large"
)

// providerScript makes a certificate authority of the bed's own that every program in it trusts, and starts a provider with
// a real model behind it. The key that the provider wants is in /root/provider-token.
const providerScript = `set -e
cd /root
openssl ecparam -name prime256v1 -genkey -noout -out ca.key
openssl req -x509 -key ca.key -subj '/CN=The bed' -days 30 -out /usr/local/share/ca-certificates/bed.crt
update-ca-certificates >/dev/null 2>&1
openssl ecparam -name prime256v1 -genkey -noout -out provider.key
openssl req -new -key provider.key -subj /CN=api.bed.test -addext subjectAltName=DNS:api.bed.test -out provider.csr
openssl x509 -req -in provider.csr -CA /usr/local/share/ca-certificates/bed.crt -CAkey ca.key -days 30 -copy_extensions copyall -out provider.crt 2>/dev/null
echo '127.0.0.1 localhost api.bed.test' >>/etc/hosts
(umask 077; printf 'sk-%s' $(openssl rand -hex 24) >provider-token)
systemd-run --quiet --unit=provider-model llama-server --host 127.0.0.1 --port 9990 -m /var/lib/tierd/models/smollm2.gguf \
	-c 4096 -np 2 -t 1 --alias ` + ProviderModel + `
systemd-run --quiet --unit=provider /bed/guest cloud -listen 127.0.0.1:9443 -cert /root/provider.crt -key /root/provider.key \
	-token /root/provider-token -engine http://127.0.0.1:9990
until curl -sf http://127.0.0.1:9990/health >/dev/null && curl -s ` + ProviderURL + `/models >/dev/null; do sleep 0.05; done`

// CloudVariant is what tiers.toml says of a variant of orch that leaves the machine for the provider.
const CloudVariant = `
[engine.remote]
[tier.orch.variant.cloud]
engine = "remote"
url = "` + ProviderURL + `"
model = "` + ProviderModel + `"
key = "cloud-key"
stall_timeout = "3s"
load_timeout = "20s"
`

// StartProvider starts the provider in the bed, with the program guest.
func (b *Bed) StartProvider(ctx context.Context, guest string) error {
	if _, err := b.CopyInProgram(guest); err != nil {
		return err
	}
	if _, err := b.Must(ctx, providerScript); err != nil {
		return fmt.Errorf("cannot start the provider: %w", err)
	}
	return nil
}

// CopyInProgram is CopyIn for a program.
func (b *Bed) CopyInProgram(file string) (string, error) {
	path, err := b.CopyIn(file)
	if err == nil {
		_, err = b.Must(context.Background(), "chmod 755 "+path)
	}
	return path, err
}
