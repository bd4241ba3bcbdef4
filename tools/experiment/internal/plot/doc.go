// Package plot draws the charts of the reports: lines over time with limits and events, values over a number of instances with
// their spread, and stacked bars. A chart is plain data and looks the same as SVG and as PNG.
//
// The colours can be told apart by people who do not see all of them; the second round through them is dashed.
package plot
