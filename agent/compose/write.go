package compose

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tierd/tierd/units"
)

// write makes the whole file but its appendix.
func (s *stack) write(tiers []*tier) *writer {
	w := &writer{file: tiers[0].at.File}
	w.comment("Made by `tierctl import`. Behind each line stands where it comes from; \"added\" is what the old files did not say.")
	w.comment("What of them is not here stands at the end. Then: tierctl check, and tierctl plan for what each tier takes.")
	s.writeHost(w, tiers)
	s.writeGateway(w, tiers)
	writeEngines(w, tiers)
	for _, t := range tiers {
		s.writeTier(w, t)
	}
	writeModes(w, tiers)
	return w
}

// ownModels is where the package has its models.
const ownModels = "/var/lib/tierd/models"

func (s *stack) writeHost(w *writer, tiers []*tier) {
	w.table(origin{}, "host")
	folders := slices.Clip(s.folders)
	if !slices.ContainsFunc(folders, func(v value) bool { return v.text == ownModels }) {
		folders = append(folders, value{ownModels, added("tierd's own folder")})
	}
	w.each("models", folders)
	w.set("default_mode", "full", added("what `tierctl up` starts"))
}

// gatewayPort is where every tier answers, unless the file says otherwise.
const gatewayPort = "8000"

func (s *stack) writeGateway(w *writer, tiers []*tier) {
	for _, t := range tiers {
		if t.from.text == gatewayPort {
			w.table(origin{}, "gateway")
			w.set("port", 0, added("tier "+t.tier+" has port 8000; another one here serves every tier"))
			s.note(Changed, t.from.from.at, t.from.from.key, "is kept, so port 8000 cannot serve every tier; give another `port` in [gateway] for that")
			return
		}
	}
}

func (s *stack) writeTier(w *writer, t *tier) {
	w.table(origin{at: t.at, key: ""}, "tier", t.tier)
	w.set("role", t.role, added("by the agent's name"))
	w.number("port", t.from)
	w.set("start", t.start, added("as for the role of "+t.role))
	w.set("priority", t.priority, added("as for the role of "+t.role))
	w.set("idle_stop", t.idle, t.idleFrom)
	for _, v := range t.variants {
		w.table(origin{at: v.at}, "tier", t.tier, "variant", v.name)
		if v.kind == units.KindRemote {
			s.writeRemote(w, v)
			continue
		}
		w.set("engine", v.engine, added(engineOf(v.engine).why))
		w.text("model", v.model)
		w.tokens("context", v.context)
		w.number("parallel", v.parallel)
		w.tokens("batch_tokens", v.batch)
		if v.caching.there() {
			w.set("prefix_caching", false, v.caching.from)
		}
		w.number("threads", v.threads)
		w.number("gpu_layers", v.layers)
		w.text("tools", v.tools)
		w.text("load_mode", v.loadMode)
		w.text("flash_attention", v.flash)
		w.each("extra_args", v.extra)
		if v.share.there() {
			if _, err := strconv.ParseFloat(v.share.text, 64); err == nil {
				w.put("#gpu_utilization = "+v.share.text, v.share.from)
			}
		}
		s.writeVars(w, t, v)
	}
}

func (s *stack) writeRemote(w *writer, v variant) {
	w.set("engine", v.engine, added("tierd forwards to it"))
	url := s.take("OPENAI_BASE_URL")
	if !url.there() {
		url = value{"https://api.openai.com/v1", added("where OpenCode asked")}
	}
	w.text("url", url)
	w.text("model", v.model)
	w.set("key", cloudKey, added("the name of the stored key, see the end"))
}

// cloudKey is the credential that the notes tell to store.
const cloudKey = "cloud-key"

func (s *stack) writeVars(w *writer, t *tier, v variant) {
	if len(v.vars) == 0 {
		return
	}
	w.table(origin{at: v.at}, "tier", t.tier, "variant", v.name, "env")
	for _, pair := range v.vars {
		name, text, _ := strings.Cut(pair.text, "=")
		w.set(quotedKey(name), text, pair.from)
	}
}

// writeModes makes those that the stack could be started in.
func writeModes(w *writer, tiers []*tier) {
	var all, gpu, cpu []string
	for _, t := range tiers {
		all = append(all, t.tier)
		if engineOf(t.variants[0].engine).gpu {
			gpu = append(gpu, t.tier)
		} else {
			cpu = append(cpu, t.tier)
		}
	}
	mode := func(name string, members []string, why string) {
		if len(members) > 0 && (name == "full" || len(members) < len(all)) {
			w.table(origin{}, "mode", name)
			w.set("tiers", members, added(why))
		}
	}
	mode("full", all, "everything; what starts on demand and finds no room waits until it is asked for")
	mode("gpu", gpu, "what runs on the GPU")
	mode("cpu", cpu, "what runs on the CPU alone")
	made := map[string]bool{} // there may be two orchestrators, of both kinds of stacks
	for _, t := range tiers {
		for _, v := range t.variants[1:] {
			name := "hybrid-" + strings.TrimPrefix(v.engine, "llama-")
			if t.role == "orchestrator" && engineOf(v.engine).gpu && !made[name] {
				made[name] = true
				w.table(origin{}, "mode", name)
				w.set("tiers", append([]string{t.tier + "/" + v.name}, without(gpu, t.tier)...), added("the orchestrator's stand-in, with the others on the GPU"))
			}
		}
	}
}

func without(list []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == name })
}

var headings = map[Kind]string{
	Warning: "Look at these first:",
	Changed: "Changed:",
	Dropped: "Not taken over:",
}

// appendix writes the notes as comments.
func (w *writer) appendix(notes []Note) {
	last := Kind("")
	for _, n := range notes {
		if n.Kind != last {
			w.blank()
			w.comment("%s", headings[n.Kind])
			last = n.Kind
		}
		w.comment("  %s", n)
	}
}

// String is the note as one line.
func (n Note) String() string { return fmt.Sprintf("%s: %s %s", n.Place, n.Name, n.Text) }
