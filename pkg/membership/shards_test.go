package membership_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

var renewed = metav1.NewMicroTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

// lease returns the Lease of a shard of the ring r in the namespace n, changed.
func lease(changes ...func(*coordinationv1.Lease)) *coordinationv1.Lease {
	l := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "n", Name: "a", UID: "uid", Labels: map[string]string{wire.LabelRing: "r"}, Annotations: map[string]string{},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To("p"), LeaseDurationSeconds: ptr.To[int32](15), RenewTime: &renewed},
	}
	for _, change := range changes {
		change(l)
	}
	return l
}

func annotated(key, value string) func(*coordinationv1.Lease) {
	return func(l *coordinationv1.Lease) { l.Annotations[key] = value }
}

func TestShards(t *testing.T) {
	shard := func(change func(*membership.Shard)) *membership.Shard {
		s := &membership.Shard{Name: "a", UID: "uid", Holder: "p", Member: true, Weight: 1}
		if change != nil {
			change(s)
		}
		return s
	}
	tests := map[string]struct {
		lease    *coordinationv1.Lease
		unproved bool
		shard    *membership.Shard
		ignored  string // a part of the reason
	}{
		"member":            {lease: lease(), shard: shard(nil)},
		"unproved":          {lease: lease(), unproved: true, shard: shard(func(s *membership.Shard) { s.Member = false })},
		"never renewed":     {lease: lease(func(l *coordinationv1.Lease) { l.Spec.RenewTime = nil }), shard: shard(func(s *membership.Shard) { s.Member = false })},
		"free":              {lease: lease(func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = nil }), shard: shard(func(s *membership.Shard) { s.Holder, s.Member = "", false })},
		"no duration":       {lease: lease(func(l *coordinationv1.Lease) { l.Spec.LeaseDurationSeconds = nil }), shard: shard(nil)},
		"marked":            {lease: lease(func(l *coordinationv1.Lease) { l.Labels[wire.LabelState] = "expired" }), shard: shard(func(s *membership.Shard) { s.State, s.Marked = "expired", true })},
		"invented state":    {lease: lease(func(l *coordinationv1.Lease) { l.Labels[wire.LabelState] = "x" }), shard: shard(func(s *membership.Shard) { s.State = "x" })},
		"word":              {lease: lease(annotated(wire.AnnotationHolds, "7 1-3")), shard: shard(func(s *membership.Shard) { s.Holds = ring.Holds{Revision: 7, Slots: ring.SlotsOf(1, 2, 3)} })},
		"weight":            {lease: lease(annotated(wire.AnnotationWeight, "5")), shard: shard(func(s *membership.Shard) { s.Weight = 5 })},
		"weight of zero":    {lease: lease(annotated(wire.AnnotationWeight, "0")), shard: shard(nil), ignored: "counts as 1"},
		"other namespace":   {lease: lease(func(l *coordinationv1.Lease) { l.Namespace = "other" })},
		"other ring":        {lease: lease(func(l *coordinationv1.Lease) { l.Labels[wire.LabelRing] = "other" })},
		"no label":          {lease: lease(func(l *coordinationv1.Lease) { l.Labels = nil })},
		"nil":               {},
		"duration too long": {lease: lease(func(l *coordinationv1.Lease) { l.Spec.LeaseDurationSeconds = ptr.To[int32](2147483647) }), ignored: "maxLeaseDuration"},
		"unreadable word":   {lease: lease(annotated(wire.AnnotationHolds, "7 x")), ignored: wire.AnnotationHolds},
		"huge word":         {lease: lease(annotated(wire.AnnotationHolds, strings.Repeat("1,", 1<<20))), ignored: wire.AnnotationHolds},
		"huge holder":       {lease: lease(func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = ptr.To(strings.Repeat("x", 3<<19)) }), ignored: "holderIdentity"},
		"long name":         {lease: lease(func(l *coordinationv1.Lease) { l.Name = strings.Repeat("x", 64) }), ignored: "63"},
		"finalizer":         {lease: lease(func(l *coordinationv1.Lease) { l.Finalizers = []string{"x/y"} }), ignored: "finalizers"},
		"huge, but elsewhere": {lease: lease(func(l *coordinationv1.Lease) {
			l.Namespace, l.Spec.HolderIdentity = "other", ptr.To(strings.Repeat("x", 3<<19))
		})},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			rules := membership.Rules{
				Ring: "r", Namespace: "n", MaxDuration: time.Minute, Proofs: func(*coordinationv1.Lease) bool { return !tt.unproved },
			}
			leases := []*coordinationv1.Lease{tt.lease}
			if tt.lease != nil {
				leases = append(leases, membership.Trim(tt.lease)) // What is trimmed means the same.
			}
			for _, l := range leases {
				shards, ignored := rules.Shards([]*coordinationv1.Lease{l})
				var got *membership.Shard
				if len(shards) > 0 {
					shards[0].Lease = nil
					got = &shards[0]
				}
				if diff := cmp.Diff(tt.shard, got); diff != "" {
					t.Errorf("shard (-want +got):\n%s", diff)
				}
				switch {
				case (tt.ignored != "") != (len(ignored) == 1):
					t.Errorf("%d Leases are ignored", len(ignored))
				case tt.ignored != "" && !strings.Contains(ignored[0].Reason, tt.ignored):
					t.Errorf("reason %q does not say %q", ignored[0].Reason, tt.ignored)
				case tt.ignored != "" && len(ignored[0].Reason) > 300:
					t.Errorf("the reason has %d bytes", len(ignored[0].Reason))
				}
			}
		})
	}
}

func TestShardsOfNoNamespace(t *testing.T) {
	l := lease(func(l *coordinationv1.Lease) { l.Namespace = "" })
	if shards, ignored := (membership.Rules{Ring: "r"}).Shards([]*coordinationv1.Lease{l}); len(shards)+len(ignored) > 0 {
		t.Errorf("a ring without a namespace has shards %v, ignored %v", shards, ignored)
	}
}

func TestStateOf(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	free := func(l *coordinationv1.Lease) { l.Spec.HolderIdentity = ptr.To("") }
	neverRenewed := func(l *coordinationv1.Lease) { l.Spec.RenewTime = nil }
	tests := map[string]struct {
		change          func(*coordinationv1.Lease)
		age             time.Duration
		grace, duration time.Duration
		want            membership.State
		next            time.Duration // from begin, 0 for never
	}{
		"renewed":                 {want: membership.StateReady, next: 15 * time.Second},
		"almost expired":          {age: 15*time.Second - 1, want: membership.StateReady, next: 15 * time.Second},
		"expired":                 {age: 15 * time.Second, want: membership.StateExpired, next: 20 * time.Second},
		"uncertain":               {age: 20 * time.Second, want: membership.StateUncertain},
		"grace":                   {age: 20 * time.Second, grace: 6 * time.Second, want: membership.StateExpired, next: 21 * time.Second},
		"free":                    {change: free, want: membership.StateDead},
		"never renewed":           {change: neverRenewed, want: membership.StateExpired, next: 20 * time.Second},
		"never renewed, for long": {change: neverRenewed, age: 20 * time.Second, want: membership.StateUncertain},
		"forever":                 {duration: 2147483647 * time.Second, age: time.Hour, want: membership.StateReady, next: 2147483647 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := lease()
			if tt.change != nil {
				tt.change(l)
			}
			state, next := membership.StateOf(l, max(tt.duration, 15*time.Second), begin, begin.Add(tt.age), tt.grace)
			var want time.Time
			if tt.next > 0 {
				want = begin.Add(tt.next)
			}
			if state != tt.want || !next.Equal(want) {
				t.Errorf("got %s until %s, want %s until %s", state, next, tt.want, want)
			}
		})
	}
}

func TestProves(t *testing.T) {
	later := metav1.NewMicroTime(renewed.Add(time.Second))
	tests := map[string]struct {
		change func(*coordinationv1.Lease)
		want   bool
	}{
		"nothing":      {func(*coordinationv1.Lease) {}, false},
		"label":        {func(l *coordinationv1.Lease) { l.Labels[wire.LabelState] = "ready" }, false},
		"renewal":      {func(l *coordinationv1.Lease) { l.Spec.RenewTime = &later }, true},
		"older":        {func(l *coordinationv1.Lease) { l.Spec.RenewTime = nil }, false},
		"other holder": {func(l *coordinationv1.Lease) { l.Spec.RenewTime, l.Spec.HolderIdentity = &later, ptr.To("q") }, false},
		"other UID":    {func(l *coordinationv1.Lease) { l.Spec.RenewTime, l.UID = &later, "other" }, false},
		"release":      {func(l *coordinationv1.Lease) { l.Spec.RenewTime, l.Spec.HolderIdentity = &later, nil }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := membership.RenewalOf(lease(tt.change)).Proves(membership.RenewalOf(lease())); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestCredible(t *testing.T) {
	for revision, want := range map[int64]int64{7: 7, 1 << 40: 1 << 40, wire.MaxRevision: 0} {
		if got := membership.Credible(ring.Holds{Revision: revision}, 5).Revision; got != want {
			t.Errorf("%d: got %d, want %d", revision, got, want)
		}
	}
}

// TestTrimIsSmall bounds what a Lease can take of the memory.
func TestTrimIsSmall(t *testing.T) {
	huge := strings.Repeat("x", 1<<20)
	l := membership.Trim(lease(annotated(wire.AnnotationHolds, huge), annotated(wire.AnnotationWeight, huge), annotated("other", huge),
		func(l *coordinationv1.Lease) {
			l.Spec.HolderIdentity, l.Spec.PreferredHolder, l.Labels["other"], l.Finalizers = &huge, &huge, huge, []string{huge, huge}
			l.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: huge}}
		}))
	if n := l.Size(); n > 32<<10 {
		t.Errorf("a trimmed Lease has %d bytes", n)
	}
}
