package main

import (
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/anishathalye/porcupine"
)

// state is the store as one copy that does one thing after the other. It is never changed, only replaced.
type state struct {
	revision int64
	keys     map[string]kv
}

// input is an operation, and output what it answered. An output without an answer is of an operation whose outcome is
// known from the log alone: it took effect at that revision.
type input struct {
	request request
	// Foreign are the events of somebody who is not recorded, or of a lease that expired.
	foreign []event
}

type output struct {
	answer   *response
	revision int64
}

var model = porcupine.Model{
	Step: func(s, i, o any) (bool, any) {
		return step(s.(state), i.(input), o.(output))
	},
	Equal: func(a, b any) bool {
		x, y := a.(state), b.(state)
		return x.revision == y.revision && maps.Equal(x.keys, y.keys)
	},
	DescribeOperation: func(i, o any) string { return fmt.Sprintf("%+v -> %+v", i, o) },
}

func step(s state, in input, out output) (bool, state) {
	// Whatever comes of it, a write gets the next revision and a read tells the present one.
	if out.revision != s.revision && out.revision != s.revision+1 {
		return false, s
	}
	next := state{revision: s.revision, keys: s.keys}
	if in.foreign != nil {
		next.write(s, func() {
			for _, e := range in.foreign {
				if e.Delete {
					delete(next.keys, e.KV.Key)
				} else {
					next.keys[e.KV.Key] = e.KV
				}
			}
		})
		return next.revision == out.revision, next
	}
	if lease := in.request.Revoke; lease != 0 {
		next.expire(s, lease)
		return next.revision == out.revision, next
	}
	holds := in.request.Compare == nil || s.keys[in.request.Compare.Key].Mod == in.request.Compare.Mod
	actions := in.request.Success
	if !holds {
		actions = in.request.Failure
	}
	results := next.run(s, actions)
	if next.revision != out.revision {
		return false, s
	}
	if out.answer == nil {
		return holds, next
	}
	return out.answer.Succeeded == holds && equal(out.answer.Results, results), next
}

// write makes next a copy of s at the next revision, and changes it.
func (next *state) write(s state, change func()) {
	if next.revision == s.revision {
		next.revision++
		next.keys = maps.Clone(s.keys)
	}
	change()
}

func (next *state) expire(s state, lease int64) {
	for key, kv := range s.keys {
		if kv.Lease == lease {
			next.write(s, func() { delete(next.keys, key) })
		}
	}
}

// run does a transaction's actions in order.
func (next *state) run(s state, actions []action) []result {
	results := make([]result, 0, len(actions))
	for _, a := range actions {
		var r result
		switch a.Kind {
		case "put":
			next.write(s, func() {
				old, there := next.keys[a.Key]
				kv := kv{Key: a.Key, Value: a.Value, Create: next.revision, Mod: next.revision, Version: 1, Lease: a.Lease}
				if there {
					kv.Create, kv.Version = old.Create, old.Version+1
				}
				next.keys[a.Key] = kv
			})
		case "delete":
			for _, kv := range scan(next.keys, a.Key, a.End) {
				r.Deleted++
				next.write(s, func() { delete(next.keys, kv.Key) })
			}
		case "range":
			r.KVs = scan(next.keys, a.Key, a.End)
		}
		results = append(results, r)
	}
	return results
}

func scan(keys map[string]kv, from, end string) (found []kv) {
	if end == "" {
		if kv, there := keys[from]; there {
			found = append(found, kv)
		}
		return found
	}
	for key, kv := range keys {
		if within(key, from, end) {
			found = append(found, kv)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Key < found[j].Key })
	return found
}

func equal(a, b []result) bool {
	return slices.EqualFunc(a, b, func(x, y result) bool {
		return x.Deleted == y.Deleted && slices.Equal(x.KVs, y.KVs)
	})
}
