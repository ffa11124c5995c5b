package units

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Text is the unit as `systemctl cat` would show it. It can be checked with `systemd-analyze verify`.
func (u Unit) Text() string {
	var unit, service strings.Builder
	for _, p := range u.Properties {
		to := &service
		if row(p.Name).unit {
			to = &unit
		}
		for _, value := range render(p) {
			fmt.Fprintf(to, "%s=%s\n", textName(p.Name), value)
		}
	}
	return fmt.Sprintf("# %s, transient\n[Unit]\n%s\n[Service]\n%s", u.Name, unit.String(), service.String())
}

// textName is a property's name in a unit file: ExecStartEx is ExecStart with a prefix, microseconds are written in words.
func textName(name string) string {
	if base, ok := strings.CutSuffix(name, "USec"); ok {
		return base + "Sec"
	}
	return strings.TrimSuffix(name, "Ex")
}

// render is the value of a property, one element for each line of the unit file.
func render(p Property) []string {
	switch v := p.Value.(type) {
	case string:
		return []string{escape(v)}
	case bool:
		if v {
			return []string{"yes"}
		}
		return []string{"no"}
	case int32:
		return []string{renderInt(p.Name, v)}
	case uint32:
		if p.Name == "UMask" || strings.HasSuffix(p.Name, "Mode") {
			return []string{fmt.Sprintf("%04o", v)}
		}
		return []string{strconv.FormatUint(uint64(v), 10)}
	case uint64:
		return []string{renderUint(p.Name, v)}
	case []string:
		if p.Name == "Environment" {
			return each(v, word)
		}
		return []string{strings.Join(each(v, word), " ")}
	case [][]byte:
		return each(v, func(b []byte) string { return word(string(b)) })
	case []Exec:
		return each(v, renderExec)
	case []Pair:
		return each(v, func(pair Pair) string {
			if p.Name == "DeviceAllow" {
				return escape(pair.First) + " " + pair.Second
			}
			return escape(pair.First) + ":" + escape(pair.Second)
		})
	case []Bind:
		return each(v, renderBind)
	case []AddressPrefix:
		return []string{strings.Join(each(v, AddressPrefix.String), " ")}
	case Filter:
		if v.Allow {
			return []string{strings.Join(v.Names, " ")}
		}
		return []string{"~" + strings.Join(v.Names, " ")}
	case ExitSet:
		return []string{strings.Join(each(slices.Concat(v.Codes, v.Signals), func(n int32) string { return strconv.Itoa(int(n)) }), " ")}
	}
	return []string{fmt.Sprint(p.Value)}
}

func renderInt(name string, v int32) string {
	switch {
	case strings.HasSuffix(name, "Signal") && v == 15:
		return "SIGTERM"
	case name == "SystemCallErrorNumber" && v == 1:
		return "EPERM"
	}
	return strconv.Itoa(int(v))
}

func renderUint(name string, v uint64) string {
	switch {
	case name == "CapabilityBoundingSet" || name == "AmbientCapabilities":
		return "" // tierd gives none
	case name == "RestrictNamespaces" && v == cloneNewUTS: // the mask of those allowed
		return "uts"
	case v == Infinity:
		return "infinity"
	case strings.HasSuffix(name, "USec"):
		return renderTime(time.Duration(v) * time.Microsecond)
	case strings.HasPrefix(name, "Memory") && v > 0 && bits.TrailingZeros64(v) >= 20:
		return strconv.FormatUint(v>>20, 10) + "M"
	}
	return strconv.FormatUint(v, 10)
}

// renderTime writes a length of time as systemd does: "1min 30s".
func renderTime(d time.Duration) string {
	var parts []string
	for _, u := range []struct {
		name string
		size time.Duration
	}{{"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}, {"us", time.Microsecond}} {
		if n := d / u.size; n > 0 {
			parts = append(parts, fmt.Sprintf("%d%s", n, u.name))
			d -= n * u.size
		}
	}
	if parts == nil {
		return "0"
	}
	return strings.Join(parts, " ")
}

// renderExec writes a command. The colon is no-env-expand: `$` means itself.
func renderExec(e Exec) string {
	prefix := ""
	for _, flag := range e.Flags {
		if flag == "no-env-expand" {
			prefix = ":"
		}
	}
	return prefix + strings.Join(each(e.Args, word), " ")
}

func renderBind(b Bind) string {
	text := escape(b.Source)
	if b.IgnoreMissing {
		text = "-" + text
	}
	if b.Target != b.Source {
		text += ":" + escape(b.Target)
	}
	return text
}

// String is the prefix as unit files have it: "127.0.0.0/8".
func (a AddressPrefix) String() string {
	addr, _ := netip.AddrFromSlice(a.Address)
	return netip.PrefixFrom(addr, int(a.Bits)).String()
}

// word is one element of a list, quoted where a unit file needs it.
func word(s string) string {
	s = escape(s)
	if s == "" || strings.ContainsAny(s, " \t'\"\\;") {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\t", `\t`).Replace(s) + `"`
	}
	return s
}

// escape keeps a percent sign from being a specifier.
func escape(s string) string { return strings.ReplaceAll(s, "%", "%%") }
