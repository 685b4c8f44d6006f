package feed

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// batchAtOnce is how many items' changes of a batch are handled at the same time.
	batchAtOnce = 10
	// spare is how long before the batch's own deadline no further change is begun, beside the time that one
	// may take: the answer is yet to be given.
	spare = 5 * time.Second
)

// Batch handles the changes of a batch, those of one item in their order, others side by side, and returns
// the place of the first that has to come again, with all that follow it; -1 for none. That is one which a
// dependency kept from being handled, or for which no time was left.
//
// What fails for another reason goes to park with its place; an error of that, too, has it come again. Each
// change has a handler's life of 20 s, or what the batch has left.
func Batch(ctx context.Context, h Handler, tasks []Task, park func(ctx context.Context, n int, reason error) error) (again int) {
	items := map[string][]int{}
	var order []string
	for n, t := range tasks {
		if items[t.Item] == nil {
			order = append(order, t.Item)
		}
		items[t.Item] = append(items[t.Item], n)
	}
	again = -1
	var mu sync.Mutex
	var all sync.WaitGroup
	busy := make(chan struct{}, batchAtOnce)
	for _, item := range order {
		busy <- struct{}{}
		all.Go(func() {
			defer func() { <-busy }()
			for _, n := range items[item] {
				err := within(ctx, func(ctx context.Context) error {
					err := Handle(ctx, h, tasks[n].Read)
					if err != nil && !Curable(err) {
						err = park(ctx, n, err)
					}
					return err
				})
				if err == nil {
					if tasks[n].Done != nil {
						tasks[n].Done()
					}
					continue
				}
				mu.Lock()
				if again < 0 || n < again {
					again = n
				}
				mu.Unlock()
				return
			}
		})
	}
	all.Wait()
	return again
}

// within gives one change its time, if there is enough left.
func within(ctx context.Context, do func(context.Context) error) error {
	if end, limited := ctx.Deadline(); limited && time.Until(end) < handleFor+spare {
		return fmt.Errorf("begin a change: %w", context.DeadlineExceeded)
	}
	ctx, cancel := context.WithTimeout(ctx, handleFor)
	defer cancel()
	return do(ctx)
}
