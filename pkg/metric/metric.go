// Package metric keeps counters, levels and timings, and hands them out in one of two ways: as
// Prometheus text to whoever asks (the local process), or as CloudWatch's embedded metric format on
// a writer (Lambda).
//
// A nil *Registry does nothing, so that packages can take one without asking whether it is there.
// Labels are for a few known values, such as a backend's name: each combination costs memory, and
// money on CloudWatch. Beyond maxSeries combinations of one name, label values become "other".
package metric

import (
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxSeries is how many combinations of labels one name keeps apart.
const maxSeries = 200

// Kinds of metrics. The first use of a name decides; uses as another kind are ignored.
type kind uint8

const (
	counter kind = iota + 1
	level
	timing
)

// Registry keeps metrics. It is safe for concurrent use; its zero value is not used.
type Registry struct {
	mu       sync.Mutex
	families map[string]*family

	// emf is nil for Prometheus.
	emf       io.Writer
	namespace string
	common    []string
	now       func() time.Time
	failed    error
}

// family is all series of one name.
type family struct {
	kind   kind
	series map[string]*series
}

// series is one name with one combination of labels.
type series struct {
	labels []string
	// value is a counter's sum or a level; a counter's is what came since the last flush with EMF.
	value float64
	// touched says that there is something to flush.
	touched bool
	// Prometheus keeps a timing as counts per bucket and a sum, EMF as its values.
	buckets []uint64
	count   uint64
	values  []float64
}

// New returns a registry for Text.
func New() *Registry {
	return &Registry{families: map[string]*family{}}
}

// NewEMF returns a registry whose Flush writes JSON lines to w, on Lambda the standard output, under
// a namespace of CloudWatch. Now is the clock of their time stamps; common are labels of every line.
func NewEMF(w io.Writer, namespace string, now func() time.Time, common ...string) *Registry {
	return &Registry{families: map[string]*family{}, emf: w, namespace: namespace, now: now, common: common}
}

// Add adds n, at least 0, to the counter of that name and labels. Labels are names and values in
// turn, the names being letters, digits and underscores.
func (r *Registry) Add(name string, n float64, labels ...string) {
	if r == nil || n < 0 || !finite(n) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.find(name, counter, labels); s != nil {
		s.value += n
		s.touched = true
	}
}

// Count adds one.
func (r *Registry) Count(name string, labels ...string) { r.Add(name, 1, labels...) }

// Set says what the level of that name and labels is now.
func (r *Registry) Set(name string, value float64, labels ...string) {
	if r == nil || !finite(value) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.find(name, level, labels); s != nil {
		s.value = value
		s.touched = true
	}
}

// Observe records how long something took, in seconds. Negative times count as 0.
func (r *Registry) Observe(name string, took time.Duration, labels ...string) {
	if r == nil {
		return
	}
	seconds := max(took, 0).Seconds()
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.find(name, timing, labels)
	if s == nil {
		return
	}
	s.touched = true
	if r.emf == nil {
		s.observe(seconds)
		return
	}
	s.values = append(s.values, seconds)
	if len(s.values) == maxValues {
		r.write()
	}
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// find returns the series to record in, nil if the name is taken by another kind. The lock is held.
func (r *Registry) find(name string, k kind, labels []string) *series {
	f := r.families[name]
	if f == nil {
		f = &family{kind: k, series: map[string]*series{}}
		r.families[name] = f
	}
	if f.kind != k {
		return nil
	}
	if len(labels)%2 != 0 {
		labels = append(slices.Clone(labels), "")
	}
	key := strings.Join(labels, "\x00")
	s := f.series[key]
	if s != nil {
		return s
	}
	labels = slices.Clone(labels)
	if len(f.series) >= maxSeries {
		for i := 1; i < len(labels); i += 2 {
			labels[i] = "other"
		}
		key = strings.Join(labels, "\x00")
		if s := f.series[key]; s != nil {
			return s
		}
	}
	s = &series{labels: labels}
	f.series[key] = s
	return s
}
