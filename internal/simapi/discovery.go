package simapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
)

// verbs returns what can be done with the resource.
func (r Resource) verbs() []string {
	verbs := []string{"create", "delete", "get", "list", "patch", "update", "watch"}
	if r.GroupResource() != namespaces {
		verbs = append(verbs, "deletecollection")
	}
	return verbs
}

// aside answers requests that are not about resources in the storage: the version, what is served, and what the client may
// do, which is everything.
func (s *Server) aside(method string, parts []string, body []byte) (answer, bool) {
	if method == http.MethodPost && strings.Join(parts, "/") == "apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
		review := &authorizationv1.SelfSubjectAccessReview{}
		if err := json.Unmarshal(body, review); err != nil {
			return answer{}, false
		}
		review.APIVersion, review.Kind = authorizationv1.SchemeGroupVersion.String(), "SelfSubjectAccessReview"
		review.Status.Allowed = true
		return encode(http.StatusCreated, review), true
	}
	if method != http.MethodGet {
		return answer{}, false
	}
	switch {
	case len(parts) == 1 && parts[0] == "version":
		return encode(http.StatusOK, version.Info{Major: "1", Minor: "37", GitVersion: "v1.37.1-simapi"}), true
	case len(parts) == 1 && (parts[0] == "readyz" || parts[0] == "livez" || parts[0] == "healthz"):
		return answer{code: http.StatusOK, text: true, data: []byte("ok")}, true
	case len(parts) == 2 && parts[0] == "apis":
		return s.group(parts[1])
	case len(parts) == 2 && parts[0] == "api":
		return s.served("", parts[1])
	case len(parts) == 3 && parts[0] == "apis":
		return s.served(parts[1], parts[2])
	}
	return answer{}, false
}

func (s *Server) group(name string) (answer, bool) {
	group := metav1.APIGroup{TypeMeta: metav1.TypeMeta{Kind: "APIGroup", APIVersion: "v1"}, Name: name}
	for _, r := range s.cfg.Resources {
		v := metav1.GroupVersionForDiscovery{GroupVersion: r.GroupVersion().String(), Version: r.Version}
		if r.Group == name && !slices.Contains(group.Versions, v) {
			group.Versions = append(group.Versions, v)
		}
	}
	if name == "" || len(group.Versions) == 0 {
		return answer{}, false
	}
	group.PreferredVersion = group.Versions[0]
	return encode(http.StatusOK, group), true
}

func (s *Server) served(group, version string) (answer, bool) {
	list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}}
	for _, r := range s.cfg.Resources {
		if r.Group != group || r.Version != version {
			continue
		}
		list.GroupVersion = r.GroupVersion().String()
		list.APIResources = append(list.APIResources, metav1.APIResource{
			Name: r.Resource, SingularName: strings.ToLower(r.Kind), Namespaced: r.Namespaced, Kind: r.Kind, Verbs: r.verbs(),
		})
		if r.Status {
			list.APIResources = append(list.APIResources, metav1.APIResource{
				Name: r.Resource + "/status", Namespaced: r.Namespaced, Kind: r.Kind, Verbs: metav1.Verbs{"get", "patch", "update"},
			})
		}
	}
	return encode(http.StatusOK, list), len(list.APIResources) > 0
}
