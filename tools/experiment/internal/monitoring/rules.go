package monitoring

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// ParseRules parses a file of rules and checks it, templates included, as promtool does.
func ParseRules(text []byte) (*rulefmt.RuleGroups, error) {
	groups, errs := rulefmt.Parse(text, false, model.LegacyValidation, newParser(), slog.New(slog.DiscardHandler))
	return groups, errors.Join(errs...)
}

// Sources returns what the expression of an alert looks at: both sides of and, or, unless and of comparisons, without what they
// are compared with, and what absent asks for. All of that must give something, also while there is nothing to be alarmed
// about.
func Sources(alert string) ([]string, error) {
	parsed, err := newParser().ParseExpr(alert)
	if err != nil {
		return nil, fmt.Errorf("parse %q: %w", alert, err)
	}
	var sources []string
	var add func(parser.Expr)
	add = func(e parser.Expr) {
		switch e := e.(type) {
		case *parser.ParenExpr:
			add(e.Expr)
		case *parser.NumberLiteral:
		case *parser.BinaryExpr:
			switch {
			case e.Op.IsComparisonOperator() || e.Op.IsSetOperator():
				add(e.LHS)
				add(e.RHS)
			case !isNumber(e):
				sources = append(sources, e.String())
			}
		case *parser.Call:
			if e.Func.Name == "absent" {
				add(e.Args[0])
				return
			}
			sources = append(sources, e.String())
		default:
			sources = append(sources, e.String())
		}
	}
	add(parsed)
	return sources, nil
}

// isNumber tells whether there are only numbers in the expression.
func isNumber(e parser.Expr) bool {
	switch e := e.(type) {
	case *parser.NumberLiteral:
		return true
	case *parser.ParenExpr:
		return isNumber(e.Expr)
	case *parser.BinaryExpr:
		return isNumber(e.LHS) && isNumber(e.RHS)
	default:
		return false
	}
}

func newParser() parser.Parser { return parser.NewParser(parser.Options{}) }
