package jqtemplate_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"longshore/pkg/fault"
	"longshore/pkg/jqtemplate"
)

func TestLimits(t *testing.T) {
	t.Parallel()
	half := strings.Repeat("x", 600<<10)
	deep := strings.Repeat("[", jqtemplate.MaxDepth) + strings.Repeat("]", jqtemplate.MaxDepth)
	object := &jqtemplate.Object{}
	object.Set("half", half)
	object.Set("quotes", strings.Repeat(`"`, 600<<10))
	object.Set("nulls", make([]any, 600<<10))
	object.Set("deep", decode(t, []byte(deep)))
	const size, depth, slow = "output is over 1048576 bytes", "nests deeper than 512 levels", "took longer than 1s"
	for name, c := range map[string]struct{ template, limit string }{
		"endless loop":                 {`"{{ def f: f; f }}"`, slow},
		"endless loop in a text":       {`["a {{ last(repeat(1)) }}"]`, slow},
		"endless loop as a key":        {`{"{{ until(false; .) }}":1}`, slow},
		"caught":                       {`"{{ try last(repeat(1)) catch 1 }}"`, slow},
		"half the output":              {`["{{ .half }}"]`, ""},
		"twice half the output":        {`["{{ .half }}","{{ .half }}"]`, size},
		"in one text":                  {`"{{ .half }} {{ .half }}"`, size},
		"as keys":                      {`{"{{ .half }}":{"{{ .half }}":1}}`, size},
		"escapes count":                {`"{{ .quotes }}"`, size},
		"escapes count in a text":      {`"a {{ .quotes }}"`, size},
		"a long string of the engine":  {`"{{ .half + .half }}"`, size},
		"a long array of the engine":   {`"{{ .nulls + .nulls }}"`, size},
		"shared parts count each time": {`"{{ reduce range(40) as $i (0; [.,.]) }}"`, size},
		"parts of the data twice":      {`"{{ .half as $h | [$h,$h] }}"`, size},
		"deep data":                    {`"{{ .deep }}"`, ""},
		"deep data inside":             {`["{{ .deep }}"]`, depth},
		"deep data in a text":          {`["a {{ .deep }}"]`, ""},
		"deep result":                  {`"{{ reduce range(600) as $i (0; [.]) }}"`, depth},
		"deep data in a result":        {`"{{ [.deep] }}"`, depth},
		"deep objects":                 {`"{{ reduce range(600) as $i (0; {a:.}) }}"`, depth},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parse(t, c.template, "body").Render(context.Background(), jqtemplate.NewData(object), jqtemplate.Options{})
			// A busy machine may take a second for what needs a hundredth of it.
			for try := 0; try < 20 && c.limit != slow && err != nil && strings.Contains(err.Error(), slow); try++ {
				_, err = parse(t, c.template, "body").Render(context.Background(), jqtemplate.NewData(object), jqtemplate.Options{})
			}
			switch {
			case c.limit == "" && err != nil:
				t.Errorf("got %v", err)
			case c.limit != "" && (!fault.Is(err, "template_limit") || fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.limit)):
				t.Errorf("got %v, want %q", err, c.limit)
			}
		})
	}
}

// A rendering that waits for the data does not lose its own time by it.
func TestWaitingForDataTakesNoTime(t *testing.T) {
	t.Parallel()
	data := jqtemplate.NewData(nil)
	endless, short := parse(t, `"{{ def f: f; f }}"`, ""), parse(t, `"{{ 1 + 1 }}"`, "")
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if _, err := endless.Render(context.Background(), data, jqtemplate.Options{}); !fault.Is(err, "template_limit") {
				t.Errorf("endless: got %v", err)
			}
		})
		group.Go(func() {
			if _, err := short.Render(context.Background(), data, jqtemplate.Options{}); err != nil {
				t.Errorf("short: got %v", err)
			}
		})
	}
	group.Wait()
}

func TestTheCallersDeadlineIsALimit(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	_, err := parse(t, `"{{ def f: f; f }}"`, "").Render(ctx, jqtemplate.NewData(nil), jqtemplate.Options{})
	if !fault.Is(err, "template_limit") || !strings.Contains(err.Error(), "the time for the request ran out") {
		t.Errorf("got %v", err)
	}
}

func TestCancelledIsNoFault(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := parse(t, `"{{ def f: f; f }}"`, "").Render(ctx, jqtemplate.NewData(nil), jqtemplate.Options{})
	if !errors.Is(err, context.Canceled) || fault.KindOf(err) != fault.Internal {
		t.Errorf("got %v", err)
	}
}

// The limit is of the text that goes out: what Encode writes.
func TestOutputUpToTheLimit(t *testing.T) {
	t.Parallel()
	for length, ok := range map[int]bool{1<<20 - 2: true, 1<<20 - 1: false} {
		t.Run(strconv.Itoa(length), func(t *testing.T) {
			t.Parallel()
			result, err := parse(t, `"{{ . }}"`, "").Render(context.Background(), jqtemplate.NewData(strings.Repeat("x", length)), jqtemplate.Options{})
			if (err == nil) != ok {
				t.Fatalf("got %v", err)
			}
			if ok && len(jqtemplate.Encode(result.Value)) != 1<<20 {
				t.Errorf("got %d bytes", len(jqtemplate.Encode(result.Value)))
			}
		})
	}
}
