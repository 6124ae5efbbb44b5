//! What an expression is compiled to: the tree that is evaluated.
//!
//! It is of Almanac's own: the parser's library decides nothing after this.

use super::builtin::{Control, Function};
use super::formats::Format;
use super::value::Val;

/// A variable, by the place of its binding: no two bindings of an expression share one.
pub(super) type Slot = usize;

/// A filter: a value in, any number of values out.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// `.`
    Identity,
    /// `..`
    Recurse,
    Constant(Val),
    Variable(Slot),
    /// A variable that the caller gives, by its place in the list of names.
    Given(usize),
    /// A UUID made of a seed that the caller gives, another one at each evaluation.
    Uuid(usize),
    /// A string with values in it.
    Text(Format, Vec<Piece>),
    /// `[…]`
    Array(Option<Box<Node>>),
    /// `{…}`
    Object(Vec<(Node, Node)>),
    /// `-x`
    Negate(Box<Node>),
    Pipe(Box<Node>, Box<Node>),
    Comma(Box<Node>, Box<Node>),
    /// `f as PATTERN | body`
    Bind(Box<Node>, Vec<Binding>, Box<Node>),
    /// `f as PATTERN ?// PATTERN | body`: the first that does not fail
    BindFirst(Box<Node>, Vec<Vec<Binding>>, Box<Node>),
    /// `a // b`
    Alternative(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Math(Math, Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    /// `path = value`
    Assign(Box<Node>, Box<Node>),
    /// `path |= filter`
    Update(Box<Node>, Box<Node>),
    /// `path += value` and its like
    UpdateMath(Math, Box<Node>, Box<Node>),
    /// `path //= value`
    UpdateAlternative(Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    /// `try body catch handler`
    Try(Box<Node>, Option<Box<Node>>),
    Label(Slot, Box<Node>),
    Break(Slot),
    /// `of[key]`; optional: nothing where that is an error
    Index {
        of: Box<Node>,
        key: Box<Node>,
        optional: bool,
    },
    /// `of[from:to]`
    Slice {
        of: Box<Node>,
        from: Option<Box<Node>>,
        to: Option<Box<Node>>,
        optional: bool,
    },
    /// `of[]`
    Iterate {
        of: Box<Node>,
        optional: bool,
    },
    Reduce(Box<Fold>),
    /// With what is put out for each.
    Foreach(Box<Fold>, Option<Box<Node>>),
    /// A function of its input and its arguments' values.
    Apply(&'static Function, Vec<Node>),
    /// A function that decides when its arguments are evaluated, and on what.
    Control(Control, Vec<Node>),
}

/// A part of a string.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Literal(String),
    Value(Node),
}

/// A variable of a pattern, and the keys that lead to it.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    pub(super) slot: Slot,
    pub(super) keys: Vec<Node>,
    /// The variable of another alternative: null here.
    pub(super) absent: bool,
}

impl Binding {
    /// A variable that has the whole value.
    pub(super) fn whole(slot: Slot) -> Self {
        Self {
            slot,
            keys: Vec::new(),
            absent: false,
        }
    }
}

/// `reduce` or `foreach`: `source as pattern (start; update)`.
#[derive(Debug, Clone)]
pub(super) struct Fold {
    pub(super) source: Node,
    pub(super) pattern: Vec<Binding>,
    pub(super) start: Node,
    pub(super) update: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Math {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    Different,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Piece {
    pub(super) fn is_single(&self) -> bool {
        match self {
            Self::Literal(_) => true,
            Self::Value(node) => node.is_single(),
        }
    }
}

impl Node {
    /// Whether it surely puts out one value, or fails. So the order of evaluation cannot show.
    pub(super) fn is_single(&self) -> bool {
        match self {
            Self::Identity
            | Self::Constant(_)
            | Self::Variable(_)
            | Self::Given(_)
            | Self::Uuid(_) => true,
            Self::Array(_) | Self::Negate(_) => match self {
                Self::Negate(of) => of.is_single(),
                _ => true,
            },
            Self::Text(_, pieces) => pieces.iter().all(Piece::is_single),
            Self::Object(entries) => entries
                .iter()
                .all(|(key, value)| key.is_single() && value.is_single()),
            Self::Pipe(a, b) | Self::Math(_, a, b) | Self::Compare(_, a, b) => {
                a.is_single() && b.is_single()
            }
            Self::Index { of, key, optional } => !optional && of.is_single() && key.is_single(),
            Self::Apply(_, arguments) => arguments.iter().all(Node::is_single),
            _ => false,
        }
    }
}
