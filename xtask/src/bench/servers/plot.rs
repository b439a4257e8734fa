//! Turns per second against waiters.

use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::{
        BLACK, Cartesian2d, ChartBuilder, ChartContext, Circle, Cross, DrawingArea, IntoDrawingArea,
        IntoLogRange, LineSeries, LogCoord, PathElement, RGBColor, SVGBackend, SeriesLabelPosition, WHITE,
    },
};

use super::{
    figures::{Outcome, Section},
    plan::{Case, WAITERS, contended},
    store::Store,
};
use crate::cargo::Result;

const PANEL: (u32, u32) = (520, 380);
const FONT: &str = "sans-serif";

/// Tells colours apart without red and green (Okabe and Ito).
const FEW: RGBColor = RGBColor(0, 114, 178);
const MANY: RGBColor = RGBColor(230, 159, 0);
const PEERS: [RGBColor; 2] = [RGBColor(90, 90, 90), RGBColor(204, 121, 167)];

/// Two panels a row, one for each environment; the same for the same figures.
pub(super) fn svg(store: &Store, sections: &[Section]) -> Result<String> {
    let columns = sections.len().clamp(1, 2);
    let rows = sections.len().div_ceil(columns).max(1);
    let size = (PANEL.0 * u32::try_from(columns)?, PANEL.1 * u32::try_from(rows)?);
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        root.fill(&WHITE)?;
        for (panel, section) in root.split_evenly((rows, columns)).iter().zip(sections) {
            draw(panel, store, section)?;
        }
        root.present()?;
    }
    Ok(text)
}

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, RangedCoordf64>>;

fn draw(panel: &Panel<'_>, store: &Store, section: &Section) -> Result<()> {
    let few = points(|case| section.ours(case, *case.sessions().first()?));
    let many = points(|case| section.ours(case, *case.sessions().last()?));
    let peers: Vec<Points> =
        store.peers.iter().map(|peer| points(|case| section.peer(case, peer.name))).collect();
    let all = [&few, &many].into_iter().chain(&peers).flatten();
    let top = all.filter_map(|(_, speed)| *speed).fold(1.0, f64::max);
    // The names of the lines are above them.
    let room = 0.3 + 0.1 * store.peers.len() as f64;
    let mut chart = ChartBuilder::on(panel)
        .caption(section.environment.to_string(), (FONT, 22))
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(66)
        .build_cartesian_2d((1.5..14_000.0).log_scale(), 0.0..top * (1.0 + room))?;
    chart
        .configure_mesh()
        .x_desc("waiters")
        .y_desc("turns per second")
        .x_label_formatter(&|waiters| format!("{waiters:.0}"))
        .y_label_formatter(&|speed| format!("{speed:.0}"))
        .light_line_style(WHITE)
        .label_style((FONT, 16))
        .axis_desc_style((FONT, 16))
        .draw()?;
    series(&mut chart, "yourturn, one session", FEW, &few)?;
    series(&mut chart, "yourturn, a session each, at most 64", MANY, &many)?;
    for ((peer, points), color) in store.peers.iter().zip(&peers).zip(PEERS.into_iter().cycle()) {
        let label = format!("{}, {} (×: failed)", peer.name, peer.sessions);
        series(&mut chart, &label, color, points)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font((FONT, 16))
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    Ok(())
}

/// So many waiters, and the speed; none when a run failed.
type Points = Vec<(f64, Option<f64>)>;

fn points(outcome: impl Fn(Case) -> Option<Outcome>) -> Points {
    let point =
        |waiters: &usize| Some((*waiters as f64, outcome(contended(*waiters))?.ok().map(|it| it.ops_per_s)));
    WAITERS.iter().filter_map(point).collect()
}

fn series(chart: &mut Chart<'_, '_>, label: &str, color: RGBColor, points: &Points) -> Result<()> {
    if points.is_empty() {
        return Ok(());
    }
    let there = || points.iter().filter_map(|(waiters, speed)| Some((*waiters, (*speed)?)));
    let key = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color);
    chart.draw_series(LineSeries::new(there(), &color))?.label(label).legend(key);
    chart.draw_series(there().map(|point| Circle::new(point, 3, color)))?;
    let failed = points.iter().filter(|(_, speed)| speed.is_none());
    chart.draw_series(failed.map(|(waiters, _)| Cross::new((*waiters, 0.0), 5, color)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            etcd::ETCD,
            figures::{
                Measures, Program, Run,
                tests::{peer, section},
            },
            zookeeper::ZOOKEEPER,
        },
        *,
    };

    fn sections(store: &Store) -> [Section; 3] {
        let run = |case, program, speed: Option<f64>| {
            let measures = |ops_per_s| Measures { ops_per_s, ..Measures::default() };
            Run { case, program, outcome: speed.map(measures).ok_or_else(|| "no".to_owned()) }
        };
        [(); 3].map(|()| {
            let mut runs = Vec::new();
            for case in WAITERS.map(contended) {
                runs.extend(case.sessions().into_iter().map(|it| run(case, Program::Ours(it), Some(900.0))));
                let theirs = (case.clients < 4_000).then_some(100.0);
                runs.extend(store.peers.iter().map(|it| run(case, peer(it.name), theirs)));
            }
            section(runs)
        })
    }

    #[test]
    fn the_plot_is_text_and_the_same_for_the_same_figures() {
        for (store, peers) in
            [(&ETCD, ["Go, a session each"].as_slice()), (&ZOOKEEPER, &["Curator", "kazoo"])]
        {
            let svg = svg(store, &sections(store)).unwrap();
            assert_eq!(svg, super::svg(store, &sections(store)).unwrap());
            assert!(svg.starts_with("<svg width=\"1040\" height=\"760\""), "{}", svg.get(..200).unwrap());
            let texts: Vec<&str> = svg
                .match_indices("<text")
                .map(|(start, _)| {
                    svg[start..].split("</text>").next().unwrap().split('>').nth(1).unwrap().trim()
                })
                .collect();
            // Each panel has it, as text.
            for text in ["waiters", "turns per second", "one member, tmpfs", "yourturn, one session", "10000"]
            {
                assert_eq!(texts.iter().filter(|it| **it == text).count(), 3, "{text}");
            }
            for peer in peers {
                assert_eq!(texts.iter().filter(|it| it.starts_with(peer)).count(), 3, "{peer}");
            }
            // In each panel, six points of each of ours, and four of each peer's.
            assert_eq!(svg.matches("<circle").count(), 3 * (12 + 4 * peers.len()));
        }
    }

    #[test]
    fn nothing_measured_is_an_empty_plot() {
        assert!(svg(&ETCD, &[]).unwrap().contains("</svg>"));
        assert!(!svg(&ETCD, &[section(Vec::new())]).unwrap().contains("<circle"));
    }
}
