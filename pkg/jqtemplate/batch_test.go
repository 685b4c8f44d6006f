package jqtemplate_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"longshore/pkg/jqtemplate"
)

func TestBatch(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("y", 3<<20)
	lines := []struct{ in, want string }{
		{`{"input":{"b":1,"a":2},"template":"{{ . }}","strict":true}`, `{"ok":{"b":1,"a":2}}`},
		{`{"input":null,"template":"{{ empty }}"}`, `{"undefined":true}`},
		{`{"template":null}`, `{"ok":null}`},
		{`{"input":1,"template":"{{ .a }}","strict":true}`, `{"error":"jq: error: Cannot index number with string \"a\"","errorClass":"JqExecError"}`},
		{`{"input":1,"template":"{{ .a }}","strict":false}`, `{"ok":null}`},
		{`{"input":1,"template":"{{ . "}`, `{"error":"Found opening double braces in index 0 without closing double braces","errorClass":"Error"}`},
		{`{"template":{"{{spreadValue()}}":null}}`, `{"error":"Cannot convert undefined or null to object","errorClass":"TypeError"}`},
		{`{"template":"{{ ) }}","strict":true}`, `{"error":"jq: compile error: unexpected token \")\"","errorClass":"JqExecCompileError"}`},
		{`{"template":"{{ [range(infinite)]|1 }}"`, `{"error":"malformed JSON at byte 39: unexpected end, wanted a comma or the end of the object","errorClass":"Error"}`},
		{`{"template":"{{ def f: f; f }}"}`, `{"error":"the template was stopped: it took longer than 1s","errorClass":"Error"}`},
		{``, `{"error":"malformed JSON at byte 0: unexpected end, wanted a value","errorClass":"Error"}`},
		{`[]`, `{"error":"the line is no JSON object","errorClass":"Error"}`},
		{`{"input":1}`, `{"error":"the line has no template","errorClass":"Error"}`},
		{`{"template":1,"strict":"yes"}`, `{"error":"strict is no boolean","errorClass":"Error"}`},
		{"{\"template\":\"\xff\"}", `{"error":"malformed JSON at byte 13: invalid UTF-8","errorClass":"Error"}`},
		{`{"id":1,"input":"` + big + `","template":"{{ length }}"}`, `{"ok":3145728}`},
		{`{"template":"<é&>"}` + "\r", `{"ok":"<é&>"}`},
		{`{"template":"last, without a line's end"}`, `{"ok":"last, without a line's end"}`},
	}
	var in, want []string
	for _, line := range lines {
		in, want = append(in, line.in), append(want, line.want)
	}
	var out strings.Builder
	if err := jqtemplate.Batch(context.Background(), strings.NewReader(strings.Join(in, "\n")), &out); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestBatchOfALineBeyondTheBound(t *testing.T) {
	t.Parallel()
	endless := io.MultiReader(strings.NewReader(`{"template":"`), io.LimitReader(zeros{}, 33<<20), strings.NewReader("\n{\"template\":1}\n"))
	var out strings.Builder
	if err := jqtemplate.Batch(context.Background(), endless, &out); err != nil {
		t.Fatal(err)
	}
	want := `{"error":"the line is over 33554432 bytes","errorClass":"Error"}` + "\n" + `{"ok":1}` + "\n"
	if out.String() != want {
		t.Errorf("got %s, want %s", out.String(), want)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// A caller that sends a line and waits gets its answer before it sends the next.
func TestBatchAnswersAtOnce(t *testing.T) {
	t.Parallel()
	in, send := io.Pipe()
	receive, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- jqtemplate.Batch(context.Background(), in, out)
		out.Close()
	}()
	answers := bufio.NewReader(receive)
	for range 3 {
		if _, err := io.WriteString(send, `{"template":"{{ 1 }}"}`+"\n"); err != nil {
			t.Fatal(err)
		}
		if line, err := answers.ReadString('\n'); err != nil || line != `{"ok":1}`+"\n" {
			t.Fatalf("got %q, %v", line, err)
		}
	}
	send.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBatchEnds(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := jqtemplate.Batch(ctx, strings.NewReader("{}\n"), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	var out strings.Builder
	in := io.MultiReader(strings.NewReader("{\"template\":1}\n"), iotest.ErrReader(broken))
	if err := jqtemplate.Batch(context.Background(), in, &out); !errors.Is(err, broken) || out.String() != "{\"ok\":1}\n" {
		t.Errorf("reader: got %v, %q", err, out.String())
	}
	if err := jqtemplate.Batch(context.Background(), strings.NewReader("{}\n"), failingWriter{broken}); !errors.Is(err, broken) {
		t.Errorf("writer: got %v", err)
	}
	out.Reset()
	if err := jqtemplate.Batch(context.Background(), strings.NewReader(""), &out); err != nil || out.Len() > 0 {
		t.Errorf("nothing: got %v, %q", err, out.String())
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }
