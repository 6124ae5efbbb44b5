//! The functions that an expression may call. All other functions are unknown.
//!
//! There are three kinds: functions of values, written in Rust; functions that evaluate
//! their arguments themselves; and functions that stand for a jq text. Left out on purpose are
//! functions that read the clock, the environment or input, that print or halt, and functions
//! of floating-point mathematics that two machines may compute differently (`sin`, `log`,
//! `pow`).

use super::native::{arrays, dates, floats, numbers, objects, patterns, strings};
use super::run::Run;
use super::stop::Stop;
use super::value::Val;

/// A function of its input and its arguments' values.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) arity: usize,
    pub(super) call: fn(&Run<'_>, Val, &[Val]) -> Result<Val, Stop>,
}

impl Function {
    pub(super) const fn new(
        name: &'static str,
        arity: usize,
        call: fn(&Run<'_>, Val, &[Val]) -> Result<Val, Stop>,
    ) -> Self {
        Self { name, arity, call }
    }
}

/// A function that decides when to evaluate its arguments, and on which input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    Empty,
    /// The function `error(message)`: an error that `try` catches.
    Error,
    /// The function `first(f)`: the first output of `f`.
    First,
    /// The function `last(f)`: the last output of `f`.
    Last,
    /// The function `limit(n; f)`.
    Limit,
    /// The function `skip(n; f)`.
    Skip,
    /// The function `range(from; to; by)`.
    Range,
    /// The function `recurse(f)`: the input and all repeated outputs of `f`.
    RecurseBy,
    /// The function `repeat(f)`: the outputs of `f`, again and again.
    Repeat,
    /// The function `combinations`: one item of each list.
    Combinations,
    /// The function `tostream`: the events of a value.
    ToStream,
    /// The function `while(condition; f)`.
    While,
    /// The function `until(condition; f)`.
    Until,
    /// The function `any(generator; condition)`.
    Any,
    /// The function `all(generator; condition)`.
    All,
    /// The function `isempty(f)`: `true` if `f` has no output.
    IsEmpty,
    /// The function `path(f)`: the paths of the outputs of `f`.
    Path,
    /// The function `getpath(path)`: the value at a path.
    GetPath,
    /// The function `walk(f)`: `f` applied to all parts, from the leaves up.
    Walk,
    /// The function `sort_by(f)`: the items, sorted by `f`.
    SortBy,
    /// The function `group_by(f)`: the items, grouped by `f`.
    GroupBy,
    /// The function `unique_by(f)`: an item for each result of `f`.
    UniqueBy,
    /// The function `min_by(f)`: the item with the least `f`.
    MinBy,
    /// The function `max_by(f)`: the item with the greatest `f`.
    MaxBy,
}

const CONTROLS: &[(&str, usize, Control)] = &[
    ("empty", 0, Control::Empty),
    ("error", 1, Control::Error),
    ("first", 1, Control::First),
    ("last", 1, Control::Last),
    ("limit", 2, Control::Limit),
    ("skip", 2, Control::Skip),
    ("range", 3, Control::Range),
    ("recurse", 1, Control::RecurseBy),
    ("repeat", 1, Control::Repeat),
    ("combinations", 0, Control::Combinations),
    ("tostream", 0, Control::ToStream),
    ("while", 2, Control::While),
    ("until", 2, Control::Until),
    ("any", 2, Control::Any),
    ("all", 2, Control::All),
    ("isempty", 1, Control::IsEmpty),
    ("path", 1, Control::Path),
    ("getpath", 1, Control::GetPath),
    ("walk", 1, Control::Walk),
    ("sort_by", 1, Control::SortBy),
    ("group_by", 1, Control::GroupBy),
    ("unique_by", 1, Control::UniqueBy),
    ("min_by", 1, Control::MinBy),
    ("max_by", 1, Control::MaxBy),
];

/// Functions that stand for a jq text: name, parameters, body. A parameter with `$` is a
/// value, and the others are filters.
const TEXTS: &[(&str, &[&str], &str)] = &[
    ("error", &[], "error(.)"),
    ("not", &[], "if . then false else true end"),
    ("select", &["f"], "if f then . else empty end"),
    ("map", &["f"], "[.[] | f]"),
    ("map_values", &["f"], ".[] |= f"),
    ("recurse", &[], ".."),
    (
        "recurse",
        &["f", "c"],
        "recurse(f | if c then . else empty end)",
    ),
    ("first", &[], ".[0]"),
    ("last", &[], ".[-1]"),
    ("nth", &["$n"], ".[$n]"),
    (
        "nth",
        &["$n", "f"],
        "if $n < 0 then error(\"nth needs an index of 0 or more\") else first(skip($n; f)) end",
    ),
    ("range", &["$to"], "range(0; $to; 1)"),
    ("range", &["$from", "$to"], "range($from; $to; 1)"),
    ("any", &[], "any(.[]; .)"),
    ("any", &["f"], "any(.[]; f)"),
    ("all", &[], "all(.[]; .)"),
    ("all", &["f"], "all(.[]; f)"),
    ("add", &["f"], "reduce f as $x (null; . + $x)"),
    ("in", &["o"], ". as $x | o | has($x)"),
    ("inside", &["o"], ". as $x | o | contains($x)"),
    ("values", &[], "if . == null then empty else . end"),
    ("nulls", &[], "if . == null then . else empty end"),
    (
        "booleans",
        &[],
        "if type == \"boolean\" then . else empty end",
    ),
    (
        "numbers",
        &[],
        "if type == \"number\" then . else empty end",
    ),
    (
        "strings",
        &[],
        "if type == \"string\" then . else empty end",
    ),
    ("arrays", &[], "if type == \"array\" then . else empty end"),
    (
        "objects",
        &[],
        "if type == \"object\" then . else empty end",
    ),
    (
        "iterables",
        &[],
        "if type == \"array\" or type == \"object\" then . else empty end",
    ),
    (
        "scalars",
        &[],
        "if type == \"array\" or type == \"object\" then empty else . end",
    ),
    ("toarray", &[], "if type == \"array\" then . else [.] end"),
    (
        "paths",
        &[],
        "path(..) | if length > 0 then . else empty end",
    ),
    (
        "paths",
        &["f"],
        "path(.. | if f then . else empty end) | if length > 0 then . else empty end",
    ),
    ("del", &["f"], "delpaths([path(f)])"),
    (
        "pick",
        &["f"],
        ". as $whole | reduce path(f) as $p (null; setpath($p; $whole | getpath($p)))",
    ),
    (
        "with_entries",
        &["f"],
        "to_entries | [.[] | f] | from_entries",
    ),
    ("min", &[], "min_by(.)"),
    ("max", &[], "max_by(.)"),
    ("sort", &[], "sort_by(.)"),
    ("unique", &[], "unique_by(.)"),
    ("scan", &["$re"], "scan($re; \"\")"),
    (
        "scan",
        &["$re", "$flags"],
        "match($re; \"g\" + $flags) | if .captures == [] then .string else [.captures[].string] end",
    ),
    ("match", &["$re"], "_pair($re) as [$r, $f] | match($r; $f)"),
    ("match", &["$re", "$flags"], "_matches($re; $flags)[]"),
    ("test", &["$re"], "_pair($re) as [$r, $f] | test($r; $f)"),
    (
        "capture",
        &["$re"],
        "_pair($re) as [$r, $f] | capture($r; $f)",
    ),
    (
        "capture",
        &["$re", "$flags"],
        "match($re; $flags) | _captures",
    ),
    ("splits", &["$re"], "split($re; \"\")[]"),
    ("splits", &["$re", "$flags"], "split($re; $flags)[]"),
    ("sub", &["$re", "f"], "sub($re; f; \"\")"),
    ("gsub", &["$re", "f"], "sub($re; f; \"g\")"),
    (
        "gsub",
        &["$re", "f", "$flags"],
        "sub($re; f; \"g\" + $flags)",
    ),
    (
        "sub",
        &["$re", "f", "$flags"],
        ". as $in | [_between($re; $flags)[] | if type == \"string\" then . else [_captures | f] end] | _woven($in)[]",
    ),
    ("leaf_paths", &[], "paths(scalars)"),
    ("finites", &[], "if isfinite then . else empty end"),
    ("normals", &[], "if isnormal then . else empty end"),
    (
        "combinations",
        &["n"],
        ". as $dot | [range(n) | $dot] | combinations",
    ),
    ("trimstr", &["$x"], "ltrimstr($x) | rtrimstr($x)"),
    (
        "toboolean",
        &[],
        "if . == true or . == \"true\" then true elif . == false or . == \"false\" then false else error(\"\\(tojson) cannot be parsed as a boolean\") end",
    ),
    (
        "truncate_stream",
        &["f"],
        ". as $n | null | f | . as $input | if (.[0] | length) > $n then setpath([0]; $input[0][$n:]) else empty end",
    ),
    (
        "fromstream",
        &["f"],
        "foreach f as $i ({x: null, e: false}; if .e then {x: null, e: false} else . end | if ($i | length) == 2 then setpath([\"e\"]; ($i[0] | length) == 0) | setpath([\"x\"] + $i[0]; $i[1]) else setpath([\"e\"]; ($i[0] | length) == 1) end; if .e then .x else empty end)",
    ),
    ("JOIN", &["$idx", "f"], "[.[] | [., $idx[f]]]"),
    ("JOIN", &["$idx", "s", "f"], "s | [., $idx[f]]"),
    ("JOIN", &["$idx", "s", "f", "g"], "s | [., $idx[f]] | g"),
    ("have_decnum", &[], "false"),
    ("have_literal_numbers", &[], "false"),
    ("date", &[], "todateiso8601"),
    ("dateadd", &["u", "n"], ". + n"),
    ("datesub", &["u", "n"], ". - n"),
    ("todate", &[], "todateiso8601"),
    ("fromdate", &[], "fromdateiso8601"),
    ("IN", &["s"], ". as $x | any(s; . == $x)"),
    ("IN", &["f", "s"], "any(f as $x | s | . == $x; .)"),
    ("INDEX", &["f"], "INDEX(.[]; f)"),
    (
        "INDEX",
        &["s", "f"],
        "reduce s as $row ({}; .[$row | f | tostring] = $row)",
    ),
    ("@text", &[], "tostring"),
    ("@json", &[], "tojson"),
];

/// Functions of jq that expressions do not have, with the reason.
const WITHHELD: &[(&[&str], &str)] = &[
    (
        &["localtime", "strflocaltime"],
        "expressions have no access to time zones; use `gmtime`, `strftime` and `todate`",
    ),
    (
        &["env", "$ENV"],
        "expressions have no access to the environment",
    ),
    (
        &["input", "inputs", "input_filename", "input_line_number"],
        "expressions have access only to their input and variables",
    ),
    (
        &["debug", "stderr", "halt", "halt_error"],
        "expressions have no side effects; to fail, use `error`",
    ),
    (
        &[
            "pow", "pow10", "log", "log2", "log10", "log1p", "exp", "exp2", "exp10", "expm1",
            "sin", "cos", "tan", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh",
            "acosh", "atanh", "cbrt", "hypot", "gamma", "lgamma", "lgamma_r", "tgamma", "erf",
            "erfc", "j0", "j1", "jn", "y0", "y1", "yn",
        ],
        "its result may differ between machines, and a run must give the same result on each",
    ),
    (&["infinite", "nan"], "JSON has only finite numbers"),
    (
        &[
            "import",
            "include",
            "modulemeta",
            "get_search_list",
            "get_jq_origin",
            "get_prog_origin",
            "builtins",
            "$__prog_args",
        ],
        "expressions have no modules and no command line",
    ),
    (
        &["now", "uuid"],
        "it is only available in the expressions of steps",
    ),
];

/// A function that a name and a number of arguments stand for.
pub(super) enum Builtin {
    Function(&'static Function),
    Control(Control),
    Text {
        parameters: &'static [&'static str],
        body: &'static str,
    },
}

pub(super) fn find(name: &str, arity: usize) -> Option<Builtin> {
    if let Some(control) = CONTROLS.iter().find(|(n, a, _)| (*n, *a) == (name, arity)) {
        return Some(Builtin::Control(control.2));
    }
    if let Some(function) = functions().find(|f| (f.name, f.arity) == (name, arity)) {
        return Some(Builtin::Function(function));
    }
    let text = TEXTS
        .iter()
        .find(|(n, parameters, _)| (*n, parameters.len()) == (name, arity))?;
    Some(Builtin::Text {
        parameters: text.1,
        body: text.2,
    })
}

/// Numbers of arguments with which a name is known.
pub(super) fn arities(name: &str) -> Vec<usize> {
    let controls = CONTROLS.iter().filter(|c| c.0 == name).map(|c| c.1);
    let functions = functions().filter(|f| f.name == name).map(|f| f.arity);
    let texts = TEXTS.iter().filter(|t| t.0 == name).map(|t| t.1.len());
    let mut all: Vec<usize> = controls.chain(functions).chain(texts).collect();
    all.sort_unstable();
    all
}

/// All names of functions, for a hint.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    let controls = CONTROLS.iter().map(|c| c.0);
    let texts = TEXTS.iter().map(|t| t.0);
    let names = controls.chain(functions().map(|f| f.name)).chain(texts);
    names.filter(|name| !name.starts_with('_'))
}

/// Returns the reason why a function of jq is left out.
pub(super) fn withheld(name: &str) -> Option<&'static str> {
    let found = WITHHELD.iter().find(|(names, _)| names.contains(&name))?;
    Some(found.1)
}

fn functions() -> impl Iterator<Item = &'static Function> {
    [
        strings::FUNCTIONS,
        numbers::FUNCTIONS,
        floats::FUNCTIONS,
        arrays::FUNCTIONS,
        objects::FUNCTIONS,
        patterns::FUNCTIONS,
        dates::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}
