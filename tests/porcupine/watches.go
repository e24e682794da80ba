package main

// The nine properties of watches that etcd's robustness suite checks: filter, ordered, unique, atomic, bookmarkable,
// resumable, reliable, prevKV; the ninth, isCreate, is checked by the replay of the log.
func checkWatches(h *history, log *events, fail func(string, ...any)) (heard int) {
	compacted := map[int64]bool{}
	for _, op := range h.ops {
		compacted[op.Request.Compact] = true
	}
	// Of a compaction whose answer was lost, watches tell.
	for _, w := range h.watches {
		for _, r := range w.Responses {
			compacted[r.Compact] = true
		}
	}
	for _, w := range h.watches {
		c := watchCheck{watch: w, log: log, compacted: compacted, fail: func(format string, args ...any) {
			fail("watch "+format+" (client %d at member %s, from revision %d)",
				append(args, w.Client, w.Member, w.Start)...)
		}}
		heard += c.run()
	}
	return heard
}

type watchCheck struct {
	watch *watch
	log   *events
	fail  func(string, ...any)
	// Revisions up to which history was compacted.
	compacted map[int64]bool
	// Revision of the last event heard, and up to which the store said that all is told.
	last, told int64
	// The next revision whose events this watch expects.
	next int64
	// An unfinished message in fragments.
	open bool
}

func (c *watchCheck) matches(e event) bool {
	w := c.watch
	return within(e.KV.Key, w.Key, w.End) && !(e.Delete && w.NoDelete) && !(!e.Delete && w.NoPut)
}

// expected are the log's events of a revision that this watch must hear.
func (c *watchCheck) expected(revision int64) (found []event) {
	for _, e := range c.log.at[revision] {
		if c.matches(e) {
			found = append(found, e)
		}
	}
	return found
}

func (c *watchCheck) run() (heard int) {
	c.next = c.watch.Start
	seen := map[int64]map[string]bool{}
	var pending []event
	for _, r := range c.watch.Responses {
		if r.Created && c.next == 0 {
			c.next = r.Revision + 1
		}
		if r.Canceled || (r.Created && len(r.Events) == 0) {
			continue
		}
		if len(r.Events) == 0 {
			c.bookmark(r.Revision)
			continue
		}
		heard += len(r.Events)
		for _, e := range r.Events {
			revision := e.KV.Mod
			if !c.matches(e) {
				c.fail("filter: heard %s, for which it did not ask", e)
			}
			if seen[revision][e.KV.Key] {
				c.fail("unique: heard %s twice", e)
			}
			if revision < c.last {
				c.fail("ordered: heard %s after revision %d", e, c.last)
			}
			if revision <= c.told {
				c.fail("bookmarkable: heard %s after all up to revision %d was said to be told", e, c.told)
			}
			if revision < c.watch.Start {
				c.fail("resumable: heard %s, which is older", e)
			}
			if seen[revision] == nil {
				seen[revision] = map[string]bool{}
			}
			seen[revision][e.KV.Key] = true
			c.last = max(c.last, revision)
			c.previous(e)
		}
		pending = append(pending, r.Events...)
		// A message in fragments is whole with the first that says no more follow.
		if c.open = r.Fragment; !c.open {
			c.message(pending)
			pending = nil
		}
	}
	return heard
}

// message checks one whole message: revisions complete in it, and none left out before.
func (c *watchCheck) message(got []event) {
	counts := map[int64]int{}
	last := int64(0)
	for _, e := range got {
		counts[e.KV.Mod]++
		last = max(last, e.KV.Mod)
	}
	first := c.next == c.watch.Start
	for revision := c.next; revision <= last; revision++ {
		expected := c.expected(revision)
		switch {
		case len(expected) > 0 && counts[revision] == 0 && first:
			c.fail("resumable: the first event is of revision %d, but %s came before", last, expected[0])
		case len(expected) > 0 && counts[revision] == 0:
			c.fail("reliable: %s is missing", expected[0])
		case counts[revision] < len(expected):
			c.fail("atomic: %d of %d events of revision %d in one message", counts[revision], len(expected), revision)
		}
		first = first && len(expected) == 0
	}
	c.next = max(c.next, last+1)
}

// bookmark checks that everything up to a revision that the store calls told has been heard.
func (c *watchCheck) bookmark(revision int64) {
	if revision < c.told || revision < c.last {
		c.fail("bookmarkable: progress at revision %d after %d", revision, max(c.told, c.last))
	}
	for missing := max(c.next, c.log.first); missing <= revision; missing++ {
		if expected := c.expected(missing); len(expected) > 0 {
			c.fail("bookmarkable: progress at revision %d, but %s was not heard", revision, expected[0])
			break
		}
	}
	c.told = max(c.told, revision)
	c.next = max(c.next, revision+1)
}

func (c *watchCheck) previous(e event) {
	if !c.watch.PrevKV {
		return
	}
	was, there := c.log.before[e.KV.Mod][e.KV.Key]
	switch {
	case e.Prev == nil && there && c.compacted[e.KV.Mod]:
		// A watch may begin at the compacted revision itself, and what was before it is gone. etcd's the same.
	case e.Prev == nil && there:
		c.fail("prevKV: %s comes without the previous value %+v", e, was)
	case e.Prev != nil && !there:
		c.fail("prevKV: %s has the previous value %+v, but there was none", e, *e.Prev)
	case e.Prev != nil && *e.Prev != was:
		c.fail("prevKV: %s has the previous value %+v, expected %+v", e, *e.Prev, was)
	}
}
