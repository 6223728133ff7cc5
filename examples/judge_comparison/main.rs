//! The judge beside the rules of other tools, over the same synthetic traffic. Prints Markdown.
//!
//! `cargo run --release --example judge_comparison` runs everything in a few minutes on two cores;
//! `-- grid`, `-- special` or `-- ablation` runs one part, `-- grid 2000 400` with so many days and rollouts a cell.
#![expect(clippy::print_stdout, reason = "the report is what this program is for")]
#![expect(clippy::cast_precision_loss, reason = "counts of a simulation are far below 2^52")]
#![expect(clippy::indexing_slicing, reason = "a wrong index stops the comparison, which is right")]

mod contest;
mod grid;
mod mann_whitney;
mod rules;
mod table;
#[path = "../../tests/judge/world.rs"]
mod world;

use greenshift::judge::Settings;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let part = arguments.first().map_or("all", String::as_str);
    let size = |at: usize, usual: u64| arguments.get(at).and_then(|n| n.parse().ok()).unwrap_or(usual);
    let settings = Settings::default();
    if matches!(part, "all" | "grid") {
        let cells = grid::run(&settings, size(1, 400), size(2, 60));
        grid::print_false_rollbacks(&cells, settings.alpha);
        grid::print_matched(&cells);
        grid::print_limits(&cells);
        grid::print_defaults(&cells, settings.alpha);
        grid::print_losses(&cells, settings.alpha);
        grid::print_anchors(&cells, settings.alpha);
    }
}
