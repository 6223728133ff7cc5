//! Tells one story, from its first lines to what came of it.

use std::time::Duration;

use super::log::{self, Entry};
use super::numbers;
use super::stage::Living;
use super::view::{self, Frame};
use crate::api::model::RolloutView;
use crate::cli::{output, words};
use crate::client::{Applied, Client, ClientError, Document};
use crate::domain::phase::Phase;
use crate::domain::time::{Span, since};
use crate::simulation::{Felt, Scenario};

/// Time between two looks: ten pictures a second.
const LOOK: Duration = Duration::from_millis(100);

/// Events that are asked for at a time.
const PAGE: u32 = 500;

/// A story that takes longer than this, in simulated time, has gone wrong.
const LIFE: Span = Span::from_hours(8);

/// Columns where there is no terminal to tell them.
const PLAIN_WIDTH: usize = 110;

/// Tells the story; whether it ended as it should.
pub(super) async fn story(story: &Scenario, frame: &Frame, living: &Living, name: &str) -> anyhow::Result<bool> {
    let mut screen = Screen::new();
    screen.stay(intro(story, frame, screen.width));
    let client = Client::new(&frame.address, Some("demo"))?;
    let document = story.document();
    let (Applied::Created(mut rollout) | Applied::Unchanged(mut rollout)) =
        client.create(&Document { text: &document }).await?;
    let mut told = 0;
    loop {
        let over = is_over(&rollout) || since(living.now(), frame.start) > LIFE;
        let news = news(living, &client, &rollout, &mut told).await?;
        screen.stay(news.iter().flat_map(|entry| entry.lines(frame.start, screen.width)).collect());
        if over {
            break;
        }
        screen.show(|| view::lines(frame, &rollout, &living.felt(), living.now()));
        tokio::time::sleep(LOOK).await;
        *rollout = client.get(name).await?;
    }
    screen.last(|| view::lines(frame, &rollout, &living.felt(), living.now()));
    let lasted = since(rollout.updated_at, frame.start);
    screen.stay(last_words(story, &rollout, &living.felt(), lasted, screen.width));
    Ok(rollout.phase == story.ends)
}

/// Whether nothing more will happen without a person.
const fn is_over(rollout: &RolloutView) -> bool {
    match rollout.phase {
        Phase::RolledBack
        | Phase::Completed
        | Phase::Aborted
        | Phase::Halted
        | Phase::Paused
        | Phase::AwaitingApproval => true,
        Phase::Pending | Phase::Preflight | Phase::Progressing | Phase::Baking | Phase::RollingBack => false,
    }
}

/// What happened up to the revision that was seen, in the order in which it happened.
async fn news(
    living: &Living,
    client: &Client,
    rollout: &RolloutView,
    told: &mut u64,
) -> Result<Vec<Entry>, ClientError> {
    // First the world: what it does is seen in the journal only later.
    let mut news: Vec<Entry> =
        living.take_happened().into_iter().map(|(at, change)| Entry::of_world(at, change)).collect();
    while *told < rollout.revision {
        let page = client.events(&rollout.name, *told, PAGE).await?;
        if page.items.is_empty() {
            break;
        }
        news.extend(page.items.iter().filter_map(Entry::of_event));
        *told = page.next_after;
    }
    news.sort_by_key(|entry| entry.at);
    Ok(news)
}

fn intro(story: &Scenario, frame: &Frame, width: usize) -> Vec<String> {
    let mut lines = vec![format!("{}  {}", output::bold(story.name), story.title), String::new()];
    lines.extend(log::wrap(story.story, width.saturating_sub(4)).into_iter().map(|line| format!("  {line}")));
    lines.push(String::new());
    let look = format!("greenshift get --server {} {}", frame.address, story.name);
    lines.push(format!("  {}", output::dim(format!("{} times as fast as real time; meanwhile: {look}", frame.speed))));
    lines.push(String::new());
    lines
}

#[expect(clippy::cast_precision_loss, reason = "a simulated world serves far fewer than 2^53 requests")]
fn last_words(story: &Scenario, rollout: &RolloutView, felt: &Felt, lasted: Span, width: usize) -> Vec<String> {
    let phase = output::phase(rollout.phase);
    let cause = rollout.cause.as_ref().map_or("no cause was recorded", |cause| cause.detail.as_str());
    let end = if rollout.phase == story.ends {
        format!("{phase}: {}", story.moral)
    } else {
        format!("{phase}, but the story should have ended {}: {cause}", story.ends)
    };
    let hurt = if felt.is_chance() {
        "no more than blue alone would have".to_owned()
    } else {
        format!("about {} more than blue alone would have", numbers::count(felt.hurt()))
    };
    let served = format!(
        "{} requests in {} of simulated time, {} to green; {} failed, {hurt}.",
        numbers::count(felt.requests as f64),
        words::length(lasted),
        numbers::count(felt.green_requests as f64),
        numbers::count(felt.failed as f64),
    );
    let mut lines = vec![String::new()];
    for text in [end, served, format!("Next: {}", story.next)] {
        lines.extend(log::wrap(&text, width.saturating_sub(4)).into_iter().map(|line| format!("  {line}")));
    }
    lines
}

/// The terminal, or whatever takes its place.
struct Screen {
    width: usize,
    drawing: Option<output::Drawing>,
    pending: Vec<String>,
}

impl Screen {
    fn new() -> Self {
        let drawing = output::can_draw().then(output::Drawing::default);
        let width = if drawing.is_some() { output::width() } else { PLAIN_WIDTH };
        Self { width, drawing, pending: Vec::new() }
    }

    /// Lines that stay: at once, or above the block when it is drawn next.
    fn stay(&mut self, lines: Vec<String>) {
        match self.drawing {
            Some(_) => self.pending.extend(lines),
            None => lines.into_iter().for_each(output::data),
        }
    }

    /// Draws the block in its place, where there is a terminal.
    fn show(&mut self, lines: impl FnOnce() -> Vec<String>) {
        if let Some(drawing) = &mut self.drawing {
            self.width = output::width();
            let cut = |lines: Vec<String>| -> Vec<String> {
                lines.iter().map(|line| output::cut(line, self.width)).collect()
            };
            drawing.draw_below(&cut(std::mem::take(&mut self.pending)), &cut(lines()));
        }
    }

    /// Draws the block for the last time; what follows stands below it.
    fn last(&mut self, lines: impl FnOnce() -> Vec<String>) {
        self.show(lines);
        self.drawing = None;
    }
}
