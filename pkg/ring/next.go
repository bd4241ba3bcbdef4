package ring

// Next returns the table that the leader writes after t, and whether it differs from t. t is the zero value if there is none.
func Next(t Table, v View) (Table, bool) { return t, false }
