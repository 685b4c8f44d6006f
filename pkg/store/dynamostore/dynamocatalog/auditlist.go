package dynamocatalog

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"longshore/pkg/audit"
	"longshore/pkg/store/dynamostore/internal/table"
)

// recent is how far back what an index may not have yet is read from the partitions themselves.
const recent = time.Minute

// stream is a source of entries, newest first. Several are merged into one list.
type stream struct {
	// fetch reads on: it fills buffer, moves at, and sets done at the end.
	fetch  func(ctx context.Context, s *stream) error
	buffer []table.Item
	// at is how far it has come: nothing from there on upwards is still to be read.
	at   string
	done bool
}

// List implements audit.Store. Where an index leads to what is asked for it is read, and the last minute
// besides; else the days' partitions are.
func (s *Audit) List(ctx context.Context, f audit.Filter) (*audit.Page, error) {
	now := s.now()
	least, end := f.Span(now.Add(-kept(s.retention)))
	if at, isID := audit.Time(f.Identifier); isID && f.Identifier >= least && f.Identifier < end {
		place := entryPlace(f.Identifier, at)
		i, err := s.table.Get(ctx, place.PK, place.SK)
		if err != nil {
			return nil, err
		}
		if i != nil {
			page := &audit.Page{}
			_, err := s.take(ctx, page, i, &f)
			return page, err
		}
	}
	m := &merging{least: least, end: end, bottom: least}
	limit := int32(max(f.Limit, 1))
	switch subjects := subjectsOf(&f); {
	case f.RunID != "":
		if from, to := max(audit.Place(f.RunFrom), least), min(audit.Place(f.RunTo.Add(time.Millisecond)), end); !f.RunTo.IsZero() && from < to {
			if floor := lowest(now, to); from < floor {
				from, m.bottom = floor, floor
			}
			own := audit.Filter{Resources: []string{audit.Run}, Identifier: f.RunID}
			m.streams = s.days(now, from, to, conditionOf(&own), 0)
		}
		m.streams = append(m.streams, s.index("run", "runId", f.RunID, m, limit))
		m.streams = append(m.streams, s.lastMinute(now, m)...)
	case len(subjects) > 0:
		for _, subject := range subjects {
			m.streams = append(m.streams, s.index("subject", "subject", subject, m, limit))
		}
		m.streams = append(m.streams, s.lastMinute(now, m)...)
	default:
		c := conditionOf(&f)
		some := int32(0)
		if c.text == "" {
			some = max(limit/auditShards+10, 25)
		}
		m.bottom = max(least, lowest(now, end))
		m.streams = s.days(now, m.bottom, end, c, some)
	}
	return s.merge(ctx, m, &f)
}

// subjectsOf returns the keys of the index that lead to all that a filter selects; nil when there are none.
func subjectsOf(f *audit.Filter) (subjects []string) {
	for _, resource := range f.Resources {
		identifier := f.Identifier
		if resource == audit.Entity && identifier == "" {
			identifier = f.Entity
		}
		if identifier == "" || resource == audit.Run || resource == audit.Entity && f.Blueprint == "" {
			return nil
		}
		subjects = append(subjects, subjectOf(resource, f.Blueprint, identifier))
	}
	slices.Sort(subjects)
	return slices.Compact(subjects)
}

// lastDay returns the last day that may have ids below end. Other clocks may be ahead.
func lastDay(now time.Time, end string) time.Time {
	last := now.Add(recent)
	if at, isID := audit.Time(end); isID && at.Before(last) {
		last = at
	}
	return last.UTC().Truncate(24 * time.Hour)
}

// lowest returns how far down from end one call looks through the days.
func lowest(now time.Time, end string) string {
	return audit.Place(lastDay(now, end).AddDate(0, 0, 1-audit.MaxDays))
}

// condition is what DynamoDB leaves out before it sends.
type condition struct {
	text   string
	names  map[string]string
	values map[string]types.AttributeValue
}

func conditionOf(f *audit.Filter) condition {
	c := condition{names: map[string]string{}, values: map[string]types.AttributeValue{}}
	var all []string
	among := func(name string, values ...string) {
		if len(values) == 0 || values[0] == "" {
			return
		}
		c.names["#"+name] = name
		var list []string
		for n, v := range values {
			key := ":" + name + strconv.Itoa(n)
			c.values[key] = table.Text(v)
			list = append(list, key)
		}
		all = append(all, "#"+name+" IN ("+strings.Join(list, ", ")+")")
	}
	among("identifier", f.Identifier)
	among("blueprint", f.Blueprint)
	among("entity", f.Entity)
	among("action", f.Action)
	// IN takes 100 values; more than a few are left to Matches.
	if len(f.Resources) <= 20 {
		among("resource", f.Resources...)
	}
	if len(f.Origins) <= 20 {
		among("origin", f.Origins...)
	}
	c.text = strings.Join(all, " AND ")
	return c
}

// days returns the streams of the partitions that hold the ids from least up to end, one for each shard.
// Some is how many items one query reads; 0 means a megabyte.
func (s *Audit) days(now time.Time, least, end string, c condition, some int32) []*stream {
	var streams []*stream
	for shard := range auditShards {
		current, from := lastDay(now, end), map[string]types.AttributeValue(nil)
		streams = append(streams, &stream{at: end, done: end <= least, fetch: func(ctx context.Context, st *stream) error {
			pk := dayPartition(current, shard)
			input := &dynamodb.QueryInput{
				TableName: &s.table.Name, ScanIndexForward: aws.Bool(false), ExclusiveStartKey: from,
				KeyConditionExpression:    aws.String("pk = :pk AND sk BETWEEN :least AND :end"),
				ExpressionAttributeValues: map[string]types.AttributeValue{":pk": table.Text(pk), ":least": table.Text(least), ":end": table.Text(end)},
				// What its author has just written is there; the rest costs half.
				ConsistentRead: aws.Bool(current.AddDate(0, 0, 1).After(now.Add(-recent))),
			}
			if c.text != "" {
				input.FilterExpression, input.ExpressionAttributeNames = &c.text, c.names
				for name, value := range c.values {
					input.ExpressionAttributeValues[name] = value
				}
			}
			if some > 0 {
				input.Limit = &some
			}
			out, err := s.table.Client.Query(ctx, input)
			if err != nil {
				return table.Failed(err, "list audit entries")
			}
			for _, i := range out.Items {
				// BETWEEN has both ends.
				if table.Item(i).Text("sk") < end {
					st.buffer = append(st.buffer, i)
				}
			}
			if from = out.LastEvaluatedKey; from != nil {
				st.at = table.Item(from).Text("sk")
				return nil
			}
			st.at = audit.Place(current)
			current = current.AddDate(0, 0, -1)
			st.done = st.at <= least
			return nil
		}})
	}
	return streams
}

// lastMinute returns the streams of what an index may not have yet.
func (s *Audit) lastMinute(now time.Time, m *merging) []*stream {
	return s.days(now, max(m.bottom, audit.Place(now.Add(-recent))), m.end, condition{}, 0)
}

// index returns the stream of the entries that an index has under a key.
func (s *Audit) index(name, attribute, key string, m *merging, some int32) *stream {
	var from map[string]types.AttributeValue
	return &stream{at: m.end, done: m.end <= m.bottom, fetch: func(ctx context.Context, st *stream) error {
		out, err := s.table.Client.Query(ctx, &dynamodb.QueryInput{
			TableName: &s.table.Name, IndexName: &name, ScanIndexForward: aws.Bool(false), ExclusiveStartKey: from,
			KeyConditionExpression:   aws.String("#key = :key AND sk BETWEEN :least AND :end"),
			ExpressionAttributeNames: map[string]string{"#key": attribute},
			ExpressionAttributeValues: map[string]types.AttributeValue{
				":key": table.Text(key), ":least": table.Text(m.bottom), ":end": table.Text(m.end),
			},
			Limit: aws.Int32(min(some, table.BatchKeys)),
		})
		if err != nil {
			return table.Failed(err, "list audit entries by "+name)
		}
		var places []table.Name
		for _, i := range out.Items {
			if sk := table.Item(i).Text("sk"); sk < m.end {
				places = append(places, table.Name{PK: table.Item(i).Text("pk"), SK: sk})
			}
		}
		if len(places) > 0 {
			items, err := s.table.Batch(ctx, places)
			if err != nil {
				return err
			}
			for _, p := range places {
				if i := items[p]; i != nil {
					st.buffer = append(st.buffer, i)
				}
			}
		}
		if from = out.LastEvaluatedKey; from != nil {
			st.at = table.Item(from).Text("sk")
		} else {
			st.at, st.done = m.bottom, true
		}
		return nil
	}}
}

// merging is a list that is being put together.
type merging struct {
	streams []*stream
	// least and end bound what is asked for; bottom is how far down this call goes.
	least, end, bottom string
}

// next returns the stream whose first entry is the newest of all, nil when there is none or one that has
// to be read first may have a newer one. Dry are those that have to be read, reached how far down all of
// them have come.
func (m *merging) next() (top *stream, dry []*stream, reached string) {
	for _, st := range m.streams {
		switch {
		case len(st.buffer) > 0:
			if top == nil || st.buffer[0].Text("sk") > top.buffer[0].Text("sk") {
				top = st
			}
		case !st.done:
			dry, reached = append(dry, st), max(reached, st.at)
		}
	}
	if top != nil && top.buffer[0].Text("sk") < reached {
		top = nil
	}
	return top, dry, reached
}

// merge puts what the streams have into one page: until it is full, or the time for it is over.
func (s *Audit) merge(ctx context.Context, m *merging, f *audit.Filter) (*audit.Page, error) {
	until := s.now().Add(maxTime)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-timeLeft).Before(until) {
		until = deadline.Add(-timeLeft)
	}
	page, size, last, rounds := &audit.Page{}, 0, "", 0
	for {
		top, dry, reached := m.next()
		switch {
		case top != nil && top.buffer[0].Text("sk") == last:
			top.buffer = top.buffer[1:]
		case top != nil:
			if len(page.Entries) >= max(f.Limit, 1) || size > audit.MaxPage {
				page.Next = page.Entries[len(page.Entries)-1].ID
				return page, nil
			}
			last = top.buffer[0].Text("sk")
			n, err := s.take(ctx, page, top.buffer[0], f)
			if err != nil {
				return nil, err
			}
			size += n
			top.buffer = top.buffer[1:]
		case len(dry) > 0:
			// It reads at least once, so that a caller who always comes late gets on too.
			if rounds > 0 && !s.now().Before(until) {
				page.Next = reached
				return page, nil
			}
			rounds++
			if err := table.Parallel(len(dry), func(n int) error { return dry[n].fetch(ctx, dry[n]) }); err != nil {
				return nil, err
			}
		default:
			if m.bottom > m.least {
				page.Next = m.bottom
			}
			return page, nil
		}
	}
}

// take adds an entry to a page if the filter selects it, and returns how many bytes it holds.
func (s *Audit) take(ctx context.Context, page *audit.Page, i table.Item, f *audit.Filter) (int, error) {
	e := entryOf(i)
	if !f.Matches(e) {
		return 0, nil
	}
	if err := s.readDiff(ctx, i, e); err != nil {
		return 0, err
	}
	page.Entries = append(page.Entries, e)
	return len(e.Before) + len(e.After), nil
}
