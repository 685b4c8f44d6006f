package metric

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxValues is how many values one metric of a line may have (CloudWatch, "Specification: Embedded
// metric format", "Target members"); a line is written when a timing has collected so many.
const maxValues = 100

// Flush writes what was recorded since the last time, one line for each combination of labels;
// CloudWatch takes up to 100 names in one. It does nothing without a writer. The error is the
// writer's, also of lines that were written since the last flush; what could not be written is lost.
func (r *Registry) Flush() error {
	if r == nil || r.emf == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write()
	err := r.failed
	r.failed = nil
	return err
}

// The metadata of a line, as the embedded metric format names it.
type (
	emfMeta struct {
		Timestamp         int64
		CloudWatchMetrics []emfDirective
	}
	emfDirective struct {
		Namespace  string
		Dimensions [][]string
		Metrics    []emfMetric
	}
	emfMetric struct {
		Name, Unit string
	}
)

// write flushes; the lock is held.
func (r *Registry) write() {
	type line struct {
		labels  []string
		metrics []emfMetric
		values  map[string]any
	}
	lines := map[string]*line{}
	for _, name := range slices.Sorted(maps.Keys(r.families)) {
		f := r.families[name]
		for key, s := range f.series {
			if !s.touched {
				continue
			}
			l := lines[key]
			if l == nil {
				l = &line{labels: s.labels, values: map[string]any{}}
				lines[key] = l
			}
			unit := "None"
			l.values[name] = s.value
			switch f.kind {
			case counter:
				unit = "Count"
				s.value = 0
			case timing:
				unit = "Seconds"
				l.values[name] = s.values
				s.values = nil
			default:
				if _, _, seconds := described(name); seconds {
					unit = "Seconds"
				}
			}
			s.touched = false
			l.metrics = append(l.metrics, emfMetric{name, unit})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(lines)) {
		l := lines[key]
		dimensions := []string{}
		labels := append(slices.Clip(r.common), l.labels...)
		for i := 0; i < len(labels); i += 2 {
			// CloudWatch refuses an empty dimension, and one over 1,024 characters.
			value := strings.TrimSpace(labels[i+1])
			if value == "" || slices.Contains(dimensions, labels[i]) {
				continue
			}
			if len(value) > 1024 {
				value = strings.ToValidUTF8(value[:1024], "")
			}
			dimensions = append(dimensions, labels[i])
			l.values[labels[i]] = value
		}
		l.values["_aws"] = emfMeta{r.now().UnixMilli(), []emfDirective{{r.namespace, [][]string{dimensions}, l.metrics}}}
		text, err := json.Marshal(l.values)
		if err == nil {
			_, err = r.emf.Write(append(text, '\n'))
		}
		if err != nil {
			r.failed = fmt.Errorf("write metrics: %w", err)
		}
	}
}
