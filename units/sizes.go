package units

import (
	"errors"
	"fmt"
	"math"
)

// sizes is how a unit's memory was worked out.
type sizes struct {
	charge Charge
	need   Bytes // KV cache without which vLLM refuses to start: one request of the whole context
	kv     Bytes // what vLLM is told to take as its KV cache; 0: it takes what gpu_utilization leaves
}

// sumUp works out what the unit takes from its model's files. A model that cannot be summed up blocks the unit unless
// tiers.toml says what it takes.
func (s *spec) sumUp(fs *faults, h tree) {
	facts, err := s.host.Models.facts(h, s.model.path, s.engine.Kind)
	var found sizes
	if err == nil {
		s.unit.Format, s.unit.ModelFiles = facts.format, facts.files
		found, err = byKind(s, s.vllmSizes, s.llamaSizes, nil)(h, facts)
	}
	if err != nil {
		if s.variant.Memory == 0 {
			s.blockSize(fs, err)
		}
		return
	}
	s.sizes = found
	s.unit.Reads = s.reads(facts)
	written := s.unit.Charge.Written
	s.unit.Charge = found.charge
	s.unit.Charge.Written = written
	s.unit.measureKey = s.measureKey()
	s.unit.Charge.Measured = s.host.Measured[s.unit.measureKey]
	s.compare(fs)
}

func (s *spec) blockSize(fs *faults, err error) {
	fault := &modelError{reason: err.Error()}
	errors.As(err, &fault)
	key, class := "memory", "configuration"
	if fault.broken {
		key, class = "model", "model"
	}
	s.block(fs, key, class, fmt.Sprintf("%s; or write what it takes, as in memory = \"20GiB\"", fault.of(s.variant.Model)))
}

// compare warns of figures in the file that fall short of what the model's files say.
func (s *spec) compare(fs *faults) {
	name, estimate := s.tier.Name+"/"+s.variant.Name, s.unit.Charge
	at := func(key string) int { return s.config.line("tier", s.tier.Name, "variant", s.variant.Name, key) }
	estimate.Written, estimate.Measured = 0, 0
	if w := s.variant.Memory; w > 0 && estimate.Total() > w+w/10 {
		fs.warn(at("memory"), s.tier.Name, "memory of %s: %s are written, and by its model's files it takes %s", name, w, estimate)
	}
	if w := s.variant.KVMemory; w > 0 && w < s.sizes.need {
		fs.warn(at("kv_memory"), s.tier.Name, "kv_memory of %s: %s are written, and one request of %d tokens takes %s, so vLLM will not start",
			name, w, s.variant.Context, s.sizes.need)
	}
	s.compareShare(fs, at("gpu_utilization"), name)
}

// compareShare warns of a share of the GPU's memory that does not hold the model with a cache for one request.
func (s *spec) compareShare(fs *faults, line int, name string) {
	v, total := s.variant, s.poolTotal()
	if s.engine.Kind != KindVLLM || v.Utilization == 0 || v.KVMemory > 0 || total == 0 {
		return
	}
	share := Bytes(v.Utilization * float64(total))
	c := s.unit.Charge
	take := c.Weights + s.sizes.need + c.Overhead
	if take <= share {
		return
	}
	fs.warn(line, s.tier.Name, "gpu_utilization of %s: %v of %s is %s, and weights of %s, a KV cache of %s for one request of %d tokens and %s beside them "+
		"are %s, so vLLM will not start; leave gpu_utilization out, or write %.2f", name, v.Utilization, total, share, c.Weights, s.sizes.need, v.Context,
		c.Overhead, take, math.Ceil(float64(take)/float64(total)*100)/100)
}
