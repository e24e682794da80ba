package main

import (
	"fmt"
	"sort"
)

// events are all changes of the store by revision, put together from what all watches heard. `before` is what each
// event replaced, by our own replay, and not by the word of the store.
type events struct {
	first, last int64
	at          map[int64][]event
	before      map[int64]map[string]kv
}

// collect puts the events together and finds watches that contradict each other.
func collect(h *history, fail func(string, ...any)) *events {
	log := &events{first: h.start.Revision + 1, last: h.start.Revision, at: map[int64][]event{}}
	known := map[int64]map[string]event{}
	for _, w := range h.watches {
		for _, r := range w.Responses {
			for _, e := range r.Events {
				e.Prev = nil
				revision := e.KV.Mod
				if known[revision] == nil {
					known[revision] = map[string]event{}
				}
				if other, ok := known[revision][e.KV.Key]; ok && other != e {
					fail("log: revision %d, key %q: one watch heard %+v, another %+v", revision, e.KV.Key, other, e)
				}
				known[revision][e.KV.Key] = e
				log.last = max(log.last, revision)
			}
		}
	}
	missing := 0
	for revision := log.first; revision <= log.last; revision++ {
		for _, e := range known[revision] {
			log.at[revision] = append(log.at[revision], e)
		}
		if len(known[revision]) == 0 {
			if missing++; missing <= 3 {
				fail("log: no watch heard of revision %d", revision)
			}
		}
		group := log.at[revision]
		sort.Slice(group, func(i, j int) bool { return group[i].KV.Key < group[j].KV.Key })
	}
	log.replay(h.start, fail)
	return log
}

// replay goes through all revisions, keeps what each event replaced, and finds puts that do not follow from it.
func (log *events) replay(from start, fail func(string, ...any)) {
	log.before = map[int64]map[string]kv{}
	state := map[string]kv{}
	for _, kv := range from.KVs {
		state[kv.Key] = kv
	}
	for revision := log.first; revision <= log.last; revision++ {
		old := map[string]kv{}
		for _, e := range log.at[revision] {
			was, there := state[e.KV.Key]
			if there {
				old[e.KV.Key] = was
			}
			if e.Delete {
				if !there {
					fail("log: revision %d deletes %q, which was not there", revision, e.KV.Key)
				}
				delete(state, e.KV.Key)
				continue
			}
			create, version := revision, int64(1)
			if there {
				create, version = was.Create, was.Version+1
			}
			if e.KV.Create != create || e.KV.Version != version {
				fail("watch isCreate: revision %d, key %q: create revision %d and version %d, expected %d and %d",
					revision, e.KV.Key, e.KV.Create, e.KV.Version, create, version)
			}
			state[e.KV.Key] = e.KV
		}
		log.before[revision] = old
	}
}

// states calls visit with the store's content at each of the revisions, which must ascend.
func (log *events) states(from start, revisions []int64, visit func(int64, map[string]kv)) {
	state := map[string]kv{}
	for _, kv := range from.KVs {
		state[kv.Key] = kv
	}
	now := from.Revision
	for _, revision := range revisions {
		for ; now < revision; now++ {
			for _, e := range log.at[now+1] {
				if e.Delete {
					delete(state, e.KV.Key)
				} else {
					state[e.KV.Key] = e.KV
				}
			}
		}
		visit(revision, state)
	}
}

func (e event) String() string {
	if e.Delete {
		return fmt.Sprintf("delete %q at %d", e.KV.Key, e.KV.Mod)
	}
	return fmt.Sprintf("put %q=%q at %d", e.KV.Key, e.KV.Value, e.KV.Mod)
}
