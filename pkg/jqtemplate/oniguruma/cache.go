package oniguruma

import (
	"container/list"
	"sync"
)

// The bounds of a Cache.
const (
	maxCached      = 256
	maxCachedBytes = 8 << 20
)

// Cache keeps compiled patterns, and the errors of those that do not compile: the ones used last, up to
// 256 and about 8 MiB. It may be used by many goroutines at once.
type Cache struct {
	mu      sync.Mutex
	entries map[cacheKey]*list.Element
	order   *list.List // of *cached, the one used last in front
	bytes   int
}

type cacheKey struct{ pattern, flags string }

type cached struct {
	key  cacheKey
	re   *Regexp
	err  error
	size int
}

// NewCache returns an empty cache.
func NewCache() *Cache {
	return &Cache{entries: map[cacheKey]*list.Element{}, order: list.New()}
}

// Compile is Compile, once for a pattern and its flags as long as they are kept.
func (c *Cache) Compile(pattern, flags string) (*Regexp, error) {
	key := cacheKey{pattern, flags}
	c.mu.Lock()
	if e := c.entries[key]; e != nil {
		c.order.MoveToFront(e)
		c.mu.Unlock()
		entry := e.Value.(*cached)
		return entry.re, entry.err
	}
	c.mu.Unlock()
	re, err := Compile(pattern, flags)
	entry := &cached{key: key, re: re, err: err, size: len(pattern) + len(flags)}
	if re != nil {
		entry.size += re.size
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[key] == nil && entry.size <= maxCachedBytes/4 {
		c.entries[key] = c.order.PushFront(entry)
		c.bytes += entry.size
	}
	for len(c.entries) > maxCached || c.bytes > maxCachedBytes {
		last := c.order.Back()
		old := c.order.Remove(last).(*cached)
		delete(c.entries, old.key)
		c.bytes -= old.size
	}
	return re, err
}
