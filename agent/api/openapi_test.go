package api

import (
	"encoding/json"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// described are the wire types of the control socket; the others are found by walking them.
var described = []any{
	Status{}, Tier{}, Mode{}, Plan{}, Change{}, Event{}, TierRequest{}, StackRequest{}, ConfigRequest{}, ConfigResult{},
	ChangeRequest{}, Table{}, GatewayReport{}, EnsureRequest{}, Error{}, Metrics{}, Guard{},
}

type schemaDoc struct {
	Components struct{ Schemas map[string]schema }
}

type schema struct {
	Ref         string `json:"$ref"`
	Type        string
	Format      string
	Description string
	Enum        []string
	Properties  map[string]schema
	Required    []string
	Items       *schema
	Additional  json.RawMessage `json:"additionalProperties"`
}

func schemas(t *testing.T) map[string]schema {
	t.Helper()
	var doc schemaDoc
	if err := json.Unmarshal(OpenAPI, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Components.Schemas
}

func TestSchemasAreTheWireTypes(t *testing.T) {
	all := schemas(t)
	seen := map[string]bool{"ErrorAnswer": true}
	for _, v := range described {
		checkType(t, all, reflect.TypeOf(v), seen)
	}
	for name := range all {
		if !seen[name] {
			t.Errorf("schema %s is of no wire type", name)
		}
	}
}

// ours tells whether a type is one of the API's.
func ours(typ reflect.Type) bool {
	return typ.PkgPath() == reflect.TypeFor[Tier]().PkgPath() || typ.PkgPath() == reflect.TypeFor[GuardEvent]().PkgPath()
}

// schemaOf is what a type is called: those of package guardwire have other names here.
func schemaOf(typ reflect.Type) string {
	if typ.PkgPath() == reflect.TypeFor[GuardEvent]().PkgPath() {
		return "Guard" + typ.Name()
	}
	return typ.Name()
}

// checkType holds the schema of a struct to its fields, both ways.
func checkType(t *testing.T, all map[string]schema, typ reflect.Type, seen map[string]bool) {
	t.Helper()
	called := schemaOf(typ)
	if seen[called] {
		return
	}
	seen[called] = true
	s, ok := all[called]
	if !ok {
		t.Errorf("%s has no schema", called)
		return
	}
	if s.Description == "" {
		t.Errorf("%s has no description", called)
	}
	if typ.Kind() != reflect.Struct {
		return
	}
	known := map[string]bool{}
	for i := range typ.NumField() {
		name, options, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		known[name] = true
		property, ok := s.Properties[name]
		if !ok {
			t.Errorf("%s.%s is not described", called, name)
			continue
		}
		where := called + "." + name
		checkField(t, all, typ.Field(i).Type, property, where, seen)
		optional := options != ""
		if request := strings.HasSuffix(typ.Name(), "Request"); !request && typ.Name() != "GatewayReport" && slices.Contains(s.Required, name) == optional {
			t.Errorf("%s: required and omitempty do not fit", where)
		}
	}
	for name := range s.Properties {
		if !known[name] {
			t.Errorf("%s.%s is described and not there", called, name)
		}
	}
}

func checkField(t *testing.T, all map[string]schema, typ reflect.Type, s schema, where string, seen map[string]bool) {
	t.Helper()
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	want := ""
	switch {
	case typ == reflect.TypeFor[time.Time]():
		want = "string"
		if s.Format != "date-time" {
			t.Errorf("%s is a time and not described as one", where)
		}
	case ours(typ):
		if s.Ref != "#/components/schemas/"+schemaOf(typ) {
			t.Errorf("%s is a %s and described as %q", where, schemaOf(typ), s.Ref)
		}
		checkType(t, all, typ, seen)
		return
	default:
		want = map[reflect.Kind]string{
			reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer", reflect.Uint64: "integer",
			reflect.Float64: "number", reflect.Slice: "array", reflect.Map: "object",
		}[typ.Kind()]
	}
	if want == "" || s.Type != want {
		t.Errorf("%s is described as %q, want %q", where, s.Type, want)
	}
	switch typ.Kind() {
	case reflect.Slice:
		if s.Items == nil {
			t.Errorf("%s: items are not described", where)
			return
		}
		checkField(t, all, typ.Elem(), *s.Items, where+"[]", seen)
	case reflect.Map:
		var values schema
		if err := json.Unmarshal(s.Additional, &values); err != nil {
			t.Errorf("%s: values are not described: %v", where, err)
			return
		}
		checkField(t, all, typ.Elem(), values, where+"{}", seen)
	}
}

// constants returns the values of the string constants whose names match, as the source has them.
func constants(t *testing.T, file, pattern string) []string {
	t.Helper()
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for _, m := range regexp.MustCompile(`(?m)^\t`+pattern+`\s*= "([^"]+)"`).FindAllStringSubmatch(string(src), -1) {
		values = append(values, m[1])
	}
	if len(values) == 0 {
		t.Fatalf("no constant of %s matches %s", file, pattern)
	}
	return values
}

func TestEnumsAreTheConstants(t *testing.T) {
	all := schemas(t)
	classes := constants(t, "api.go", `Class\w+`)
	for where, pair := range map[string][2][]string{
		"State":       {all["State"].Enum, constants(t, "api.go", `\w+\s+State`)},
		"ErrorKind":   {all["ErrorKind"].Enum, constants(t, "errors.go", `Kind\w+\s+ErrorKind`)},
		"Tier.class":  {all["Tier"].Properties["class"].Enum, classes},
		"Error.class": {all["Error"].Properties["class"].Enum, classes},
		"Key.scopes":  {all["Key"].Properties["scopes"].Items.Enum, constants(t, "api.go", `Scope\w+`)},
	} {
		if !slices.Equal(pair[0], pair[1]) {
			t.Errorf("%s: described %q, in Go %q", where, pair[0], pair[1])
		}
	}
}

func TestEveryKindHasAStatus(t *testing.T) {
	for _, kind := range constants(t, "errors.go", `Kind\w+\s+ErrorKind`) {
		status, ok := statusOf[ErrorKind(kind)]
		if !ok || status < 400 || http.StatusText(status) == "" || ErrorKind(kind).HTTPStatus() != status {
			t.Errorf("%s: status %d", kind, status)
		}
	}
	if got := ErrorKind("new").HTTPStatus(); got != http.StatusInternalServerError {
		t.Errorf("an unknown kind: %d", got)
	}
}

func TestErrorsReadAsTheirMessage(t *testing.T) {
	e := &Error{Kind: KindBudget, Message: "cannot fit", Hint: "tierctl budget", Class: ClassRefused}
	text, err := json.Marshal(e)
	if err != nil || e.Error() != "cannot fit" || string(text) != `{"kind":"budget","message":"cannot fit","hint":"tierctl budget","class":"refused"}` {
		t.Errorf("%s, %v", text, err)
	}
}
