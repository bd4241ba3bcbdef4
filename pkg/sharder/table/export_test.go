package table

// Unanswered returns how many tables the Controller keeps because a write of them had no answer.
func (c *Controller) Unanswered(ring string) int { return len(c.rings[ring].sent) }
