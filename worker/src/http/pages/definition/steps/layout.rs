//! The places of boxes, lines and words in the drawing of steps.
//!
//! A list is a column of boxes from top to bottom. The lists of a step stand in a frame below
//! its box. Below a box stand the ways out of the step that do not lead to the next one, each
//! with its words. A line to another step runs to the right of all boxes.

use std::collections::{BTreeMap, BTreeSet};

use almanac_base::text;

use super::outline::{Exit, Order, Step, Steps, To};
use crate::wording::counted;

/// Width of the drawing. It fits a column on a phone that is 390 px wide.
pub(super) const WIDTH: i32 = 352;
/// Right edge of the outermost boxes. The lines to other steps are beyond it.
const BOXES: i32 = 300;
/// Distances of nested boxes from the frame around them, on the left and on the right.
const INDENT: i32 = 16;
const INSET: i32 = 8;
/// Height of a box, and of a box with a second line.
const LOW: i32 = 28;
const HIGH: i32 = 44;
/// Distance between two boxes with a line between them, and without.
const GAP: i32 = 16;
const NEAR: i32 = 8;
/// Height of a line of words.
const ROW: i32 = 18;
/// Distance of the line between boxes from their left edge.
const SPINE: i32 = 14;
/// Distance of words from the left edge of their box.
const TEXT: i32 = 12;
/// Sizes of words and of names, as their widths need it: names are 12 px and bold.
const PLAIN: i32 = 11;
const BOLD: i32 = 13;
/// Places of the lines to other steps, the innermost first. The last is for the run's end.
const LANES: [i32; 5] = [310, 319, 328, 337, 346];
/// Distance of a loop's ends from the corners of the first and the last box.
const LOOP: i32 = 7;
/// Half of the height of an arrow's tip.
const TIP: i32 = 4;

/// A drawing of steps.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Layout {
    pub(super) height: i32,
    pub(super) boxes: Vec<StepBox>,
    pub(super) frames: Vec<Frame>,
    pub(super) notes: Vec<Note>,
    /// Lines, as the `d` of a path.
    pub(super) lines: Vec<String>,
    /// Tips of arrows, as the `d` of a path.
    pub(super) tips: Vec<String>,
    /// Middle of the mark of the end.
    pub(super) end: (i32, i32),
}

/// The box of a step.
#[derive(Debug, PartialEq)]
pub(super) struct StepBox {
    pub(super) path: String,
    pub(super) name: Fitted,
    pub(super) work: Fitted,
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
    pub(super) is_switch: bool,
    pub(super) condition: Option<String>,
}

/// The frame around the lists of a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) x: i32,
    pub(super) y: i32,
    pub(super) width: i32,
    pub(super) height: i32,
}

/// Words beside the boxes.
#[derive(Debug, PartialEq)]
pub(super) struct Note {
    pub(super) x: i32,
    /// Base line of the words.
    pub(super) y: i32,
    pub(super) words: Fitted,
    /// Text that browsers show beside the pointer, such as the condition of an exit.
    pub(super) title: Option<String>,
}

/// A text that was cut to fit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fitted {
    pub(super) text: String,
    /// The whole text, if it was cut.
    pub(super) whole: Option<String>,
}

/// Lays out an outline. The boxes of the paths in `high` have a second line.
pub(super) fn layout(steps: &Steps, high: &BTreeSet<&str>) -> Layout {
    let mut placing = Placing {
        high,
        out: Layout::default(),
        jumps: BTreeMap::new(),
        lists: 0,
    };
    let bottom = placing.list(steps, 0, 1, BOXES);
    placing.end(bottom);
    placing.draw_jumps();
    placing.out
}

/// The target of lines to another place than the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    /// The step with this index of the list with this number.
    Step(usize, usize),
    End,
}

/// The lines to one target.
#[derive(Debug, Default)]
struct Jumps {
    /// Places at which the lines begin.
    from: Vec<(i32, i32)>,
    /// The right edge of the target; `None` if the target is not drawn.
    to: Option<(i32, i32)>,
}

struct Placing<'s> {
    high: &'s BTreeSet<&'s str>,
    out: Layout,
    jumps: BTreeMap<Target, Jumps>,
    /// Number of lists so far.
    lists: usize,
}

/// The lower end of what was placed.
#[derive(Debug, Clone, Copy)]
struct Bottom {
    y: i32,
    /// The place at which the line to the next step begins; `None` if no step follows.
    spine: Option<(i32, i32)>,
}

impl Placing<'_> {
    /// Places a list between two edges.
    fn list(&mut self, steps: &Steps, x: i32, mut y: i32, right: i32) -> Bottom {
        let list = self.lists;
        self.lists += 1;
        let is_outermost = list == 0;
        let together = steps.order == Order::Together;
        let mut spine = None;
        let (mut first, mut end) = (None, y);
        for (index, step) in steps.shown.iter().enumerate() {
            if index > 0 {
                y += if together { NEAR } else { GAP };
            }
            if let Some((x, from)) = spine.take().filter(|_| !together) {
                self.arrow_down(x, from, y);
            }
            first = first.or(Some(y + LOOP));
            end = y + LOW - LOOP;
            let target = Target::Step(list, index);
            self.jumps.entry(target).or_default().to = Some((right, y + LOW / 2));
            let bottom = self.step(step, (list, is_outermost), x, y, right);
            (y, spine) = (bottom.y, bottom.spine);
        }
        if steps.more > 0 {
            let more = counted(steps.more as u64, "more step", "more steps");
            y += NEAR;
            self.note(x + TEXT, y, right, &format!("and {more}"), None);
            y += ROW;
            spine = spine.map(|_| (x + SPINE, y));
        }
        if let (Order::Loop, Some(first)) = (steps.order, first) {
            self.out.lines.push(format!(
                "M{x} {end}H{}V{first}H{}",
                x - INDENT / 2,
                x - TIP - 2
            ));
            self.tip_right(x, first);
        }
        Bottom { y, spine }
    }

    fn step(
        &mut self,
        step: &Step,
        (list, is_outermost): (usize, bool),
        x: i32,
        y: i32,
        right: i32,
    ) -> Bottom {
        let width = right - x;
        let is_high = self.high.contains(step.path.as_str());
        let height = if is_high { HIGH } else { LOW };
        let room = width - 2 * TEXT - 8;
        let work = room - pixels(&step.name, BOLD);
        let work = fitted(&step.work, work.max(room / 2), PLAIN);
        let used = pixels(&work.text, PLAIN);
        self.out.boxes.push(StepBox {
            path: step.path.clone(),
            name: fitted(&step.name, room - used, BOLD),
            work,
            x,
            y,
            width,
            height,
            is_switch: step.is_switch,
            condition: step.condition.clone(),
        });
        let mut y = y + height;
        if !step.lists.is_empty() || step.inside > 0 {
            y = self.frame(step, x, y, right);
        }
        let spine = step.continues.then_some((x + SPINE, y));
        if !step.exits.is_empty() || step.more_exits > 0 {
            y += 2;
        }
        for exit in &step.exits {
            self.exit(exit, (list, is_outermost), x, y, right);
            y += ROW;
        }
        if step.more_exits > 0 {
            let more = counted(step.more_exits as u64, "more case", "more cases");
            self.note(x + 2 * SPINE, y, right, &format!("and {more}"), None);
            y += ROW;
        }
        Bottom { y, spine }
    }

    /// Places the lists of a step. Returns the lower edge of the frame.
    fn frame(&mut self, step: &Step, x: i32, top: i32, right: i32) -> i32 {
        let (left, inner) = (x + INDENT, right - INSET);
        let mut y = top + NEAR;
        for (index, list) in step.lists.iter().enumerate() {
            if index > 0 {
                y += NEAR;
            }
            if !list.caption.is_empty() {
                self.note(left, y - 4, inner, &list.caption, None);
                y += ROW - 2;
            }
            y = self.list(list, left, y, inner).y;
        }
        if step.inside > 0 {
            let inside = counted(step.inside as u64, "step", "steps");
            let words = format!("{inside} inside, not drawn");
            self.note(left, y - 4, inner, &words, None);
            y += ROW - NEAR;
        }
        y += NEAR;
        self.out.frames.push(Frame {
            x,
            y: top,
            width: right - x,
            height: y - top,
        });
        y
    }

    fn exit(
        &mut self,
        exit: &Exit,
        (list, is_outermost): (usize, bool),
        x: i32,
        y: i32,
        right: i32,
    ) {
        let place = exit.to.words(is_outermost);
        let words = match exit.name.as_str() {
            "" => format!("→ {place}"),
            name => format!("{name} → {place}"),
        };
        let title = exit.when.as_ref().map(|when| format!("when {when}"));
        let end = self.note(x + 2 * SPINE, y, right, &words, title);
        let target = match &exit.to {
            To::Leave if !is_outermost => return,
            To::Next => return,
            _ if exit.follows => return,
            To::Leave | To::End => Target::End,
            To::Step(index, _) => Target::Step(list, *index),
        };
        let jumps = self.jumps.entry(target).or_default();
        jumps.from.push((end + 6, y + ROW / 2));
    }

    /// Adds words in a row that begins at `y`. Returns their right end.
    fn note(&mut self, x: i32, y: i32, right: i32, words: &str, title: Option<String>) -> i32 {
        let words = fitted(words, right - x - 6, PLAIN);
        let end = x + pixels(&words.text, PLAIN);
        let y = y + ROW / 2 + 4;
        self.out.notes.push(Note { x, y, words, title });
        end
    }

    /// Places the mark of the end.
    fn end(&mut self, bottom: Bottom) {
        let y = bottom.y + GAP;
        if let Some((x, from)) = bottom.spine {
            self.arrow_down(x, from, y);
        }
        self.out.end = (SPINE, y + 6);
        self.out.height = y + 13;
        let words = self.note(SPINE + 12, y + 6 - ROW / 2, BOXES, "end", None);
        self.jumps.entry(Target::End).or_default().to = Some((words + 4, y + 6));
    }

    /// Draws the lines to other steps: those to one target share a line, and those that run
    /// past each other stand side by side. If there is no room, the words are enough.
    fn draw_jumps(&mut self) {
        let mut taken: Vec<(i32, i32, i32)> = Vec::new();
        let jumps = std::mem::take(&mut self.jumps);
        let mut drawn: Vec<_> = jumps
            .into_iter()
            .filter_map(|(target, jumps)| Some((target, jumps.to?, jumps.from)))
            .filter(|(.., from)| !from.is_empty())
            .collect();
        let reach = |to: i32, from: &[(i32, i32)]| {
            let all = || from.iter().map(|(_, y)| *y).chain([to]);
            (all().min().unwrap_or(to), all().max().unwrap_or(to))
        };
        // Short lines are nearest to the boxes.
        drawn.sort_by_key(|(target, to, from)| {
            let (top, bottom) = reach(to.1, from);
            (*target == Target::End, bottom - top, top)
        });
        for (target, to, from) in drawn {
            let (top, bottom) = reach(to.1, &from);
            let is_free = |lane: i32| {
                let mut there = taken.iter().filter(|(at, ..)| *at == lane);
                there.all(|(_, first, last)| bottom + 4 < *first || *last + 4 < top)
            };
            let inner = &LANES[..LANES.len() - 1];
            let lane = match target {
                Target::End => Some(LANES[LANES.len() - 1]),
                Target::Step(..) => inner.iter().copied().find(|lane| is_free(*lane)),
            };
            let Some(lane) = lane else {
                continue;
            };
            taken.push((lane, top, bottom));
            for (x, y) in from {
                self.out.lines.push(format!("M{x} {y}H{lane}V{}", to.1));
            }
            let (x, y) = to;
            self.out.lines.push(format!("M{lane} {y}H{}", x + TIP + 2));
            self.out.tips.push(format!(
                "M{} {}v{}l-{} -{TIP}z",
                x + TIP + 3,
                y - TIP,
                2 * TIP,
                TIP + 2
            ));
        }
    }

    fn arrow_down(&mut self, x: i32, from: i32, to: i32) {
        self.out.lines.push(format!("M{x} {from}V{}", to - TIP));
        self.out.tips.push(format!(
            "M{} {}h{}l-{TIP} {}z",
            x - TIP,
            to - TIP - 3,
            2 * TIP,
            TIP + 2
        ));
    }

    fn tip_right(&mut self, x: i32, y: i32) {
        self.out.tips.push(format!(
            "M{} {}v{}l{} -{TIP}z",
            x - TIP - 3,
            y - TIP,
            2 * TIP,
            TIP + 2
        ));
    }
}

/// Cuts a text so that it is no wider than `width`.
fn fitted(whole: &str, width: i32, size: i32) -> Fitted {
    let shown = text::escaped(whole);
    if pixels(&shown, size) <= width {
        return Fitted {
            text: shown.into_owned(),
            whole: None,
        };
    }
    let (mut used, mut cut) = (pixels("…", size), String::new());
    for c in shown.chars() {
        used += pixels(c.encode_utf8(&mut [0; 4]), size);
        if used > width {
            break;
        }
        cut.push(c);
    }
    Fitted {
        text: format!("{}…", cut.trim_end()),
        whole: Some(whole.to_owned()),
    }
}

/// Approximate width of a text in a sans-serif font of `size` px. Fonts differ, so the result
/// is rather too large.
fn pixels(text: &str, size: i32) -> i32 {
    let parts = |c: char| match c {
        'i' | 'j' | 'l' | 't' | 'f' | 'r' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!'
        | '(' | ')' | '[' | ']' | ' ' => 40,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' | '→' => 100,
        'A'..='Z' => 72,
        c if c.is_ascii() => 57,
        c => match text::width(c.encode_utf8(&mut [0; 4])) {
            0 => 0,
            1 => 76,
            _ => 112,
        },
    };
    let all: i32 = text.chars().map(parts).sum();
    (all * size + 99) / 100
}
