package gateway

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"
)

func form(t testing.TB, fields ...string) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i+1 < len(fields); i += 2 {
		if name, ok := strings.CutPrefix(fields[i], "@"); ok {
			part, _ := w.CreateFormFile(name, "sound.wav")
			io.WriteString(part, fields[i+1])
		} else {
			w.WriteField(fields[i], fields[i+1])
		}
	}
	w.Close()
	return w.FormDataContentType(), b.Bytes()
}

func TestTheNameInAForm(t *testing.T) {
	for rule, c := range map[string]struct {
		fields []string
		want   string
	}{
		"alone":                         {[]string{"model", "coder"}, "coder"},
		"after a file":                  {[]string{"@file", "RIFF\r\n--no\r\n\r\nmodel", "model", "coder"}, "coder"},
		"before a file":                 {[]string{"model", "coder", "@file", "x"}, "coder"},
		"a file called model is not it": {[]string{"@model", "no", "model", "yes"}, "yes"},
		"after an empty field":          {[]string{"language", "", "model", "coder"}, "coder"},
		"an empty name":                 {[]string{"model", "", "language", "de"}, ""},
	} {
		contentType, body := form(t, c.fields...)
		got, replace, err := modelIn(contentType, body)
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v; want %q", rule, got, err, c.want)
			continue
		}
		request := httptest.NewRequest("POST", "/", bytes.NewReader(bytes.Join(replace("other"), nil)))
		request.Header.Set("Content-Type", contentType)
		if got := request.FormValue("model"); got != "other" {
			t.Errorf("%s: replaced by %q", rule, got)
		}
	}
	contentType, body := form(t, "language", "de")
	if _, _, err := modelIn(contentType, body); err != errNoModel {
		t.Errorf("a form without the field: %v", err)
	}
}

func FuzzFindFormField(f *testing.F) {
	_, body := form(f, "a", "b", "model", "coder", "@file", "x")
	f.Add(body, "boundary")
	f.Add([]byte("--b\r\n\r\n\r\n--b--"), "b")
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=model\r\n\r\nx\r\n--b--"), "b")
	f.Fuzz(func(t *testing.T, body []byte, boundary string) {
		at, ok := findFormField(body, boundary, "model")
		if ok && (at.start < 0 || at.start > at.end || at.end > len(body)) {
			t.Fatalf("span %+v in %d bytes", at, len(body))
		}
	})
}

func TestTheBodyLimit(t *testing.T) {
	const limit = 1 << 20
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Length", http.StatusText(200))
		if n != r.ContentLength {
			t.Errorf("the engine got %d bytes of %d", n, r.ContentLength)
		}
		io.WriteString(w, strings.Repeat("x", int(n%1000)))
	})
	rig := startRig(t, Config{MaxBody: limit}, route(t, "coder", engine.socket))
	for rule, c := range map[string]struct {
		size, status int
		chunked      bool
	}{
		"an empty body passes":                    {0, 200, false},
		"a body as large as the limit passes":     {limit, 200, false},
		"a larger one is refused":                 {limit + 1, 413, false},
		"chunks pass up to the limit":             {limit, 200, true},
		"chunks beyond the limit are refused":     {limit + 1, 413, true},
		"a body larger than one buffer is joined": {firstBuffer*2 + 7, 200, true},
	} {
		var body io.Reader = strings.NewReader(strings.Repeat("a", c.size))
		if c.chunked {
			body = struct{ io.Reader }{body}
		}
		res, err := http.Post(rig.tierURL("coder", "/x"), "text/plain", body)
		if err != nil {
			if c.status == 413 { // the client may see the closed connection before the answer
				continue
			}
			t.Fatalf("%s: %v", rule, err)
		}
		res.Body.Close()
		if res.StatusCode != c.status {
			t.Errorf("%s: got %d, want %d", rule, res.StatusCode, c.status)
		}
	}
}

func TestABodyThatDoesNotEnd(t *testing.T) {
	for rule, c := range map[string]struct {
		err    error
		status int
		says   string
	}{
		"a client that is silent may ask again": {&net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}, 408, "has come for 30s"},
		"one that has gone":                     {io.ErrUnexpectedEOF, 400, "the connection was closed"},
		"one that counts its chunks wrong":      {errors.New("malformed chunked encoding"), 400, "cannot be read: malformed chunked encoding."},
	} {
		r := httptest.NewRequest("POST", "/x", io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(c.err)))
		r.ContentLength = -1
		_, _, err := readBody(httptest.NewRecorder(), r, 1<<20)
		f, ok := errors.AsType[*failure](err)
		if !ok || f.status != c.status || !strings.Contains(f.message, c.says) || strings.Contains(f.message, "tcp") {
			t.Errorf("%s: %+v, %v", rule, f, err)
		}
	}
}
