package doctor

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tierd/tierd/units"
)

// userMemory is what earlyoom's percentages are of: MemAvailable and AnonPages. GPU memory is in neither, so it shrinks as models
// are loaded; 0 where the kernel does not tell.
func userMemory(meminfo string) units.Bytes {
	var sum units.Bytes
	for _, name := range []string{"MemAvailable", "AnonPages"} {
		_, rest, _ := strings.Cut("\n"+meminfo, "\n"+name+":")
		number, _, ok := strings.Cut(strings.TrimSpace(rest), " kB")
		n, err := strconv.ParseUint(number, 10, 50)
		if !ok || err != nil {
			return 0
		}
		sum += units.Bytes(n) * units.KiB
	}
	return sum
}

// letter is the first value of an option of one letter, which may stand in the same word or in the next: "-m 5,3", "-m5".
func (k Killer) letter(name string) (value float64, given bool) {
	for i, word := range k.Options {
		text := ""
		switch {
		case word == name && i+1 < len(k.Options):
			text = k.Options[i+1]
		case strings.HasPrefix(word, name):
			text = strings.TrimPrefix(word, name)
		default:
			continue
		}
		first, _, _ := strings.Cut(text, ",")
		if v, err := strconv.ParseFloat(first, 64); err == nil && v > 0 {
			value, given = v, true
		}
	}
	return value, given
}

// earlyoomLine is the available memory at which earlyoom ends something, as memory is held now; 0 when that is not known.
func (r *report) earlyoomLine(k Killer) units.Bytes {
	total := amount(r.Snapshot.Memory.MemTotal)
	if k.UserMemory == 0 || total == 0 {
		return 0
	}
	percent, given := k.letter("-m")
	if !given {
		percent = 10
	}
	if kib, ok := k.letter("-M"); ok {
		if absolute := kib * float64(units.KiB) / float64(total) * 100; !given || absolute < percent {
			percent = absolute
		}
	}
	return units.Bytes(percent / 100 * float64(k.UserMemory))
}

// waitsForSwap tells whether earlyoom does nothing as long as there is free swap.
func (r *report) waitsForSwap(k Killer) bool {
	percent, given := k.letter("-s")
	return len(r.Snapshot.Swaps) > 0 && (!given || percent < 100)
}

// beside says who acts first, earlyoom or the guard; early tells that earlyoom does. "" when that is not known.
func (r *report) besideEarlyoom(k Killer, spared bool) (text string, early bool) {
	line := r.earlyoomLine(k)
	if r.Plan == nil || !r.guarded() || line == 0 {
		return "", false
	}
	soft := r.softLine()
	switch {
	case r.waitsForSwap(k):
		return fmt.Sprintf("tier-guard acts first, below %s: earlyoom waits for the swap to be used up as well", soft), false
	case line < soft:
		return fmt.Sprintf("tier-guard acts first, below %s, and earlyoom at %s, which is less the more the GPU holds", soft, line), false
	}
	victim := "a program of the desktop"
	if first := r.firstVictim(); !spared && first != "" {
		victim = first
	}
	return fmt.Sprintf("earlyoom would act first, at %s, and take %s, while tier-guard waits for its soft line of %s", line, victim, soft), true
}

// belowGuard are earlyoom's options with a line below the guard's hard one, whatever the GPU holds.
func (r *report) belowGuard(options []string) []string {
	percent := max(1, int(float64(r.hardLine())/float64(amount(r.Snapshot.Memory.MemTotal))*100))
	var rest []string
	for i := 0; i < len(options); i++ {
		switch word := options[i]; {
		case word == "-m" || word == "-M":
			i++
		case strings.HasPrefix(word, "-m") || strings.HasPrefix(word, "-M"):
		default:
			rest = append(rest, word)
		}
	}
	return append(rest, "-m", strconv.Itoa(percent))
}
