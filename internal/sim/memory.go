package sim

import (
	"runtime"
	"time"
)

// memory returns how many bytes the replicas of the sharder hold, that is, how many fewer there are when they have ended and
// nobody knows them any more. What others hold stays as it is meanwhile.
func (w *World) memory() int64 {
	_ = sleep(w.ctx, 3*w.plan.AuditInterval) // what there is to keep has been seen
	before := heap()
	for i := range w.plan.Replicas {
		name := replicaName(i)
		w.keepers[name].forget()
		w.mu.Lock()
		delete(w.replicas, name)
		w.mu.Unlock()
	}
	_ = sleep(w.ctx, time.Minute) // the API server has noticed
	return before - heap()
}

// heap returns how many bytes can be reached.
func heap() int64 {
	var stats runtime.MemStats
	for range 3 { // pools are empty after the second time
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
