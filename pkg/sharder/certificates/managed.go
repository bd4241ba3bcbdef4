package certificates

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	corev1informers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

// Config configures a Managed source.
type Config struct {
	Client kubernetes.Interface
	// Namespace and Name are the Secret's.
	Namespace, Name string
	// Hosts are the DNS names and IP addresses that the certificate is for.
	Hosts []string
	// CALifetime is how long a CA is valid, default one year, and Lifetime how long a serving certificate is, default 30
	// days. Both are replaced after two thirds of it.
	CALifetime, Lifetime time.Duration
	// Overlap is how long an old and a new CA are trusted together before, and after, the certificate is replaced.
	// Default 10 min.
	Overlap time.Duration
	// Recorder takes events about the Secret. Required.
	Recorder events.EventRecorder
	// Clock is the real one by default.
	Clock clock.WithTicker
}

// Managed is a Source with a CA of its own, kept in a Secret. Any number of replicas can share the Secret: each does what
// is due when it is due, and who comes second finds it done.
type Managed struct {
	current
	cfg      Config
	informer cache.SharedIndexInformer
	wake     chan struct{}

	// The rest belongs to Run.

	// last is the last good state seen or written.
	last state
	// firstSeen tells when this process saw a certificate for the first time.
	firstSeen map[string]time.Time
}

const (
	retryInterval = 2 * time.Second
	// lookInterval is the longest time between two looks at what is due. Timers stand still while a machine sleeps.
	lookInterval = time.Hour
)

// NewManaged returns a Source that has no certificate until Run has read or made one.
func NewManaged(cfg Config) (*Managed, error) {
	if cfg.Client == nil || cfg.Namespace == "" || cfg.Name == "" || len(cfg.Hosts) == 0 || cfg.Recorder == nil {
		return nil, errors.New("certificates: Client, Namespace, Name, Hosts and Recorder are required")
	}
	if cfg.CALifetime <= 0 {
		cfg.CALifetime = 365 * 24 * time.Hour
	}
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = 30 * 24 * time.Hour
	}
	if cfg.Overlap <= 0 {
		cfg.Overlap = 10 * time.Minute
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	m := &Managed{cfg: cfg, wake: make(chan struct{}, 1), firstSeen: map[string]time.Time{}}
	m.informer = corev1informers.NewFilteredSecretInformer(cfg.Client, cfg.Namespace, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, cfg.Name).String()
	})
	kick := func(any) {
		select {
		case m.wake <- struct{}{}:
		default:
		}
	}
	_, err := m.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: kick, UpdateFunc: func(_, o any) { kick(o) }, DeleteFunc: kick,
	})
	return m, err
}

// Run reads the Secret, makes what is missing in it or due, and follows its changes until the context ends.
func (m *Managed) Run(ctx context.Context) error {
	stopped := make(chan struct{})
	go func() { m.informer.RunWithContext(ctx); close(stopped) }()
	defer func() { <-stopped }()
	if !cache.WaitForCacheSync(ctx.Done(), m.informer.HasSynced) {
		return nil
	}
	for {
		again, err := m.sync(ctx)
		wait := min(max(again.Sub(m.cfg.Clock.Now()), 0), lookInterval)
		switch {
		case ctx.Err() != nil:
			return nil
		case apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err):
			klog.FromContext(ctx).V(2).Info("Another replica was faster to write the certificates", "secret", m.ref())
			wait = retryInterval // or as soon as its write arrives
		case err != nil:
			klog.FromContext(ctx).Error(err, "Certificates could not be brought up to date", "secret", m.ref(), "retryAfter", retryInterval)
			wait = retryInterval
		}
		timer := m.cfg.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C():
		case <-m.wake:
			timer.Stop()
		}
	}
}

// sync brings the Secret up to date and serves what is in it. It returns when to look again at the latest.
func (m *Managed) sync(ctx context.Context) (time.Time, error) {
	secret, found, restored, err := m.read(ctx)
	if err != nil {
		return time.Time{}, err
	}
	now := m.cfg.Clock.Now()
	m.see(found, now)
	next, changed, again, err := plan(found, now, policy{
		hosts: m.cfg.Hosts, caLifetime: m.cfg.CALifetime, lifetime: m.cfg.Lifetime, overlap: m.cfg.Overlap,
		forceNewCA: restored,
		firstSeenAt: func(id string) time.Time {
			if at, ok := m.firstSeen[id]; ok {
				return at
			}
			return now
		},
	})
	if err != nil {
		return time.Time{}, err
	}
	if changed {
		if err := m.write(ctx, secret, next); err != nil {
			// What was there before is still good, unless this replica has never had anything.
			return time.Time{}, fmt.Errorf("write secret %s: %w", m.ref(), err)
		}
		klog.FromContext(ctx).Info("Certificates written", "secret", m.ref(), "cas", len(next.cas),
			"serving", next.serving.certificate.SerialNumber, "notAfter", next.serving.certificate.NotAfter)
	}
	m.see(next, now)
	m.serve(next)
	return again, nil
}

// read returns the Secret, nil if there is none, and the state to go on from. restored says that this is not what the Secret
// holds but what this process last saw in it.
func (m *Managed) read(ctx context.Context) (secret *corev1.Secret, s state, restored bool, err error) {
	object, exists, err := m.informer.GetIndexer().GetByKey(m.cfg.Namespace + "/" + m.cfg.Name)
	if err != nil {
		return nil, state{}, false, err
	}
	if exists {
		secret = object.(*corev1.Secret)
		if s, err = parseState(secret.Data); err == nil {
			return secret, s, false, nil
		}
		klog.FromContext(ctx).Error(err, "The Secret does not hold what the sharder wrote, it gets new certificates", "secret", m.ref())
		m.cfg.Recorder.Eventf(secret, nil, corev1.EventTypeWarning, "InvalidCertificates", "Renew",
			"The Secret does not hold what the sharder wrote (%v): it gets new certificates", err)
	}
	// Deleting the Secret is how a person asks for a new CA. The old one stays trusted in the meantime.
	if len(m.last.cas) > 0 {
		return secret, m.last, true, nil
	}
	return secret, s, false, nil
}

// write creates or updates the Secret, if nobody has since it was read.
func (m *Managed) write(ctx context.Context, secret *corev1.Secret, s state) (err error) {
	secrets := m.cfg.Client.CoreV1().Secrets(m.cfg.Namespace)
	if secret == nil {
		secret = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: m.cfg.Namespace, Name: m.cfg.Name}, Type: corev1.SecretTypeOpaque}
		if secret.Data, err = s.encode(nil); err == nil {
			_, err = secrets.Create(ctx, secret, metav1.CreateOptions{})
		}
		return err
	}
	secret = secret.DeepCopy()
	if secret.Data, err = s.encode(secret.Data); err == nil {
		_, err = secrets.Update(ctx, secret, metav1.UpdateOptions{})
	}
	return err
}

// see records when certificates were seen for the first time, and forgets those that are gone.
func (m *Managed) see(s state, now time.Time) {
	seen := map[string]time.Time{}
	for _, id := range s.ids() {
		seen[id] = now
		if at, ok := m.firstSeen[id]; ok {
			seen[id] = at
		}
	}
	m.firstSeen = seen
}

// serve hands out the state's certificate and bundle from now on.
func (m *Managed) serve(s state) {
	m.last = s
	bundle := encodeCertificates(s.cas...)
	if old := m.served.Load(); old != nil && bytes.Equal(old.bundle, bundle) && old.certificate.Leaf.Equal(s.serving.certificate) {
		return
	}
	m.served.Store(&served{certificate: s.serving.tls(), bundle: bundle})
}

func (m *Managed) ref() klog.ObjectRef { return klog.KRef(m.cfg.Namespace, m.cfg.Name) }
