package opencode

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestThePluginNeedsMoreSettings(t *testing.T) {
	plain, omo := Variables(false), Variables(true)
	if !slices.Equal(omo[:len(plain)], plain) || !slices.Contains(omo, "OMO_DISABLE_POSTHOG=1") || slices.Contains(plain, "OMO_DISABLE_POSTHOG=1") {
		t.Errorf("%q, %q", plain, omo)
	}
	form := regexp.MustCompile(`^[A-Za-z_]+=[a-z0-9]+$`)
	for _, v := range omo {
		if !form.MatchString(v) {
			t.Errorf("%q", v)
		}
	}
}

// A shell takes each setting for what it is, and runs nothing of it.
func TestAShellEvaluatesSettingsAsTheyAre(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringOf(rapid.RuneFrom([]rune("ab/ '\"\\$`;&|<>()*?~!#=\n\t{}[]é"))).Draw(t, "value")
		out, err := exec.Command(sh, "-c", `eval "$1"; printf '%s|' "$NAME"; printf '%s|' `+Quote(value), "sh", Export("NAME="+value)).Output()
		if err != nil || string(out) != value+"|"+value+"|" {
			t.Errorf("%q became %q, %v", value, out, err)
		}
	})
	if got := Export("A=1"); got != "export A=1" {
		t.Errorf("%q", got)
	}
	if got := Quote(""); got != "''" {
		t.Errorf("%q", got)
	}
	if strings.Contains(Export("A=/x y"), `"`) {
		t.Error("double quotes expand")
	}
}
