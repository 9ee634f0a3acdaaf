//! The few shapes of SVG that the timeline is made of.

use crate::words::printable;

pub(super) const CUT_OFF: &str = "#c53030";
pub(super) const INK: &str = "#1a202c";

pub(super) fn rect((x, y): (f64, f64), (width, height): (f64, f64), colour: &str) -> String {
    format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>\n"
    )
}

/// A line from top to bottom.
pub(super) fn line(x: f64, (top, bottom): (f64, f64), colour: &str, dashes: &str) -> String {
    format!(
        "<path d=\"M{x:.1} {top:.1}V{bottom:.1}\" stroke=\"{colour}\" stroke-dasharray=\"{dashes}\"/>\n"
    )
}

/// A line of words, which may hold anything.
pub(super) fn text(x: f64, y: f64, size: f64, colour: &str, words: &str) -> String {
    // XML cannot write every character (XML 1.0, 2.2), and a service's name may hold any.
    let words = printable(words).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size:.0}\" fill=\"{colour}\">{words}</text>\n"
    )
}
