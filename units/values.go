package units

// The Go types of property values that are more than a plain string, bool, number or []string. Their exported fields, in
// this order, are the D-Bus structures that StartTransientUnit wants.
type (
	// Exec is one command of ExecStartEx: a(sasas).
	Exec struct {
		Path  string
		Args  []string // Args[0] is argv[0]
		Flags []string // "no-env-expand"
	}

	// Pair is an entry of DeviceAllow {device, access}, LoadCredentialEncrypted {name, file}, TemporaryFileSystem {path, options}: a(ss).
	Pair struct {
		First, Second string
	}

	// Bind is an entry of BindPaths and BindReadOnlyPaths: a(ssbt).
	Bind struct {
		Source, Target string
		IgnoreMissing  bool
		Flags          uint64 // 16384 (MS_REC): with the mounts below
	}

	// Filter is RestrictAddressFamilies and SystemCallFilter: (bas). Set twice, the second one takes away from the first.
	Filter struct {
		Allow bool
		Names []string
	}

	// ExitSet is RestartPreventExitStatus: (aiai).
	ExitSet struct {
		Codes, Signals []int32
	}

	// AddressPrefix is an entry of IPAddressDeny: a(iayu).
	AddressPrefix struct {
		Family  int32
		Address []byte
		Bits    uint32
	}
)

// Infinity is what systemd takes for "no limit" in a uint64 property.
const Infinity = ^uint64(0)
