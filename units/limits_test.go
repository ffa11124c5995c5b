package units

import (
	"testing"

	"pgregory.net/rapid"
)

// limitsOf are the limits of a tier with that charge, on the GPU or not, as the table of properties has them.
func limitsOf(gpu bool, c Charge) [2]any {
	s := &spec{unit: &Unit{GPU: gpu, Charge: c}, engine: Engine{Kind: KindLlama, Command: []string{"/x"}}}
	return [2]any{s.memoryMin(), s.memoryMax()}
}

func mib(n uint64) any { return n << 20 }

func TestLimitsFollowTheCharge(t *testing.T) {
	for _, row := range []struct {
		rule string
		gpu  bool
		c    Charge
		want [2]any
	}{
		{"a CPU tier may take its charge and five per cent", false, Charge{Weights: 40 * GiB, KV: 10 * GiB}, [2]any{nil, mib(53760)}},
		{"a small one 64 MiB more", false, Charge{Written: 128 * MiB}, [2]any{nil, mib(192)}},
		{"what tiers.toml says counts", false, Charge{Weights: 40 * GiB, Written: 2 * GiB}, [2]any{nil, mib(2151)}},
		{"and so does what was measured", false, Charge{Weights: 4 * GiB, Measured: 5 * GiB}, [2]any{nil, mib(5376)}},
		{"mapped weights stay in memory", false, Charge{Weights: 40 * GiB, Mapped: 40 * GiB, KV: 10 * GiB}, [2]any{mib(40960), mib(53760)}},
		{"layers that stay on the CPU are in RAM", true, Charge{Weights: 40 * GiB, Device: 30 * GiB, Host: GiB}, [2]any{nil, mib(27648)}},
		{"of a GPU tier the host's share counts alone", true, Charge{Weights: 40 * GiB, Device: 40 * GiB, Host: 5 * GiB}, [2]any{nil, mib(21504)}},
		{"and where nothing says what that is there is none", true, Charge{Written: 40 * GiB, Device: 40 * GiB}, [2]any{nil, nil}},
		{"a charge that is not known limits nothing", false, Charge{}, [2]any{nil, nil}},
		{"parts of a MiB are rounded up", false, Charge{Written: 3*GiB + 1, Mapped: 1}, [2]any{mib(1), mib(3226)}},
	} {
		t.Run(row.rule, func(t *testing.T) {
			if got := limitsOf(row.gpu, row.c); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

func TestALimitIsAboveTheChargeAndWhatIsProtectedBelow(t *testing.T) {
	amount := rapid.Custom(func(t *rapid.T) Bytes { return Bytes(rapid.Uint64Range(0, 1<<40).Draw(t, "bytes")) })
	rapid.Check(t, func(t *rapid.T) {
		weights := amount.Draw(t, "weights")
		c := Charge{Weights: weights, KV: amount.Draw(t, "kv"), Overhead: amount.Draw(t, "overhead"),
			Mapped: min(weights, amount.Draw(t, "mapped")), Host: amount.Draw(t, "host")}
		gpu := rapid.Bool().Draw(t, "gpu")
		charge := c.Total()
		if gpu {
			c.Device = min(c.Estimate(), amount.Draw(t, "device"))
			if charge = c.Host + c.Estimate() - c.Device; c.Host == 0 {
				charge = 0
			}
		}
		got := limitsOf(gpu, c)
		if got[1] == nil {
			if charge > 0 {
				t.Fatalf("no limit for %s", charge)
			}
			return
		}
		most := Bytes(got[1].(uint64))
		if most < charge+leastSlack || !gpu && most > charge+charge/slackPart+leastSlack+MiB {
			t.Errorf("%s may be taken of %s", most, charge)
		}
		if least, ok := got[0].(uint64); ok && !gpu && Bytes(least) > charge+MiB {
			t.Errorf("%d is protected of %s", least, charge)
		}
	})
}

func TestMemoryThatTheDriverMovesIsCharged(t *testing.T) {
	radv := "command = [\"/usr/bin/llama-server\"]"
	text := edit(t, radv, radv+"\ngpu = true\n[engine.llama.env]\nGGML_CUDA_ENABLE_UNIFIED_MEMORY = \"0\"")
	if got := one[uint64](t, unit(t, text, Host{}, "tier-utility.service"), "MemoryMax"); got != uint64(18*GiB) {
		t.Errorf("got %d", got)
	}
}

func TestAKernelThatChargesTheGPUsMemoryHoldsItAgainstTheWholeCharge(t *testing.T) {
	h := strixHalo()
	h.ChargesGPU = true
	u := unit(t, string(shipped(t)), h, "tier-coder.service")
	if got := Bytes(one[uint64](t, u, "MemoryMax")); got < u.Memory {
		t.Errorf("%s of %s", got, u.Memory)
	}
}

func TestAUnitTellsItsLimit(t *testing.T) {
	if got := unitOf(t, Host{}, "tier-utility.service").MemoryMax(); got != 2151*MiB {
		t.Errorf("got %s", got)
	}
	if got := unitOf(t, Host{}, "tier-coder.service").MemoryMax(); got != 0 {
		t.Errorf("got %s", got)
	}
}

func TestAPinnedTierIsLeftOutByOomd(t *testing.T) {
	u := unit(t, edit(t, "priority = 80", "priority = 80\npinned = true"), Host{}, "tier-coder.service")
	if got := one[string](t, u, "ManagedOOMPreference"); got != "omit" {
		t.Errorf("got %s", got)
	}
}

func TestAHigherPriorityHasMoreOfTheCPUAndTheDisk(t *testing.T) {
	for priority := range 101 {
		w := weight(priority)
		if w < 1 || w > 10000 || priority > 0 && w <= weight(priority-1) {
			t.Errorf("priority %d has the weight %d", priority, w)
		}
	}
	u := unitOf(t, Host{}, "tier-coder.service")
	if cpu, io := one[uint64](t, u, "CPUWeight"), one[uint64](t, u, "IOWeight"); cpu != 130 || io != 130 {
		t.Errorf("CPU %d, disk %d", cpu, io)
	}
}
