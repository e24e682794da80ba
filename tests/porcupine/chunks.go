package main

import (
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

// chunkMin is how many operations are checked at once at least: porcupine's memory grows with their square.
const chunkMin = 1000

// patience is for one chunk; a check that does not end counts as failed.
const patience = 5 * time.Minute

// A chunk lies between two moments at which no answered operation was under way.
type chunk struct {
	ops []placed
	// The last moment of it, and the last revision that it tells of.
	end  int64
	last int64
}

// split cuts the history at moments of rest. Open operations go where their revision belongs.
func split(all []placed, fail func(string, ...any)) []chunk {
	var known, open []placed
	for _, op := range all {
		if op.open {
			open = append(open, op)
		} else {
			known = append(known, op)
		}
	}
	sort.SliceStable(known, func(i, j int) bool { return known[i].Call < known[j].Call })
	var chunks []chunk
	now := chunk{}
	for _, op := range known {
		if op.Call > now.end && len(now.ops) >= chunkMin {
			chunks = append(chunks, now)
			now = chunk{last: now.last, end: now.end}
		}
		now.ops = append(now.ops, op)
		now.end = max(now.end, op.Return)
		now.last = max(now.last, op.revision)
	}
	chunks = append(chunks, now)
	for _, op := range open {
		index := sort.Search(len(chunks), func(i int) bool { return chunks[i].last >= op.revision })
		index = min(index, len(chunks)-1)
		c := &chunks[index]
		if op.Call > c.end && op.revision <= c.last {
			fail("revision %d was there at %d, before its write %+v was called at %d", op.revision, c.end, op.Input, op.Call)
		}
		begin := int64(-1)
		if index > 0 {
			begin = chunks[index-1].end + 1
		}
		op.Call = max(op.Call, begin)
		op.Return = max(c.end, op.Call) + 1
		c.ops = append(c.ops, op)
		c.last = max(c.last, op.revision)
	}
	return chunks
}

// checkChunks asks porcupine about each chunk, from the content that the log gives for its begin.
func checkChunks(h *history, log *events, chunks []chunk, fail func(string, ...any)) {
	begins := make([]int64, len(chunks))
	for i := range chunks {
		begins[i] = h.start.Revision
		if i > 0 {
			begins[i] = max(chunks[i-1].last, h.start.Revision)
		}
	}
	i := 0
	log.states(h.start, begins, func(revision int64, content map[string]kv) {
		keys := make(map[string]kv, len(content))
		for key, kv := range content {
			keys[key] = kv
		}
		checkChunk(state{revision: revision, keys: keys}, chunks[i], fail)
		i++
	})
}

func checkChunk(from state, c chunk, fail func(string, ...any)) {
	m := model
	m.Init = func() any { return from }
	ops := make([]porcupine.Operation, len(c.ops))
	for i, op := range c.ops {
		ops[i] = op.Operation
	}
	switch porcupine.CheckOperationsTimeout(m, ops, patience) {
	case porcupine.Ok:
	case porcupine.Unknown:
		fail("linearizable: %d operations from revision %d were not decided in %s", len(ops), from.revision, patience)
	case porcupine.Illegal:
		stuck(m, from, ops, fail)
	}
}

// stuck says after which operation no order was found any more.
func stuck(m porcupine.Model, from state, ops []porcupine.Operation, fail func(string, ...any)) {
	_, info := porcupine.CheckOperationsVerbose(m, ops, patience)
	longest := map[int]bool{}
	count := 0
	for _, partials := range info.PartialLinearizations() {
		for _, partial := range partials {
			if len(partial) > count {
				count = len(partial)
				longest = map[int]bool{}
				for _, id := range partial {
					longest[id] = true
				}
			}
		}
	}
	var left []int
	for i := range ops {
		if !longest[i] {
			left = append(left, i)
		}
	}
	sort.Slice(left, func(a, b int) bool { return ops[left[a]].Return < ops[left[b]].Return })
	if len(left) == 0 {
		fail("linearizable: no order explains the %d operations from revision %d", len(ops), from.revision)
		return
	}
	op := ops[left[0]]
	answer := op.Output.(output)
	fail("linearizable: no order explains the %d operations from revision %d; %d fit, then not %+v, answered %+v at revision %d",
		len(ops), from.revision, count, op.Input, answer.answer, answer.revision)
}
