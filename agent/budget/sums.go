package budget

import (
	"fmt"
	"strings"

	"github.com/tierd/tierd/units"
)

// Sums are the three sums for a set of claims. Each is over when it does not hold.
type Sums struct {
	Host   Host
	Claims []Claim // the one that asks first

	RAM      units.Bytes // promised to all claims
	GPU      units.Bytes
	Promised units.Bytes // of RAM, and not taken yet
}

// Add sums the claims up.
func Add(h Host, claims []Claim) Sums {
	s := Sums{Host: h, Claims: claims}
	for _, c := range claims {
		s.RAM += c.Need.RAM
		s.GPU += c.Need.GPU
		s.Promised += c.promised()
	}
	return s
}

// OverRAM is by how much the promises pass the RAM less the reserve, 0 when they do not.
func (s Sums) OverRAM() units.Bytes {
	if s.Host.RAM == nil {
		return 0
	}
	return over(s.RAM+s.Host.Reserve+s.Host.lost(), *s.Host.RAM)
}

// Room is what is left of the RAM beside the promises and the reserve, nil when the RAM is not known.
func (s Sums) Room() *units.Bytes {
	if s.Host.RAM == nil {
		return nil
	}
	room := over(*s.Host.RAM, s.RAM+s.Host.Reserve+s.Host.lost())
	return &room
}

// OverGPU is by how much they pass what tiers can have of the GPU's pool.
func (s Sums) OverGPU() units.Bytes {
	if s.Host.GPU == nil || s.GPU == 0 {
		return 0
	}
	if s.Host.GPU.Broken != "" {
		return s.GPU
	}
	return over(s.GPU+s.Host.GPU.Others+s.Host.GPU.Leaked, s.Host.GPU.Size)
}

// OverFree is by how much what is still to be taken passes what is free now and need not stay so.
func (s Sums) OverFree() units.Bytes {
	if s.Host.Free == nil {
		return 0
	}
	return over(s.Promised+s.Host.KeepFree, *s.Host.Free)
}

// Fits tells whether all three sums hold.
func (s Sums) Fits() bool { return s.OverRAM() == 0 && s.OverGPU() == 0 && s.OverFree() == 0 }

// Lasting tells whether what keeps the claims from fitting is what was promised, and not only what is free just now.
func (s Sums) Lasting() bool { return s.OverRAM() > 0 || s.OverGPU() > 0 }

func over(sum, limit units.Bytes) units.Bytes { return sum - min(sum, limit) }

// Words writes the first sum that does not hold out, "" when all do.
func (s Sums) Words() string {
	switch {
	case s.OverGPU() > 0 && s.Host.GPU.Broken != "":
		return s.Host.GPU.Broken
	case s.OverRAM() > 0:
		return fmt.Sprintf("%s, and the host has %s", s.equation(), *s.Host.RAM)
	case s.OverGPU() > 0:
		return s.gpuWords()
	case s.OverFree() > 0:
		return s.freeWords()
	}
	return ""
}

// equation is the sum of the promises, term by term.
func (s Sums) equation() string {
	var terms []string
	for _, c := range s.Claims {
		if c.Need.RAM > 0 {
			terms = append(terms, fmt.Sprintf("%s for %s", c.Need.RAM, c.Unit))
		}
	}
	if lost := s.Host.lost(); lost > 0 {
		terms = append(terms, fmt.Sprintf("%s leaked by a process that is gone", lost))
	}
	terms = append(terms, fmt.Sprintf("%s reserve", s.Host.Reserve))
	return fmt.Sprintf("%s is %s", strings.Join(terms, " + "), s.RAM+s.Host.Reserve+s.Host.lost())
}

func (s Sums) gpuWords() string {
	var terms []string
	for _, c := range s.Claims {
		if c.Need.GPU > 0 {
			terms = append(terms, fmt.Sprintf("%s for %s", c.Need.GPU, c.Unit))
		}
	}
	g := s.Host.GPU
	if g.Others > 0 {
		terms = append(terms, fmt.Sprintf("%s of other programs", g.Others))
	}
	if g.Leaked > 0 {
		terms = append(terms, fmt.Sprintf("%s leaked by a process that is gone", g.Leaked))
	}
	return fmt.Sprintf("on the GPU %s is %s, and ROCm can use %s of %s there",
		strings.Join(terms, " + "), s.GPU+g.Others+g.Leaked, g.Size, strings.ToUpper(g.Pool))
}

func (s Sums) freeWords() string {
	if len(s.Claims) == 0 {
		return fmt.Sprintf("%s has to stay free, and %s is", s.Host.KeepFree, *s.Host.Free)
	}
	text := fmt.Sprintf("it needs %s", s.Claims[0].promised())
	if others := s.Promised - s.Claims[0].promised(); others > 0 {
		text += fmt.Sprintf(", other tiers may still take %s of what they were promised", others)
	}
	if s.Host.KeepFree > 0 {
		text += fmt.Sprintf(", %s has to stay free", s.Host.KeepFree)
	}
	return text + fmt.Sprintf(", and %s is free", *s.Host.Free)
}
