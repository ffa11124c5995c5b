package compose

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// pair is a key of a YAML mapping with its value.
type pair struct {
	key  string
	line int
	node *yaml.Node
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

// yamlFault takes the line out of what the reader says.
func yamlFault(err error) (line int, text string) {
	var types *yaml.TypeError
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil && !errors.As(err, &types) {
		_, _ = fmt.Sscan(m[1], &line)
		return line, "is no YAML: " + m[2]
	}
	return 0, "is no YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")
}

// Bounds of `<<`: how deep it is followed, since an anchor may hold itself, and how many mappings each brings in.
const (
	maxMerge  = 4
	maxMerged = 16
)

// pairs are the keys of a mapping with those that `<<` brings in; nil for another node.
func pairs(n *yaml.Node) []pair { return mergedPairs(n, maxMerge) }

func mergedPairs(n *yaml.Node, depth int) []pair {
	n = target(n)
	if n.Kind != yaml.MappingNode || depth == 0 {
		return nil
	}
	var list, merged []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], target(n.Content[i+1])
		if key.Value == "<<" {
			from := []*yaml.Node{value}
			if value.Kind == yaml.SequenceNode {
				from = value.Content[:min(len(value.Content), maxMerged)]
			}
			for _, f := range from {
				merged = append(merged, mergedPairs(f, depth-1)...)
			}
			continue
		}
		list = append(list, pair{key.Value, key.Line, value})
	}
	for _, m := range merged {
		if !slices.ContainsFunc(list, func(p pair) bool { return p.key == m.key }) {
			list = append(list, m)
		}
	}
	return list
}

// target follows an alias; anchors of aliases are not nested.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// texts are the scalars of a list, or of a mapping as KEY=VALUE; a key without a value is the key alone, as in a list.
func texts(n *yaml.Node) []value {
	var list []value
	switch n.Kind {
	case yaml.ScalarNode:
		list = append(list, value{n.Value, origin{at: Place{Line: n.Line}}})
	case yaml.SequenceNode:
		for _, e := range n.Content {
			if e = target(e); e.Kind == yaml.ScalarNode {
				list = append(list, value{e.Value, origin{at: Place{Line: e.Line}}})
			}
		}
	case yaml.MappingNode:
		for _, p := range pairs(n) {
			text := p.key
			if p.node.Tag != "!!null" {
				text += "=" + p.node.Value
			}
			list = append(list, value{text, origin{at: Place{Line: p.line}}})
		}
	}
	return list
}

// mounts are the volumes of a service as SOURCE:TARGET, also those that are written as a mapping.
func mounts(n *yaml.Node) []value {
	list := texts(n)
	if n.Kind != yaml.SequenceNode {
		return list
	}
	for _, e := range n.Content {
		var source, to string
		for _, p := range pairs(e) {
			switch p.key {
			case "source", "src":
				source = p.node.Value
			case "target", "dst", "destination":
				to = p.node.Value
			}
		}
		if to != "" {
			list = append(list, value{source + ":" + to, origin{at: Place{Line: e.Line}}})
		}
	}
	return list
}
