package trial

import "debug/buildinfo"

// revision returns from which state of the repository a program was built, empty if it does not say.
func revision(program string) string {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return ""
	}
	var at, changed string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			at = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = " with changes"
		}
	}
	if at == "" {
		return ""
	}
	return at[:min(12, len(at))] + changed
}
