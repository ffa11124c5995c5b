package units

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Adapter is a LoRA adapter, which vLLM serves beside the model, under a name of its own.
type Adapter struct {
	Name string // what clients write in `model`
	Path string // its folder, as written: absolute, or from / on, where units work
}

// AdapterNames are the names of the unit's adapters.
func (u Unit) AdapterNames() []string {
	return each(u.Adapters, func(a Adapter) string { return a.Name })
}

const loraFlag = "--lora-modules"

// adapters are those that a variant's engine is told of. What vLLM would refuse is left out: variantCheck.adapters tells of it.
func adapters(e Engine, v Variant) []Adapter {
	if e.Kind != KindVLLM {
		return nil
	}
	var list []Adapter
	words, _ := adapterWords(slices.Concat(e.Command, v.ExtraArgs))
	for _, word := range words {
		if a, err := parseAdapter(word); err == nil {
			list = append(list, a)
		}
	}
	return list
}

// adapterWords are what --lora-modules is given, up to the next flag, and how often the flag is there: the last alone counts.
func adapterWords(args []string) (words []string, flags int) {
	for i, arg := range args {
		flag, value, inline := strings.Cut(arg, "=")
		if strings.ReplaceAll(flag, "_", "-") != loraFlag {
			continue
		}
		flags++
		words = []string{value}
		if !inline {
			words = args[i+1:]
			if end := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "-") }); end >= 0 {
				words = words[:end]
			}
		}
	}
	return words, flags
}

// parseAdapter reads one word as vLLM's LoRAParserAction does: NAME=PATH, else, and whenever there is a comma in it, a JSON object.
func parseAdapter(word string) (Adapter, error) {
	name, at, plain := strings.Cut(word, "=")
	a := Adapter{Name: name, Path: at}
	if !plain || strings.Contains(word, ",") {
		a = Adapter{}
		if json.Unmarshal([]byte(word), &a) != nil {
			return a, fmt.Errorf("%s is neither NAME=PATH without a comma nor a JSON object with \"name\" and \"path\"; each adapter is a text of its own", quote(word))
		}
	}
	switch {
	case a.Name == "":
		return a, fmt.Errorf("the adapter %s has no name; write it as NAME=PATH", quote(word))
	case a.Path == "":
		return a, fmt.Errorf("the adapter %s has no path; write it as NAME=PATH", quote(word))
	}
	return a, nil
}

// adapters finds what vLLM would refuse once it has loaded the model, and what it drops without a word.
func (k variantCheck) adapters() {
	words, flags := adapterWords(slices.Concat(k.e.Command, k.v.ExtraArgs))
	if flags > 0 && len(words) == 0 {
		k.add("extra_args", "%s of %s names no adapter; write each behind it as NAME=PATH, or leave it out", loraFlag, k.name())
	}
	if flags > 1 {
		k.fs.warn(k.at("extra_args"), k.t.Name, "%s of %s is there %d times, and vLLM obeys the last alone; write all adapters behind one", loraFlag, k.name(), flags)
	}
	seen := map[string]bool{}
	for _, word := range words {
		a, err := parseAdapter(word)
		switch {
		case word == "" || word == "None": // vLLM steps over them
			continue
		case err != nil:
			k.add("extra_args", "%s of %s: %v", loraFlag, k.name(), err)
			continue
		case seen[a.Name]:
			k.add("extra_args", "%s of %s: two adapters are called %s; rename one of them", loraFlag, k.name(), quote(a.Name))
		case slices.Contains([]string{k.v.ServedName, k.t.Name, k.v.Model}, a.Name):
			k.add("extra_args", "%s of %s: an adapter cannot be called %s, which is the model itself; rename it", loraFlag, k.name(), quote(a.Name))
		}
		seen[a.Name] = true
	}
}

// checkAdapterNames finds adapters that on the port of all tiers may be taken for another tier.
func (c *Config) checkAdapterNames(fs *faults) {
	holder := map[string]string{}
	for _, t := range c.Tiers {
		names := []string{t.Name, t.Role}
		for _, v := range t.Variants {
			names = append(names, t.Name+"/"+v.Name, v.Model, v.ServedName)
		}
		for _, name := range names {
			if _, taken := holder[name]; !taken {
				holder[name] = t.Name
			}
		}
	}
	for _, t := range c.Tiers {
		for _, v := range t.Variants {
			e, _ := c.Engine(v.Engine)
			for _, a := range adapters(e, v) {
				if other, taken := holder[a.Name]; !taken {
					holder[a.Name] = t.Name
				} else if other != t.Name {
					fs.warn(c.line("tier", t.Name, "variant", v.Name, "extra_args"), t.Name,
						"adapter %s of %s/%s: tier %q goes by that name too, so a request for it that does not come on a tier's own port may reach that one; rename the adapter",
						quote(a.Name), t.Name, v.Name, other)
				}
			}
		}
	}
}

// lookForAdapters finds the adapters' folders on the host and has them readable for the unit, as the model's are.
func (s *spec) lookForAdapters(fs *faults, h tree) {
	for _, a := range s.unit.Adapters {
		at := path.Join("/", a.Path)
		_, real, err := h.stat(at)
		var config string
		if err == nil {
			_, config, err = h.stat(path.Join(at, "adapter_config.json"))
		}
		switch {
		case hidden(err): // for systemd, as root, it may be there
			s.adapters = append(s.adapters, at)
		case err == nil: // files in Hugging Face's cache are links into another folder
			s.adapters = append(s.adapters, at, real, path.Dir(config))
		case !path.IsAbs(a.Path): // vLLM takes it for a name on a hub then, which it may have in a cache of its own
			fs.warn(s.config.line("tier", s.tier.Name, "variant", s.variant.Name, "extra_args"), s.tier.Name,
				"adapter %s of %s/%s: units work in / and fetch nothing, and %s is no folder there with adapter_config.json; write its whole path%s",
				quote(a.Name), s.tier.Name, s.variant.Name, quote(a.Path), tilde(a.Path))
		case real == "":
			s.block(fs, "extra_args", "model", fmt.Sprintf("adapter %s: %s does not exist; put it there, or correct %s", quote(a.Name), at, loraFlag))
		default:
			s.block(fs, "extra_args", "model", fmt.Sprintf("adapter %s: %s has no adapter_config.json, so vLLM cannot load it; name the folder that has one", quote(a.Name), at))
		}
	}
}
