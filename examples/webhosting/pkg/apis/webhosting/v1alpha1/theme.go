package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// +genclient
// +genclient:nonNamespaced
// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object
// +kubebuilder:resource:scope=Cluster
// +kubebuilder:printcolumn:name="Color",type=string,JSONPath=`.spec.color`
// +kubebuilder:printcolumn:name="Font",type=string,JSONPath=`.spec.fontFamily`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`

// Theme says what all Websites that use it look like.
type Theme struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ThemeSpec `json:"spec"`
}

// ThemeSpec is a look. Its values become part of a style sheet, hence what they may hold.
type ThemeSpec struct {
	// Color is a color in CSS, by its name or as #rrggbb.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([a-z]+|#[0-9a-fA-F]{6})$`
	Color string `json:"color"`

	// FontFamily is a font or a list of them in CSS, for example Helvetica, sans-serif.
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z][-A-Za-z0-9 ,]*$`
	FontFamily string `json:"fontFamily"`
}

// +k8s:deepcopy-gen:interfaces=k8s.io/apimachinery/pkg/runtime.Object

// ThemeList is a list of Themes.
type ThemeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Theme `json:"items"`
}
