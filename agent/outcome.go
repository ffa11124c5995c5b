package agent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/api"
)

// outcome sums the tasks up: the first error's kind, unless all are refusals of the budget, and every message.
func outcome(c api.Change, tasks []*task, cause error) (state string, err *api.Error) {
	var messages []string
	var first *api.Error // the one that decides the kind
	for _, t := range tasks {
		if len(t.rescue) > 0 {
			if said := rescued(t); said != "" {
				messages = append(messages, said)
			}
			continue
		}
		if t.err == nil {
			continue
		}
		if first == nil || first.Kind == api.KindBudget && t.err.Kind != api.KindBudget {
			first = t.err
		}
		if !slices.Contains(messages, t.err.Message) {
			messages = append(messages, t.err.Message)
		}
	}
	switch {
	case cause != nil && first != nil:
		return "aborted", &api.Error{Kind: api.KindAborted, Message: c.Summary + " was aborted" + tail(messages)}
	case first != nil:
		return "error", &api.Error{Kind: first.Kind, Class: first.Class, Message: strings.Join(messages, "; "), Hint: first.Hint, Budget: first.Budget}
	}
	return "done", nil
}

func tail(messages []string) string {
	if len(messages) == 0 {
		return ""
	}
	return ": " + strings.Join(messages, "; ")
}

// rescued says in a switch's error what became of the variant that served before.
func rescued(t *task) string {
	switch {
	case t.err != nil:
		return fmt.Sprintf("and %s could not be started again: %s", t.unit, t.err.Message)
	case t.was:
		return t.unit + " serves on"
	case !t.failed:
		return t.unit + " serves again"
	}
	return ""
}
