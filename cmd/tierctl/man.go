package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand is for the build of the packages, hence hidden: it writes every manual page, so that they cannot say
// anything else than --help does.
func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR [PAGE.md...]",
		Short:  "Write the manual pages",
		Long:   "Write the manual pages of tierctl and its commands into DIR, and convert further pages from\nMarkdown. $SOURCE_DATE_EPOCH dates the pages.",
		Hidden: true,
		Args:   takes(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("cannot make the folder of the manual pages: %w", err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			root.Long += manSections()
			header := &doc.GenManHeader{Section: "1", Source: "tierd", Manual: "tierd"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("cannot write the manual pages: %w", err)
			}
			for _, page := range args[1:] {
				if err := convertPage(page, args[0]); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// manSections is what tierctl(1) has beyond --help. cobra hands Long to md2man as it is, so headings become sections.
func manSections() string {
	var b strings.Builder
	b.WriteString("\n\n# EXIT STATUS\n")
	for _, m := range meanings {
		fmt.Fprintf(&b, "\n**%d**\n:   %s\n", m.status, strings.Join(m.cases, "; "))
	}
	b.WriteString(`
Where a command acts on several tiers, the status is that of the first failure.
**tierctl logs** ends with the status of journalctl.

# ENVIRONMENT

**TIERD_SOCKET**
:   path of tierd's control socket, when --socket is not given

**TIERD_KEY**
:   the key that **tierctl bench** shows to the gateway, where tiers.toml has keys

**HF_ENDPOINT**, **HF_TOKEN**, **HF_TOKEN_PATH**, **HF_HOME**
:   for **tierctl pull**: the hub, https://huggingface.co if left out; the token for it, and where a file with one is. In a
    unit, LoadCredential=hf-token: hands one over.

**NO_COLOR**
:   when set, no colours and no lines that are drawn over

# FILES

*/etc/tierd/tiers.toml*
:   the configuration, see tiers.toml(5)

*.tierd-pull* in a model folder
:   what **tierctl pull** has of models that are not whole yet, and which files it has compared. It may be removed: then the
    next pull begins anew

*/run/tierd/tierd.sock*
:   tierd's control socket, see tierd(8)
`)
	return b.String()
}

// convertPage turns NAME.SECTION.md into dir/NAME.SECTION.
func convertPage(page, dir string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("cannot read the manual page: %w", err)
	}
	name := strings.TrimSuffix(filepath.Base(page), ".md")
	if err := os.WriteFile(filepath.Join(dir, name), md2man.Render(text), 0o644); err != nil {
		return fmt.Errorf("cannot write the manual page: %w", err)
	}
	return nil
}
