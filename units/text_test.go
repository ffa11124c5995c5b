package units

import (
	"strings"
	"testing"

	unitfile "github.com/coreos/go-systemd/v22/unit"
	"pgregory.net/rapid"
)

func TestEachUnitOfTheShippedFileReadsAsBefore(t *testing.T) {
	p, _ := MakePlan(parse(t, string(shipped(t))), strixHalo())
	for _, u := range p.Units {
		t.Run(u.Name, func(t *testing.T) { golden(t, u.Name, u.Text()) })
	}
}

func TestABlockedUnitReadsAsBefore(t *testing.T) {
	golden(t, "blocked", unitOf(t, Host{FS: emptyFS}, "tier-utility.service").Text())
}

func TestPropertiesAreWrittenAsInAUnitFile(t *testing.T) {
	for _, row := range []struct {
		p    Property
		want string
	}{
		{Property{"Type", "notify"}, "Type=notify"},
		{Property{"Description", "100 % of it"}, "Description=100 %% of it"},
		{Property{"DynamicUser", true}, "DynamicUser=yes"},
		{Property{"PrivateDevices", false}, "PrivateDevices=no"},
		{Property{"WatchdogSignal", int32(15)}, "WatchdogSignal=SIGTERM"},
		{Property{"SystemCallErrorNumber", int32(1)}, "SystemCallErrorNumber=EPERM"},
		{Property{"OOMScoreAdjust", int32(-5)}, "OOMScoreAdjust=-5"},
		{Property{"UMask", uint32(7)}, "UMask=0007"},
		{Property{"RuntimeDirectoryMode", uint32(0o750)}, "RuntimeDirectoryMode=0750"},
		{Property{"StartLimitBurst", uint32(5)}, "StartLimitBurst=5"},
		{Property{"TimeoutStopUSec", uint64(90_000_000)}, "TimeoutStopSec=1min 30s"},
		{Property{"RestartUSec", uint64(100_000)}, "RestartSec=100ms"},
		{Property{"StartLimitIntervalUSec", uint64(0)}, "StartLimitIntervalSec=0"},
		{Property{"LimitMEMLOCK", Infinity}, "LimitMEMLOCK=infinity"},
		{Property{"MemoryMax", uint64(2 * GiB)}, "MemoryMax=2048M"},
		{Property{"MemoryMax", uint64(1000)}, "MemoryMax=1000"},
		{Property{"MemorySwapMax", uint64(0)}, "MemorySwapMax=0"},
		{Property{"CapabilityBoundingSet", uint64(0)}, "CapabilityBoundingSet="},
		{Property{"RestrictNamespaces", uint64(cloneNewUTS)}, "RestrictNamespaces=uts"},
		{Property{"After", []string{"a.socket", "b.service"}}, "After=a.socket b.service"},
		{Property{"Environment", []string{"A=1", "B=two words", `C="\`}}, "Environment=A=1\nEnvironment=\"B=two words\"\nEnvironment=\"C=\\\"\\\\\""},
		{Property{"LogExtraFields", [][]byte{[]byte("A=1"), []byte("B=2")}}, "LogExtraFields=A=1\nLogExtraFields=B=2"},
		{Property{"DeviceAllow", []Pair{{"/dev/kfd", "rw"}, {"char-drm", "rw"}}}, "DeviceAllow=/dev/kfd rw\nDeviceAllow=char-drm rw"},
		{Property{"LoadCredentialEncrypted", []Pair{{"k", "k"}}}, "LoadCredentialEncrypted=k:k"},
		{Property{"BindReadOnlyPaths", []Bind{{"/a", "/a", true, 0}, {"/a", "/b", false, 0}}}, "BindReadOnlyPaths=-/a\nBindReadOnlyPaths=/a:/b"},
		{Property{"RestrictAddressFamilies", Filter{true, []string{"AF_UNIX", "AF_INET"}}}, "RestrictAddressFamilies=AF_UNIX AF_INET"},
		{Property{"SystemCallFilter", Filter{false, []string{"@privileged"}}}, "SystemCallFilter=~@privileged"},
		{Property{"RestartPreventExitStatus", ExitSet{[]int32{75, 78}, []int32{9}}}, "RestartPreventExitStatus=75 78 9"},
		{Property{"IPAddressAllow", loopback}, "IPAddressAllow=127.0.0.0/8 ::1/128"},
		{Property{"ExecStartEx", []Exec{{"/bin/x", []string{"/bin/x", "$HOME", "a b", "50%", ""}, []string{"no-env-expand"}}}}, `ExecStart=:/bin/x $HOME "a b" 50%% ""`},
		{Property{"ExecStartEx", []Exec{{"/bin/x", []string{"/bin/x"}, nil}}}, "ExecStart=/bin/x"},
	} {
		var got []string
		for _, v := range render(row.p) {
			got = append(got, textName(row.p.Name)+"="+v)
		}
		if text := strings.Join(got, "\n"); text != row.want {
			t.Errorf("got %q, want %q", text, row.want)
		}
	}
}

// The text is read by another parser of unit files: one that is not ours must see the same settings.
func TestTheTextIsAUnitFile(t *testing.T) {
	p, _ := MakePlan(parse(t, string(shipped(t))), strixHalo())
	for _, u := range p.Units {
		options, err := unitfile.DeserializeOptions(strings.NewReader(u.Text()))
		if err != nil {
			t.Fatalf("%s: %v", u.Name, err)
		}
		seen := map[string]string{}
		for _, o := range options {
			seen[o.Name] = o.Section
		}
		for _, prop := range u.Properties {
			want := "Service"
			if row(prop.Name).unit {
				want = "Unit"
			}
			if seen[textName(prop.Name)] != want {
				t.Errorf("%s: %s is in section %q", u.Name, prop.Name, seen[textName(prop.Name)])
			}
		}
	}
}

// unquote undoes word for one argument, by the rules of systemd.syntax(7).
func unquote(s string) string {
	s = strings.ReplaceAll(s, "%%", "%")
	if !strings.HasPrefix(s, `"`) {
		return s
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\t`, "\t").Replace(strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`))
}

func TestAnArgumentSurvivesQuoting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`[ -~\t]{0,12}`).Draw(t, "argument")
		w := word(s)
		if got := unquote(w); got != s {
			t.Fatalf("%q was written %s and reads %q", s, w, got)
		}
		if !strings.HasPrefix(w, `"`) && strings.ContainsAny(w, " \t\"'") {
			t.Fatalf("%q was written %s, which is more than one word", s, w)
		}
	})
}
