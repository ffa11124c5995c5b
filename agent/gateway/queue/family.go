package queue

// remembered is how many families without a request are known at most; beyond it all of them are forgotten.
const remembered = 64

func (q *Queue) full() bool { return q.limit > 0 && q.inFlight+q.others >= q.limit }

// serve counts one more request of a family. Without a limit nobody has to know whose it is.
func (q *Queue) serve(id ID) Turn {
	q.inFlight++
	t := Turn{epoch: q.epoch, counted: true}
	if q.limit > 0 {
		f := q.family(id)
		q.clock++
		f.turn = q.clock
		f.inFlight++
		t.family = f
	}
	return t
}

func (q *Queue) family(id ID) *family {
	f := q.families[id]
	if f == nil {
		f = &family{id: id}
		q.families[id] = f
	} else if f.idle {
		f.idle = false
		q.idle--
	}
	return f
}

// rest notes that a family may have no request left. It is remembered, since one that always asks for the next thing when
// it has got the last would otherwise come after those that have something waiting all the time.
func (q *Queue) rest(f *family) {
	if f.idle || f.inFlight > 0 || f.waiting.first != nil {
		return
	}
	f.idle = true
	q.idle++
	if q.idle <= remembered {
		return
	}
	for id, f := range q.families {
		if f.idle {
			delete(q.families, id)
		}
	}
	q.idle = 0
}

// next is the family whose turn it is, of those that wait.
func (q *Queue) next() *family {
	var best *family
	for _, f := range q.line {
		if best == nil || f.inFlight < best.inFlight || f.inFlight == best.inFlight && f.turn < best.turn {
			best = f
		}
	}
	return best
}

func (q *Queue) remove(r *Request) {
	q.waiting--
	r.waits = false
	f := r.family
	if f == nil {
		q.light.remove(r)
		return
	}
	r.family = nil
	f.waiting.remove(r)
	if f.waiting.first != nil {
		return
	}
	for i, other := range q.line {
		if other == f {
			last := len(q.line) - 1
			q.line[i], q.line[last] = q.line[last], nil
			q.line = q.line[:last]
			break
		}
	}
	q.rest(f)
}

// list is requests in the order in which they came.
type list struct{ first, last *Request }

func (l *list) push(r *Request) {
	r.prev, r.next = l.last, nil
	if l.last == nil {
		l.first = r
	} else {
		l.last.next = r
	}
	l.last = r
}

func (l *list) remove(r *Request) {
	if r.prev == nil {
		l.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		l.last = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
}
