package main

import "sort"

// checkOldReads checks what need not be linearizable: a serializable read, and a read at an old revision, must show
// the store as it was at some one revision.
func checkOldReads(h *history, log *events, fail func(string, ...any)) int {
	at := map[int64][]*operation{}
	count := 0
	for _, op := range h.ops {
		if op.Response == nil || !(op.Request.Serializable || op.Request.At != 0) {
			continue
		}
		revision := op.Response.Revision
		if op.Request.At != 0 {
			revision = op.Request.At
		}
		if revision > log.last || revision < h.start.Revision {
			fail("read: revision %d was answered, the log goes from %d to %d", revision, h.start.Revision, log.last)
			continue
		}
		at[revision] = append(at[revision], op)
		count++
	}
	revisions := make([]int64, 0, len(at))
	for revision := range at {
		revisions = append(revisions, revision)
	}
	sort.Slice(revisions, func(i, j int) bool { return revisions[i] < revisions[j] })
	log.states(h.start, revisions, func(revision int64, content map[string]kv) {
		for _, op := range at[revision] {
			s := state{revision: revision, keys: content}
			results := s.run(s, op.Request.Success)
			if !equal(op.Response.Results, results) {
				fail("read: member %s showed %+v at revision %d, the log has %+v",
					op.Member, op.Response.Results, revision, results)
			}
		}
	})
	return count
}

// checkRevisions checks, besides the model, the plainest promise: what a member answers later is never older.
// Each client's own serializable reads of one member count, too.
func checkRevisions(h *history, fail func(string, ...any)) {
	ops := make([]*operation, 0, len(h.ops))
	for _, op := range h.ops {
		if op.Response != nil && !op.Request.Serializable {
			ops = append(ops, op)
		}
	}
	sort.SliceStable(ops, func(i, j int) bool { return ops[i].Call < ops[j].Call })
	ended := make([]*operation, len(ops))
	copy(ended, ops)
	sort.SliceStable(ended, func(i, j int) bool { return ended[i].Return < ended[j].Return })
	highest, next := int64(0), 0
	for _, op := range ops {
		for ; next < len(ended) && ended[next].Return < op.Call; next++ {
			highest = max(highest, ended[next].Response.Revision)
		}
		if op.Response.Revision < highest {
			fail("revision: member %s answered %d after %d had been answered", op.Member, op.Response.Revision, highest)
		}
	}
}
