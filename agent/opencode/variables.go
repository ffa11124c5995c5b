package opencode

// Variables are the settings, each NAME=VALUE, with which OpenCode looks no name up by itself: those of the plugin as well when
// omo is set. Each was seen to be needed with 1.18.33, in a network without a way out:
//
//   - the list of models, from models.opencode.ai at each start, though every provider is in the configuration,
//   - its own update,
//   - language servers, from github.com and others as soon as a file of their language is read and `lsp` is set,
//   - npm, for a package that each directory of configuration gets for plugins' sake, and for plugins themselves.
//
// ripgrep has none: see Client.HasSearch.
func Variables(omo bool) []string {
	v := []string{
		"OPENCODE_DISABLE_MODELS_FETCH=1",
		"OPENCODE_DISABLE_AUTOUPDATE=1",
		"OPENCODE_DISABLE_LSP_DOWNLOAD=1",
		"npm_config_offline=true",
	}
	if omo {
		// Without the first npm tries again for over a minute before it believes that it is offline.
		v = append(v, "npm_config_fetch_retries=0", "OMO_SEND_ANONYMOUS_TELEMETRY=0", "OMO_DISABLE_POSTHOG=1")
	}
	return v
}
