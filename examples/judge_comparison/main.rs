//! The judge beside the rules of other tools, over the same synthetic traffic. Prints Markdown.
//!
//! `cargo run --release --example judge_comparison` runs everything in a few minutes on two cores;
//! `-- grid`, `-- special` or `-- ablation` runs one part, `-- grid 2000 400` with so many days and rollouts a cell.
#![expect(clippy::print_stdout, reason = "the report is what this program is for")]
#![expect(clippy::cast_precision_loss, reason = "counts of a simulation are far below 2^52")]
#![expect(clippy::many_single_char_names, reason = "the names of the formulas")]
#![expect(clippy::indexing_slicing, reason = "a wrong index stops the comparison, which is right")]

mod contest;
mod grid;
mod mann_whitney;
mod rules;
mod special;
mod table;
mod variants;
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
    if matches!(part, "all" | "special") {
        special::print_bursts(size(1, 200), size(2, 40));
        special::print_outages(size(1, 200));
        special::print_conditions(size(2, 100));
        special::print_kayenta(size(2, 40));
    }
    if matches!(part, "all" | "prompt") {
        println!("### The variant `prompt`: same guarantee, more on small faults and on the start\n");
        let prompt = Settings::default().prompt();
        let cells = grid::run(&prompt, size(1, 200), size(2, 60));
        grid::print_limits(&cells);
        grid::print_own_false_rollbacks(&cells);
    }
    if matches!(part, "all" | "ablation") {
        variants::print("What is lost without each part", &variants::ablation(), size(1, 100), size(2, 60));
    }
    if part == "candidates" {
        variants::print("Candidates", &variants::candidates(), size(1, 100), size(2, 60));
    }
}
