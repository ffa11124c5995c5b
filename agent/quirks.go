package agent

import (
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/rocm/quirks"
	"github.com/tierd/tierd/units"
)

// quirksOf reads what is known of GPUs under root, and returns how units asks it about the one of this host, nil without a
// GPU that ROCm knows. Faults of its files are warnings: the other files count.
func quirksOf(root string, s rocm.Snapshot) (func(units.QuirkQuery) []units.QuirkVerdict, []units.Fault) {
	known, wrong := quirks.Load(root)
	var faults []units.Fault
	for _, f := range wrong {
		faults = append(faults, units.Fault{File: f.File, Line: f.Line, Msg: f.Msg + "; the file does not count", Warning: true})
	}
	gpu, _ := s.TierGPU("")
	if gpu == nil || gpu.KFD == nil {
		return nil, faults
	}
	host := quirks.Host{Kernel: s.Kernel.Release, CWSR: &gpu.KFD.CWSR, MES: gpu.MES, Parameters: s.Kernel.BootParameters()}
	return func(q units.QuirkQuery) []units.QuirkVerdict {
		query := quirks.Query{GFX: gpu.Gfx(), Engine: q.Engine, Version: q.Version, KVCache: q.KVCache, Env: q.Env, Flags: q.Flags, Host: host}
		if f := q.Format; f != nil {
			query.Format = &quirks.Format{Quant: f.Quant, Scheme: f.Scheme, Bits: f.Bits, Float: f.Float, Activations: f.Activations, MoE: f.MoE}
		}
		var verdicts []units.QuirkVerdict
		for _, v := range known.Lookup(query) {
			verdicts = append(verdicts, units.QuirkVerdict(v))
		}
		return verdicts
	}, faults
}
