// Package units turns tiers.toml and the host's size into systemd units. It is pure: it is handed bytes, numbers and a
// file system to look into, starts nothing and talks to nobody.
package units

// Bytes is an amount of memory. In tiers.toml it is always written with its unit: "12GiB", "512MiB".
type Bytes uint64
