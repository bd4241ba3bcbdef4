package anylanguage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/util/retry"

	"github.com/clusterring/clusterring/examples/internal/stage"
	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

func slotOf(name string) int {
	return ring.Slot(partition.Key(schema.GroupKind{Kind: "ConfigMap"}, stage.Namespace, name))
}

// TestSlots: the script computes the slots that everybody computes.
func TestSlots(t *testing.T) {
	script, err := os.ReadFile("shard.sh")
	if err != nil {
		t.Fatal(err)
	}
	function := regexp.MustCompile(`(?ms)^find_slot\(\) \{.*?^\}`).Find(script)
	names := []string{"a", "kube-root-ca.crt", "x.y-z.0", strings.Repeat("z", 253)}
	for range 50 {
		names = append(names, rand.String(1+rand.Intn(100)))
	}
	program := string(function) + `; namespace=` + stage.Namespace + `; for name; do find_slot "$name" && echo "$slot"; done`
	out, err := exec.Command("bash", slices.Concat([]string{"-uc", program, "-"}, names)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	for _, name := range names {
		fmt.Fprintln(&want, slotOf(name))
	}
	if diff := cmp.Diff(want.String(), string(out)); diff != "" {
		t.Errorf("slots of %q (-want +got):\n%s", names, diff)
	}
}

// TestTables: the test writes tables, and the script does what they say.
func TestTables(t *testing.T) {
	s, name := newScene(t), testenv.Name(t)
	s.Create(20)
	s.label()
	script := s.script(name)
	uid := string(s.awaitHeld(script).UID)
	all := ring.AllSlots()
	var low, high ring.Slots
	for slot := range all.All() {
		if slot < ring.Count/2 {
			low = low.With(slot)
		} else {
			high = high.With(slot)
		}
	}
	row := func(slots, releasing ring.Slots, since int64) ring.Row {
		return ring.Row{Name: name, Lease: uid, Slots: slots, Releasing: releasing, Since: since}
	}

	s.write(ring.Table{Revision: 5, Rows: []ring.Row{row(all, ring.Slots{}, 0)}})
	s.awaitHolds(name, ring.Holds{Revision: 5, Slots: all})
	s.awaitUpToDate(all)

	s.write(ring.Table{Revision: 6, Rows: []ring.Row{row(all, high, 6)}})
	s.awaitHolds(name, ring.Holds{Revision: 6, Slots: low})
	// One of the others gets a label that says it belongs to the script.
	lied := slices.IndexFunc(s.names(all), func(name string) bool { return high.Has(slotOf(name)) })
	s.setLabel(s.names(all)[lied], "0")
	s.Change()
	s.awaitUpToDate(low)

	// None of these is for the script.
	s.write(ring.Table{Revision: 3, Rows: []ring.Row{row(all, ring.Slots{}, 0)}})
	s.write(ring.Table{Revision: 7, Ring: "another", Rows: []ring.Row{row(all, ring.Slots{}, 0)}})
	s.write(ring.Table{Revision: 8, Rows: []ring.Row{{Name: name, Lease: "another", Slots: high}, row(low, ring.Slots{}, 6)}})
	s.awaitHolds(name, ring.Holds{Revision: 8, Slots: low})

	// The table is lost: the script keeps what it has, whatever that table says, and shows it.
	const founding = 1<<32 + 8
	s.write(ring.Table{Revision: founding, Founding: true, Rows: []ring.Row{{Name: "other", Lease: "other", Slots: all}}})
	s.awaitHolds(name, ring.Holds{Revision: founding, Slots: low})
	s.Change()
	s.awaitUpToDate(low)

	// What the script has had before is read again.
	s.write(ring.Table{Revision: founding + 1, Rows: []ring.Row{row(high, ring.Slots{}, 0)}})
	s.awaitHolds(name, ring.Holds{Revision: founding + 1, Slots: high})
	s.setLabel(s.names(all)[lied], fmt.Sprint(slotOf(s.names(all)[lied])))
	s.awaitUpToDate(all) // the lower ones are left as they were

	// Another shard has everything.
	s.write(ring.Table{Revision: founding + 2, Rows: []ring.Row{{Name: "other", Lease: "other", Slots: all}}})
	s.awaitHolds(name, ring.Holds{Revision: founding + 2})

	s.signal(script, syscall.SIGTERM)
	s.awaitExit(script, 0)
	lease, err := s.leases().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if *lease.Spec.HolderIdentity != "" {
		t.Errorf("the Lease is held by %q", *lease.Spec.HolderIdentity)
	}
	var revisions []string
	for _, match := range regexp.MustCompile(`in revision (\d+)`).FindAllStringSubmatch(s.log(script), -1) {
		revisions = append(revisions, match[1])
	}
	want := []string{"5", "6", "8", fmt.Sprint(founding + 1), fmt.Sprint(founding + 2)}
	if diff := cmp.Diff(want, revisions); diff != "" {
		t.Errorf("revisions that were taken (-want +got):\n%s", diff)
	}
}

// TestRequestWithoutAnAnswer: what was sent may still be done, so the slot is released only after the API server has given
// up.
func TestRequestWithoutAnAnswer(t *testing.T) {
	s, name := newScene(t), testenv.Name(t)
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Fatal(err)
	}
	// A kubectl that learns of no answer to what changes a ConfigMap, and says when.
	dir := t.TempDir()
	lossy := fmt.Sprintf(`#!/usr/bin/env bash
if [[ " $* " == *" patch configmap "* ]]; then
	touch %[2]q/lost
	echo >&2 "Unable to connect to the server: EOF"
	exit 1
fi
exec %[1]q "$@"
`, kubectl, dir)
	if err := os.WriteFile(filepath.Join(dir, "kubectl"), []byte(lossy), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Create(1)
	s.label()
	script := s.script(name, "LEASE_SECONDS=30", "PATH="+dir+":"+os.Getenv("PATH"))
	uid := string(s.awaitHeld(script).UID)
	s.write(ring.Table{Revision: 1, Rows: []ring.Row{{Name: name, Lease: uid, Slots: ring.AllSlots()}}})
	s.awaitLog(script, "could not write")
	lost, err := os.Stat(filepath.Join(dir, "lost"))
	if err != nil {
		t.Fatal(err)
	}
	s.write(ring.Table{Revision: 2, Rows: []ring.Row{{
		Name: name, Lease: uid, Slots: ring.AllSlots(), Releasing: ring.AllSlots(), Since: 2,
	}}})
	s.awaitHolds(name, ring.Holds{Revision: 2})
	const request = 6 * time.Second // a fifth of the Lease
	if took := time.Since(lost.ModTime()); took < request {
		t.Errorf("the slots were released %s after a request that may take %s", took, request)
	}
}

// write writes a table of the ring.
func (s *scene) write(table ring.Table) {
	s.Helper()
	client, err := versioned.NewForConfig(cluster.Config())
	if err != nil {
		s.Fatal(err)
	}
	rings := client.ShardingV1alpha1().ClusterRings()
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		object, err := rings.Get(s.Context(), stage.Ring, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if table.Ring == "" {
			table.Ring = string(object.UID)
		}
		object.Status.Table = wire.WriteTable(table)
		_, err = rings.UpdateStatus(s.Context(), object, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
}

// awaitHolds returns when the Lease shows what is wanted.
func (s *scene) awaitHolds(name string, want ring.Holds) {
	s.Helper()
	testenv.Poll(s, stage.Timeout, func(ctx context.Context) error {
		lease, err := s.leases().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		got, err := wire.ParseHolds(lease.Annotations[wire.AnnotationHolds])
		if err == nil && got != want {
			err = fmt.Errorf("%s holds %q instead of %q", name, wire.FormatHolds(got), wire.FormatHolds(want))
		}
		return err
	})
}

// label does what the sharder does with new objects.
func (s *scene) label() {
	s.Helper()
	for _, name := range s.names(ring.AllSlots()) {
		s.setLabel(name, fmt.Sprint(slotOf(name)))
	}
}

func (s *scene) setLabel(name, slot string) {
	s.Helper()
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, wire.SlotLabel(stage.Ring), slot)
	_, err := s.Client.CoreV1().ConfigMaps(stage.Namespace).Patch(s.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		s.Fatal(err)
	}
}

// objects returns the objects that pass the filter, in order. kube-root-ca.crt is left out: it is written by Kubernetes, too.
func (s *scene) objects(filter func(name string, object stage.Object) bool) []string {
	s.Helper()
	objects, err := s.Objects(s.Context())
	if err != nil {
		s.Fatal(err)
	}
	delete(objects, "kube-root-ca.crt")
	maps.DeleteFunc(objects, func(name string, object stage.Object) bool { return !filter(name, object) })
	return slices.Sorted(maps.Keys(objects))
}

// names returns the names of the objects with the slots.
func (s *scene) names(slots ring.Slots) []string {
	s.Helper()
	return s.objects(func(name string, _ stage.Object) bool { return slots.Has(slotOf(name)) })
}

// upToDate returns the names of the objects whose checksum is right.
func (s *scene) upToDate() []string {
	s.Helper()
	return s.objects(func(_ string, object stage.Object) bool { return object.UpToDate })
}

// awaitUpToDate returns when the checksums of the objects with the slots are right, and no others.
func (s *scene) awaitUpToDate(slots ring.Slots) {
	s.Helper()
	testenv.Poll(s, stage.Timeout, func(context.Context) error {
		if diff := cmp.Diff(s.names(slots), s.upToDate()); diff != "" {
			return errors.New("checksums that are right (-want +got):\n" + diff)
		}
		return nil
	})
}
