//! The drain as a picture: one bar per connection, from the cause to the end of the run.
//!
//! The register has noted a [`Span`] for each connection that ended after the cause. Drawing sorts
//! them, folds similar ones into one bar that tells how many it stands for, and writes SVG.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Report;
use super::svg::{CUT_OFF, INK, line, rect, text};
use crate::register::{Counts, Span};
use crate::words::Seconds;

/// How many bars are drawn.
const MOST_BARS: usize = 100;

/// Into how many steps the time is divided when connections that end within one are folded into a
/// bar: not at all, or as many as it takes to have few bars.
const FOLDS: [Option<f64>; 6] = [None, Some(100.0), Some(40.0), Some(15.0), Some(5.0), Some(1.0)];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Idle,
    InFlight,
    Later,
}

impl Kind {
    fn of(span: &Span) -> Kind {
        match span.at_cause {
            None => Kind::Later,
            Some(state) if state.is_in_flight() => Kind::InFlight,
            Some(_) => Kind::Idle,
        }
    }

    const ALL: [Kind; 3] = [Kind::Idle, Kind::InFlight, Kind::Later];

    fn words(self) -> &'static str {
        match self {
            Kind::Idle => "idle",
            Kind::InFlight => "in flight",
            Kind::Later => "accepted later",
        }
    }

    fn colour(self) -> &'static str {
        match self {
            Kind::Idle => "#aab4c2",
            Kind::InFlight => "#2b6cb0",
            Kind::Later => "#2f9e8f",
        }
    }
}

/// Spans that are drawn as one. Times are seconds from the cause.
#[derive(Debug)]
struct Bar {
    kind: Kind,
    label: String,
    from: f64,
    to: f64,
    cut_off: bool,
}

/// Where the bars begin and end, and the column of their labels.
const PLOT: (f64, f64) = (20.0, 690.0);
const LABELS: f64 = 704.0;
const WIDTH: f64 = 1000.0;
const TOP: f64 = 86.0;

impl Report {
    /// Draws the time from the cause to the end, as an SVG: a bar for each connection that was open
    /// after the cause, or for many alike.
    pub fn timeline(&self) -> String {
        let total = |one: fn(&Counts) -> u64| -> u64 {
            self.services.iter().map(|service| one(&service.counts)).sum()
        };
        let drained = total(|counts| counts.drained);
        let closed_idle = total(|counts| counts.closed_idle);
        let cut_off = total(|counts| counts.cut_off);
        let title = format!(
            "shut down by {} in {}: {drained} drained, {closed_idle} closed idle, {cut_off} cut off",
            self.cause,
            Seconds(self.took)
        );
        let began = self.ending.began();
        let deadline = self.ending.deadline().map(|at| at - began);
        Timeline { report: self, began, deadline }.draw(&title)
    }
}

/// A report on its way to the picture.
struct Timeline<'a> {
    report: &'a Report,
    began: Instant,
    /// From the cause.
    deadline: Option<Duration>,
}

impl Timeline<'_> {
    /// Draws the picture as SVG.
    fn draw(&self, title: &str) -> String {
        let services = self.bars();
        let count: usize = services.iter().map(Vec::len).sum();
        let row = (900.0 / count.max(1) as f64).clamp(9.0, 16.0);
        let mut bars = String::new();
        let mut y = TOP;
        for (service, drawn) in self.report.services.iter().zip(services) {
            let stage = match self.stages() {
                1 => String::new(),
                _ => format!(", stage {}", service.stage + 1),
            };
            let more = match service.spans.left_out() {
                0 => String::new(),
                more => format!(", and {more} that were not noted"),
            };
            let count = service.spans.noted().len();
            let headline = format!("{}{stage}: {count} connections{more}", service.name);
            bars += &text(LABELS, y + 12.0, 12.0, INK, &headline);
            y += 18.0;
            for bar in &drawn {
                bars += &self.bar(bar, y, row);
                y += row;
            }
            y += 10.0;
        }
        let height = y + 30.0;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
             font-family=\"sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             {}{}{}{bars}</svg>\n",
            text(PLOT.0, 24.0, 15.0, INK, title),
            legend(),
            self.axis(y),
        )
    }

    /// The bars of each service, as many as can be told apart.
    fn bars(&self) -> Vec<Vec<Bar>> {
        let folded = |fold: Option<f64>| -> Vec<Vec<Bar>> {
            let services = self.report.services.iter();
            services.map(|service| self.bars_of(service.spans.noted(), fold)).collect()
        };
        let few = |bars: &Vec<Vec<Bar>>| bars.iter().map(Vec::len).sum::<usize>() <= MOST_BARS;
        let coarsest = FOLDS[FOLDS.len() - 1];
        FOLDS.into_iter().map(folded).find(few).unwrap_or_else(|| folded(coarsest))
    }

    fn bars_of(&self, spans: &[Span], fold: Option<f64>) -> Vec<Bar> {
        let mut alike: BTreeMap<_, Vec<&Span>> = BTreeMap::new();
        for (number, span) in spans.iter().enumerate() {
            let end = self.since_cause(span.ended);
            // Microseconds are finer than the eye; the number keeps apart what is not folded.
            let step = fold.map_or(end * 1e6, |steps| (end / self.length() * steps).ceil());
            let number = if fold.is_none() { number } else { 0 };
            let key = (Kind::of(span), span.cut_off, step as u64, number);
            alike.entry(key).or_default().push(span);
        }
        let mut bars: Vec<Bar> = alike.values().map(|spans| self.one_bar(spans)).collect();
        bars.sort_by(|one, other| one.to.total_cmp(&other.to));
        bars
    }

    fn one_bar(&self, spans: &[&Span]) -> Bar {
        let first = spans[0];
        let (kind, cut_off) = (Kind::of(first), first.cut_off);
        let from = spans.iter().map(|span| self.since_cause(span.accepted));
        let to = spans.iter().map(|span| self.since_cause(span.ended));
        let mut label = match spans {
            [span] => format!(
                "{} {}",
                span.peer,
                span.at_cause.map_or("later".into(), |state| state.to_string())
            ),
            _ => format!("{} {}", spans.len(), kind.words()),
        };
        if cut_off {
            label += ", cut off";
        }
        if let [Span { request, .. }] = spans {
            if !request.is_empty() {
                label += &format!(", {request:.40}");
            }
        }
        let (from, to) = (from.fold(f64::MAX, f64::min), to.fold(0.0, f64::max));
        Bar { kind, label, from, to, cut_off }
    }

    fn bar(&self, bar: &Bar, y: f64, row: f64) -> String {
        let (from, to) = (self.x(bar.from), self.x(bar.to));
        let (width, height) = ((to - from).max(1.0), row - 2.0);
        let colour = bar.kind.colour();
        let mut svg = rect((from, y), (width, height), colour);
        if bar.cut_off {
            svg += &rect((to - 3.0, y), (6.0, height), CUT_OFF);
        }
        let ink = if bar.cut_off { CUT_OFF } else { INK };
        svg + &text(LABELS, y + height - 0.5, (row - 1.0).min(11.0), ink, &bar.label)
    }

    /// The instants that matter, as lines from top to bottom, and the time below them.
    fn axis(&self, bottom: f64) -> String {
        let mut svg = String::new();
        let step = tick(self.length());
        let ticks = (0..).map(|number| f64::from(number) * step);
        for at in ticks.take_while(|at| *at <= self.length()) {
            svg += &line(self.x(at), (TOP, bottom), "#e2e8f0", "");
            let time = Seconds(Duration::from_secs_f64(at)).to_string();
            svg += &text(self.x(at), bottom + 16.0, 11.0, INK, &time);
        }
        let mut instant = |at: Duration, row: f64, colour: &str, dashes: &str, name: &str| {
            let (x, y) = (self.x(at.as_secs_f64()), TOP - 30.0 + 12.0 * row);
            svg += &line(x, (y, bottom), colour, dashes);
            svg += &text(x + 3.0, y + 9.0, 11.0, colour, name);
        };
        instant(Duration::ZERO, 0.0, INK, "", "cause");
        let took = self.report.took;
        let lame_duck = self.report.ending.lame_duck();
        if !lame_duck.is_zero() {
            instant(lame_duck.min(took), 1.0, INK, "4 3", "end of the lame duck");
        }
        for stage in 1..self.stages() {
            let mut services = self.report.services.iter().filter(|of| of.stage == stage);
            if let Some(told) = services.find_map(|service| service.told) {
                instant(told, 1.0, INK, "4 3", &format!("stage {}", stage + 1));
            }
        }
        instant(took, 1.0, INK, "4 3", &format!("end, {}", Seconds(took)));
        match self.deadline {
            Some(at) if at.as_secs_f64() <= self.length() => {
                instant(at, 0.0, CUT_OFF, "6 3", "deadline");
            }
            Some(at) => {
                let later = format!("deadline {} →", Seconds(at));
                svg += &text(LABELS, TOP - 21.0, 11.0, CUT_OFF, &later);
            }
            None => {}
        }
        svg
    }

    fn stages(&self) -> usize {
        self.report.services.iter().map(|service| service.stage + 1).max().unwrap_or(1)
    }

    /// How much time is drawn, in seconds: up to the end, and to the deadline if that is near.
    fn length(&self) -> f64 {
        let took = self.report.took.as_secs_f64().max(0.001);
        let deadline = self.deadline.map_or(0.0, |deadline| deadline.as_secs_f64());
        if deadline <= 1.5 * took { took.max(deadline) } else { took }
    }

    /// A twelfth of the width is for the time before the cause.
    fn x(&self, seconds: f64) -> f64 {
        let before = self.length() / 11.0;
        let part = (seconds + before) / (self.length() + before);
        PLOT.0 + part.clamp(0.0, 1.0) * (PLOT.1 - PLOT.0)
    }

    /// Seconds, negative before the cause.
    fn since_cause(&self, at: Instant) -> f64 {
        match at.checked_duration_since(self.began) {
            Some(later) => later.as_secs_f64(),
            None => -self.began.duration_since(at).as_secs_f64(),
        }
    }
}

/// A round number of seconds, of which four to ten make up the length.
fn tick(length: f64) -> f64 {
    let power = 10f64.powf((length / 4.0).log10().floor());
    [5.0, 2.0, 1.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|step| length / step >= 4.0)
        .unwrap_or(power)
}

fn legend() -> String {
    let kinds = Kind::ALL.map(|kind| (kind.colour(), kind.words()));
    let entries = kinds.into_iter().chain([(CUT_OFF, "cut off")]).enumerate();
    let entry = |(number, (colour, words))| {
        let x = PLOT.0 + 120.0 * number as f64;
        rect((x, 34.0), (12.0, 10.0), colour) + &text(x + 17.0, 43.0, 11.0, INK, words)
    };
    entries.map(entry).collect()
}
