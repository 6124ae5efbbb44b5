//! Nodes of a compiled expression: the tree that is evaluated.
//!
//! The tree is Almanac's own: the parser's library has no influence after it is made.

use super::builtin::{Control, Function};
use super::formats::Format;
use super::value::Val;

/// Place of a variable's binding. No two bindings of an expression have the same place.
pub(super) type Slot = usize;

/// A filter: a value in, any number of values out.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// The filter `.`, which outputs its input.
    Identity,
    /// The filter `..`, which outputs its input and all values below it.
    Recurse,
    Constant(Val),
    Variable(Slot),
    /// A variable that the caller gives, by its place in the list of names.
    Global(usize),
    /// A UUID made from a seed that the caller gives, different at each evaluation.
    Uuid(usize),
    /// A string with values in it.
    Text(Format, Vec<Piece>),
    /// An array of a filter's outputs: `[…]`
    Array(Option<Box<Node>>),
    /// An object of keys and values: `{…}`
    Object(Vec<(Node, Node)>),
    /// A negated value: `-x`
    Negate(Box<Node>),
    Pipe(Box<Node>, Box<Node>),
    Comma(Box<Node>, Box<Node>),
    /// A binding: `f as PATTERN | body`
    Bind(Box<Node>, Vec<Binding>, Box<Node>),
    /// A choice of patterns: `f as PATTERN ?// PATTERN | body` uses the first that does not fail
    BindFirst(Box<Node>, Vec<Vec<Binding>>, Box<Node>),
    /// An alternative: `a // b`
    Alternative(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Math(Math, Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    /// An assignment: `path = value`
    Assign(Box<Node>, Box<Node>),
    /// An update: `path |= filter`
    Update(Box<Node>, Box<Node>),
    /// An arithmetic update: `path += value` and the like
    UpdateMath(Math, Box<Node>, Box<Node>),
    /// An update of missing values: `path //= value`
    UpdateAlternative(Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    /// An error handler: `try body catch handler`
    Try(Box<Node>, Option<Box<Node>>),
    Label(Slot, Box<Node>),
    Break(Slot),
    /// An access to a key: `of[key]`; if optional, an error gives no output
    Index {
        of: Box<Node>,
        key: Box<Node>,
        optional: bool,
    },
    /// An access to a range: `of[from:to]`
    Slice {
        of: Box<Node>,
        from: Option<Box<Node>>,
        to: Option<Box<Node>>,
        optional: bool,
    },
    /// All children of a value: `of[]`
    Iterate {
        of: Box<Node>,
        optional: bool,
    },
    Reduce(Box<Fold>),
    /// The fold `foreach`, with the filter for the output of each state.
    Foreach(Box<Fold>, Option<Box<Node>>),
    /// A function of its input and its arguments' values.
    Apply(&'static Function, Vec<Node>),
    /// A function that decides when to evaluate its arguments, and on which input.
    Control(Control, Vec<Node>),
}

/// A part of a string.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Literal(String),
    Value(Node),
}

/// A variable of a pattern, and the keys from the value to the variable.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    pub(super) slot: Slot,
    pub(super) keys: Vec<Node>,
    /// `true` for a variable of another alternative, which is null here.
    pub(super) absent: bool,
}

impl Binding {
    /// Binds a variable to the whole value.
    pub(super) fn whole(slot: Slot) -> Self {
        Self {
            slot,
            keys: Vec::new(),
            absent: false,
        }
    }
}

/// A fold, `reduce` or `foreach`: `source as pattern (start; update)`.
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
    /// Returns `true` if the node certainly outputs one value or fails. The order of evaluation
    /// then makes no difference.
    pub(super) fn is_single(&self) -> bool {
        match self {
            Self::Identity
            | Self::Constant(_)
            | Self::Variable(_)
            | Self::Global(_)
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
