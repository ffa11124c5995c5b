package agent

import (
	"context"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

func (b *bed) tableNow() api.Table {
	b.t.Helper()
	table, err := b.Table(context.Background(), 0)
	if err != nil {
		b.t.Fatal(err)
	}
	return table
}

func TestAReloadTellsTheGatewayOfKeysAtOnce(t *testing.T) {
	inBed(t, func(b *bed) {
		before := b.tableNow()
		if len(before.Keys) > 0 || before.NoConfig || before.MaxConnections != 1024 || before.MaxBody != 64<<20 {
			t.Errorf("at first it is %+v", before)
		}
		hash := units.HashKey("tierd_x")
		b.change("[mode.full]", "[gateway]\nopen_loopback = true\nhosts = [\"Models.HOME\"]\nmax_body = \"1MiB\"\nmax_connections = 7\n"+
			"[gateway.key.laptop]\nsha256 = \""+strings.ToUpper(hash)+"\"\nscopes = [\"metrics\"]\ntiers = [\"coder\"]\n[mode.full]")
		result, _, err := b.Reload(context.Background(), false)
		if err != nil || strings.Join(result.Gateway, " ") != "hosts max_connections max_body open_loopback key" {
			t.Fatal(result, err)
		}
		after := b.tableNow()
		if after.Seq == before.Seq || !after.OpenLoopback || after.MaxBody != 1<<20 || after.MaxConnections != 7 || strings.Join(after.Hosts, " ") != "models.home" {
			t.Errorf("then it is %+v", after)
		}
		if len(after.Keys) != 1 {
			t.Fatalf("its keys are %+v", after.Keys)
		}
		if k := after.Keys[0]; k.Name != "laptop" || k.SHA256 != hash || strings.Join(k.Scopes, " ") != "metrics" || strings.Join(k.Tiers, " ") != "coder" {
			t.Errorf("its key is %+v", k)
		}
		b.write("this is no toml")
		if _, _, err := b.Reload(context.Background(), false); err == nil {
			t.Error("a broken file was taken")
		}
		if len(b.tableNow().Keys) != 1 {
			t.Error("a broken file opened the gateway")
		}
	})
}

func TestWithoutAConfigurationTheGatewayKeepsWhatItKnew(t *testing.T) {
	inBed(t, func(b *bed) {
		b.end()
		b.write("this is no toml")
		b.run()
		if !b.tableNow().NoConfig {
			t.Error("the table says that nobody needs a key")
		}
	})
}
