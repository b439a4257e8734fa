//! Who held which line when, and what was broken meanwhile.

use std::time::Duration;

use plotters::{
    prelude::{
        BLACK, ChartBuilder, IntoDrawingArea, PathElement, RGBColor, Rectangle, SVGBackend, Text, WHITE,
    },
    style::{Color, IntoFont},
};

use crate::{judge::Case, judge::story::Turn, record::Wish};

/// What is drawn of a long run.
const WINDOW: Duration = Duration::from_secs(60);

const WIDTH: u32 = 1800;
const ROW: u32 = 22;

/// Tells colours apart without red and green (Okabe and Ito); each client has one.
const CLIENTS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(90, 90, 90),
];

/// Lines as rows, clients as colours, faults above, quiet phases shaded. Of a run that is longer than a minute,
/// a minute around `at`, or else the first one.
pub(super) fn svg(case: &Case<'_>, at: Option<Duration>) -> Result<String, String> {
    draw(case, at).map_err(|error| error.to_string())
}

fn draw(case: &Case<'_>, at: Option<Duration>) -> Result<String, Box<dyn std::error::Error>> {
    let story = case.story;
    let from = at.map_or(story.start, |at| at.saturating_sub(WINDOW / 2).max(story.start));
    let to = (from + WINDOW).min(story.end);
    let x = |at: Duration| at.clamp(from, to).saturating_sub(story.start).as_secs_f64();
    let lines = story.turns.iter().map(|turn| turn.line.0 + 1).max().unwrap_or(1);
    let faults: Vec<_> =
        story.faults.values().filter(|it| it.from < to && it.to.is_none_or(|to| to > from)).collect();
    let rows = lines + faults.len();
    let mut text = String::new();
    {
        let size = (WIDTH, ROW * u32::try_from(rows)? + 90);
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(120)
            .build_cartesian_2d(x(from)..x(to).max(x(from) + 0.1), 0.0..rows as f64)?;
        for (calm, storm) in story.calms.iter().filter(|(calm, storm)| *calm < to && *storm > from) {
            let area = [(x(*calm), 0.0), (x(*storm), rows as f64)];
            chart.draw_series([Rectangle::new(area, RGBColor(240, 240, 240).filled())])?;
        }
        chart
            .configure_mesh()
            .disable_y_mesh()
            .x_desc("seconds")
            .y_labels(0)
            .label_style(("sans-serif", 14))
            .draw()?;
        let label = ("sans-serif", 12).into_font();
        for line in 0..lines {
            let name = crate::record::Line(line).to_string();
            let row = line as f64;
            chart.draw_series([PathElement::new([(x(from), row), (x(to), row)], RGBColor(225, 225, 225))])?;
            chart.plotting_area().draw(&Text::new(
                name,
                (x(from), row + 0.9),
                label.color(&RGBColor(120, 120, 120)),
            ))?;
        }
        let held = story.turns.iter().filter(|turn| turn.was_held() && granted_at(turn) < to);
        for turn in held {
            let until = turn.believed_until(&story.lives).unwrap_or(story.end);
            if until < from {
                continue;
            }
            let row = turn.line.0 as f64;
            // Who holds alone takes all of the row.
            let height = if turn.wish == Wish::Exclusive { 0.15..0.85 } else { 0.35..0.65 };
            let area = [(x(granted_at(turn)), row + height.start), (x(until), row + height.end)];
            let color = CLIENTS.get(turn.client.number % CLIENTS.len()).copied().unwrap_or(BLACK);
            chart.draw_series([Rectangle::new(area, color.mix(0.8).filled())])?;
        }
        for (number, fault) in faults.iter().enumerate() {
            let row = (lines + number) as f64;
            let area = [(x(fault.from), row + 0.3), (x(fault.to.unwrap_or(fault.from)), row + 0.7)];
            chart.draw_series([Rectangle::new(area, RGBColor(213, 94, 0).filled())])?;
            let name = format!("{} {}", fault.kind, fault.target);
            chart.plotting_area().draw(&Text::new(name, (x(fault.from), row + 0.95), label.color(&BLACK)))?;
        }
        if let Some(at) = at {
            chart
                .draw_series([PathElement::new([(x(at), 0.0), (x(at), rows as f64)], RGBColor(255, 0, 0))])?;
        }
        root.present()?;
    }
    Ok(text)
}

fn granted_at(turn: &Turn) -> Duration {
    turn.granted.as_ref().map_or(Duration::ZERO, |granted| granted.at)
}
