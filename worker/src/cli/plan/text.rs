//! The text of a plan for people: a block for each schedule.

use almanac_base::names::Project;
use almanac_core::plan::{Block, BlockKind, Difference, FieldText, FieldValue, PlanText, Sign};
use almanac_core::record::Held;

use super::Outcome;
use super::fire_time_lines::lines;
use crate::console::{Cell, Page, Tone};
use crate::fire_times::TimesChange;
use crate::wording::{next_command, project_flag};

/// Maximum number of schedules whose fields are shown to people. Of the others, only the
/// headings are.
pub(super) const BLOCKS_SHOWN: usize = 100;

/// The plan for people.
pub(super) fn text(outcome: &Outcome, project: &Project) -> Page {
    let PlanText { blocks, summary } = outcome.plan.text();
    let mut page = Page::default();
    for (index, block) in blocks.iter().enumerate() {
        let is_change = matches!(
            block.kind,
            BlockKind::Create | BlockKind::Update | BlockKind::Delete
        );
        if is_change && index >= BLOCKS_SHOWN {
            heading(block, &mut page);
            continue;
        }
        if index > 0 {
            page.line("");
        }
        heading(block, &mut page);
        let times = block.definition.as_ref();
        let times = times.and_then(|id| outcome.times.get(id));
        body(block, times.filter(|_| is_change), &mut page);
        for command in commands(block, outcome, project) {
            next_command(&mut page, command);
        }
    }
    if outcome.plan.len() > BLOCKS_SHOWN {
        let remark = format!(
            "Only the first {BLOCKS_SHOWN} schedules are shown with their fields; `--format json` has all."
        );
        page.line("");
        page.toned(Tone::Muted, remark);
    }
    for difference in &outcome.zone_differences {
        page.line("");
        page.signed(format!("warning: {difference}"));
    }
    if !blocks.is_empty() || !outcome.zone_differences.is_empty() {
        page.line("");
    }
    page.toned(Tone::Strong, summary);
    page
}

/// Removals that wait, for people.
pub(in crate::cli) fn held_page(held: &Held, project: &Project) -> Page {
    let block = Block::of_held(held);
    let mut page = Page::default();
    heading(&block, &mut page);
    body(&block, None, &mut page);
    if let Some(command) = confirm(held, project) {
        next_command(&mut page, command);
    }
    page
}

/// The command that confirms removals; `None` if they wait for something else.
pub(in crate::cli) fn confirm(held: &Held, project: &Project) -> Option<String> {
    let flag = project_flag(project);
    let digest = &held.digest;
    (!digest.is_empty()).then(|| format!("almanac sync{flag} --confirm {digest}"))
}

/// The commands that help with a block.
fn commands(block: &Block, outcome: &Outcome, project: &Project) -> Vec<String> {
    let flag = project_flag(project);
    match (block.kind, &block.definition) {
        (BlockKind::Held, _) => {
            let held = outcome.plan.held.as_ref();
            held.and_then(|held| confirm(held, project))
                .into_iter()
                .collect()
        }
        (BlockKind::Contested | BlockKind::Drift, Some(id)) => {
            vec![format!("almanac history {id}{flag}")]
        }
        _ => Vec::new(),
    }
}

fn heading(block: &Block, page: &mut Page) {
    let tone = match block.kind {
        BlockKind::Create => Tone::Good,
        BlockKind::Update | BlockKind::Held | BlockKind::Contested | BlockKind::Drift => {
            Tone::Caution
        }
        BlockKind::Delete | BlockKind::Conflict | BlockKind::Problem => Tone::Bad,
    };
    let sign = format!("{} ", block.kind.sign().as_char());
    let subject = if block.kind == BlockKind::Problem {
        Cell::from(block.subject.clone())
    } else {
        Cell::toned(Tone::Strong, block.subject.clone())
    };
    page.cells([
        Cell::toned(tone, sign),
        subject,
        block.heading.clone().into(),
    ]);
}

/// The lines below a heading: fields, fire times and other lines.
fn body(block: &Block, times: Option<&TimesChange>, page: &mut Page) {
    const FIRES: &str = "fires";
    let names = block.fields.iter().map(|field| field.name.len());
    let widest = names.chain([FIRES.len()]).max().unwrap_or_default();
    let with_name = |name: &str| {
        let padding = " ".repeat(widest - name.len() + 1);
        [
            Cell::from("    "),
            Cell::toned(Tone::Muted, format!("{name}:{padding}")),
        ]
    };
    for field in &block.fields {
        field_lines(field, &with_name, page);
    }
    let is_moved =
        |times: &&TimesChange| block.kind != BlockKind::Update || times.before != times.after;
    let lines = times.filter(is_moved).map(|times| lines(times, block.kind));
    for (index, line) in lines.into_iter().flatten().enumerate() {
        if index == 0 {
            page.cells(with_name(FIRES).into_iter().chain([line]));
        } else {
            page.cells([" ".repeat(4 + widest + 2).into(), line]);
        }
    }
    for line in &block.lines {
        page.line(format!("    {line}"));
    }
}

fn field_lines(field: &FieldText, with_name: &impl Fn(&str) -> [Cell; 2], page: &mut Page) {
    let cause = field.cause.map(|cause| format!("  ({cause})"));
    let cause = Cell::toned(Tone::Muted, cause.unwrap_or_default());
    let [start, name] = with_name(&field.name);
    match &field.value {
        FieldValue::Is(value) => page.cells([start, name, value.clone().into()]),
        FieldValue::Changes(Difference::Values { before, after }) => page.cells([
            start,
            name,
            before.clone().into(),
            Cell::toned(Tone::Muted, " → "),
            Cell::toned(Tone::Strong, after.clone()),
            cause,
        ]),
        FieldValue::Changes(Difference::Parts { shown, more }) => {
            let name = Cell::toned(Tone::Muted, format!("{}:", field.name));
            page.cells([start, name, cause]);
            for part in shown {
                let tone = match part.sign {
                    Sign::Added => Tone::Good,
                    Sign::Removed => Tone::Bad,
                    Sign::Changed | Sign::Attention => Tone::Caution,
                };
                let sign = format!("      {} ", part.sign.as_char());
                page.cells([Cell::toned(tone, sign), part.text.clone().into()]);
            }
            if *more > 0 {
                page.toned(Tone::Muted, format!("      and {more} more"));
            }
        }
    }
}
