package main

import (
	"slices"

	"github.com/anishathalye/porcupine"
)

// A placed operation has a place in the order of revisions: it is known from its answer, or from the log.
type placed struct {
	porcupine.Operation
	revision int64
	// Open operations have no end that anybody saw.
	open bool
}

// settle gives every operation its outcome. One without an answer that wrote a value of its own is found in the log
// by that value, or had no effect. The log's revisions that nobody recorded are operations of their own.
func settle(h *history, log *events, fail func(string, ...any)) []placed {
	claimed := map[int64]*operation{}
	values := map[string]int64{}
	for revision, group := range log.at {
		for _, e := range group {
			if !e.Delete {
				values[e.KV.Key+"\x00"+e.KV.Value] = revision
			}
		}
	}
	var all []placed
	for _, op := range h.ops {
		if op.Refused != "" || op.Request.Compact != 0 || op.Request.Serializable || op.Request.At != 0 {
			continue
		}
		out := output{answer: op.Response}
		open := op.Response == nil
		if open {
			out.revision = find(op, log, values)
			if out.revision == 0 {
				continue
			}
		} else {
			out.revision = op.Response.Revision
			checkLogged(op, log, values, fail)
		}
		if group, there := log.at[out.revision]; there && writes(op, group) {
			if other := claimed[out.revision]; other != nil && wrote(op, values) == out.revision {
				fail("revision %d was answered to two writes: %+v and %+v", out.revision, other.Request, op.Request)
			}
			if claimed[out.revision] == nil {
				claimed[out.revision] = op
			}
		}
		all = append(all, placed{
			Operation: porcupine.Operation{
				ClientId: op.Client, Input: input{request: op.Request}, Output: out, Call: op.Call, Return: op.Return,
			},
			revision: out.revision,
			open:     open,
		})
	}
	for revision := log.first; revision <= log.last; revision++ {
		if group := log.at[revision]; claimed[revision] == nil && len(group) > 0 {
			if !foreign(group, log.before[revision]) {
				fail("log: revision %d (%s) was written by nobody", revision, group[0])
			}
			all = append(all, placed{
				Operation: porcupine.Operation{
					ClientId: -1, Input: input{foreign: group}, Output: output{revision: revision},
				},
				revision: revision,
				open:     true,
			})
		}
	}
	return all
}

// writes tells whether an operation is the one that made a revision's events.
func writes(op *operation, group []event) bool {
	if op.Request.Revoke != 0 {
		return slices.ContainsFunc(group, func(e event) bool { return e.Delete })
	}
	for _, a := range op.Request.Success {
		if a.Kind == "put" && slices.ContainsFunc(group, func(e event) bool {
			return !e.Delete && e.KV.Key == a.Key && e.KV.Value == a.Value
		}) {
			return true
		}
		if a.Kind == "delete" && op.Response != nil && op.Response.Succeeded &&
			slices.ContainsFunc(group, func(e event) bool { return e.Delete && within(e.KV.Key, a.Key, a.End) }) {
			return true
		}
	}
	return false
}

// wrote is the revision of the value that only this operation writes, by the log; 0 if it is not there.
func wrote(op *operation, values map[string]int64) int64 {
	for _, a := range op.Request.Success {
		if a.Kind == "put" {
			return values[a.Key+"\x00"+a.Value]
		}
	}
	return 0
}

// find looks an operation of unknown outcome up in the log.
func find(op *operation, log *events, values map[string]int64) int64 {
	if lease := op.Request.Revoke; lease != 0 {
		for revision, group := range log.at {
			for _, e := range group {
				if e.Delete && log.before[revision][e.KV.Key].Lease == lease {
					return revision
				}
			}
		}
		return 0
	}
	return wrote(op, values)
}

// checkLogged compares a write's answer with the log: an acknowledged write must be there, where it was said to be.
func checkLogged(op *operation, log *events, values map[string]int64, fail func(string, ...any)) {
	if op.Request.Revoke != 0 || !op.Response.Succeeded {
		return
	}
	for _, a := range op.Request.Success {
		if a.Kind != "put" {
			continue
		}
		switch revision := values[a.Key+"\x00"+a.Value]; {
		case revision == 0:
			fail("lost: %q=%q was acknowledged at revision %d by member %s and is not in the log",
				a.Key, a.Value, op.Response.Revision, op.Member)
		case revision != op.Response.Revision:
			fail("moved: %q=%q was acknowledged at revision %d by member %s, the log has it at %d",
				a.Key, a.Value, op.Response.Revision, op.Member, revision)
		}
	}
}

// ours begins all keys that recorded clients write.
const ours = "h/"

// foreign tells whether a revision that nobody recorded may have come from outside: other keys, or a lease's end.
func foreign(group []event, before map[string]kv) bool {
	for _, e := range group {
		expired := e.Delete && before[e.KV.Key].Lease != 0
		if within(e.KV.Key, ours, "h0") && !expired {
			return false
		}
	}
	return true
}
