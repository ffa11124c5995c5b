package agent

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

// openapiDoc is what the tests need of the description.
type openapiDoc struct {
	Paths      map[string]map[string]openapiOperation
	Components struct{ Schemas map[string]any }
}

type openapiOperation struct {
	Access     string `json:"x-access"`
	Parameters []struct{ Name, In string }
	Body       struct {
		Content map[string]struct{ Schema any }
	} `json:"requestBody"`
	Responses map[string]struct {
		Content map[string]struct{ Schema any }
	}
}

func openapi(t *testing.T) openapiDoc {
	t.Helper()
	var doc openapiDoc
	if err := json.Unmarshal(api.OpenAPI, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestOpenAPIHasTheRoutesOfTheTable(t *testing.T) {
	names := map[access]string{anyLocal: "anyLocal", operator: "operator", gateway: "gateway"}
	doc := openapi(t)
	described := 0
	for _, ops := range doc.Paths {
		described += len(ops)
	}
	if described != len(routes) {
		t.Errorf("%d operations are described, the table has %d", described, len(routes))
	}
	for _, r := range routes {
		method, path, _ := strings.Cut(r.pattern, " ")
		op, ok := doc.Paths[path][strings.ToLower(method)]
		if !ok {
			t.Errorf("%s is not described", r.pattern)
			continue
		}
		if op.Access != names[r.access] {
			t.Errorf("%s is described as for %q, the table says %q", r.pattern, op.Access, names[r.access])
		}
		var query, inPath []string
		for _, p := range op.Parameters {
			switch p.In {
			case "query":
				query = append(query, p.Name)
			case "path":
				inPath = append(inPath, "{"+p.Name+"}")
			}
		}
		if !slices.Equal(query, r.query) {
			t.Errorf("%s is described with the parameters %q, the table has %q", r.pattern, query, r.query)
		}
		for _, p := range inPath {
			if !strings.Contains(path, p) {
				t.Errorf("%s has no %s", r.pattern, p)
			}
		}
		if strings.Count(path, "{") != len(inPath) {
			t.Errorf("%s: the parts of its path are described as %q", r.pattern, inPath)
		}
		if _, refused := op.Responses["403"]; refused != (r.access != anyLocal) {
			t.Errorf("%s: 403 described: %t", r.pattern, refused)
		}
	}
}

// What the server answers, with every field of every wire type set, is what is described, and so are the requests.
func TestAnswersAreAsDescribed(t *testing.T) {
	doc := openapi(t)
	root := testRoot(t)
	check := func(r route, control *fakeControl, p peer, target, body string) {
		t.Helper()
		method, path, _ := strings.Cut(r.pattern, " ")
		op := doc.Paths[path][strings.ToLower(method)]
		w := ask(NewServer(control, quiet(), root), p, method, target, body)
		content, ok := op.Responses[strconv.Itoa(w.Code)]
		if !ok {
			t.Errorf("%s answers HTTP %d, which is not described: %s", r.pattern, w.Code, w.Body)
			return
		}
		kind := w.Header().Get("Content-Type")
		text := w.Body.Bytes()
		if kind == "text/event-stream" {
			_, data, found := strings.Cut(w.Body.String(), "data: ")
			if !found {
				return
			}
			text = []byte(data)
		}
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			t.Errorf("%s: %v\n%s", r.pattern, err, w.Body)
			return
		}
		for _, fault := range doc.faults(content.Content[kind].Schema, value, r.pattern) {
			t.Error(fault)
		}
	}
	for _, r := range routes {
		req := requests[r.pattern]
		control := newFakeControl()
		control.emit(1)
		check(r, control, rootPeer, req.path, req.body)
		check(r, newFakeControl(), peer{}, req.path, req.body)
		if strings.HasPrefix(r.pattern, "POST ") {
			check(r, newFakeControl(), rootPeer, req.path, `{"nonsense":1}`)
			check(r, newFakeControl(), rootPeer, req.path, strings.Repeat(" ", maxBody+1))
			var value any
			if err := json.Unmarshal([]byte(req.body), &value); err != nil {
				t.Fatal(err)
			}
			_, path, _ := strings.Cut(r.pattern, " ")
			for _, fault := range doc.faults(doc.Paths[path]["post"].Body.Content["application/json"].Schema, value, r.pattern+" request") {
				t.Error(fault)
			}
		}
		if r.pattern == "POST /v1/config" {
			control := newFakeControl()
			control.pending = "9"
			check(r, control, rootPeer, req.path, req.body)
		}
		if strings.HasPrefix(r.pattern, "POST /v1/tiers") {
			control := newFakeControl()
			control.err = &api.Error{Kind: api.KindBudget, Message: "m", Hint: "h", Class: api.ClassRefused}
			check(r, control, rootPeer, req.path, req.body)
		}
	}
}

func TestOpenAPIIsServedAsItIs(t *testing.T) {
	w := ask(NewServer(newFakeControl(), quiet(), t.TempDir()), peer{}, http.MethodGet, "/v1/openapi.json", "")
	if w.Body.String() != string(api.OpenAPI) {
		t.Error("what is served is not the file")
	}
}

// faults checks a value against the part of JSON Schema that the description uses, and names each place that differs.
func (d openapiDoc) faults(schema, value any, at string) []string {
	s, ok := schema.(map[string]any)
	if !ok {
		return []string{at + ": no schema"}
	}
	if ref, ok := s["$ref"].(string); ok {
		name := strings.TrimPrefix(ref, "#/components/schemas/")
		return d.faults(d.Components.Schemas[name], value, at+"("+name+")")
	}
	var faults []string
	if want, ok := s["const"]; ok && want != value {
		faults = append(faults, fmt.Sprintf("%s is %v, want %v", at, value, want))
	}
	if list, ok := s["enum"].([]any); ok && !slices.Contains(list, value) {
		faults = append(faults, fmt.Sprintf("%s is %v, want one of %v", at, value, list))
	}
	switch kind, _ := s["type"].(string); kind {
	case "object":
		object, ok := value.(map[string]any)
		if !ok {
			return append(faults, fmt.Sprintf("%s is %T, want an object", at, value))
		}
		faults = append(faults, d.objectFaults(s, object, at)...)
	case "array":
		list, ok := value.([]any)
		if !ok {
			return append(faults, fmt.Sprintf("%s is %T, want an array", at, value))
		}
		for i, item := range list {
			faults = append(faults, d.faults(s["items"], item, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case "":
	default:
		if !isKind(kind, value) {
			faults = append(faults, fmt.Sprintf("%s is %T, want %s", at, value, kind))
		}
	}
	return faults
}

func (d openapiDoc) objectFaults(s, object map[string]any, at string) (faults []string) {
	properties, _ := s["properties"].(map[string]any)
	if required, ok := s["required"].([]any); ok {
		for _, name := range required {
			if _, ok := object[name.(string)]; !ok {
				faults = append(faults, fmt.Sprintf("%s has no %v", at, name))
			}
		}
	}
	for name, value := range object {
		switch more := s["additionalProperties"].(type) {
		case bool:
			if _, ok := properties[name]; !ok && !more {
				faults = append(faults, fmt.Sprintf("%s.%s is not described", at, name))
				continue
			}
		case map[string]any:
			faults = append(faults, d.faults(more, value, at+"."+name)...)
			continue
		}
		if schema, ok := properties[name]; ok {
			faults = append(faults, d.faults(schema, value, at+"."+name)...)
		}
	}
	return faults
}

func isKind(kind string, value any) bool {
	switch v := value.(type) {
	case string:
		return kind == "string"
	case bool:
		return kind == "boolean"
	case float64:
		return kind == "number" || kind == "integer" && v == float64(int64(v))
	}
	return false
}
