//! Functions of numbers: those that IEEE 754 defines to the last bit.

use super::shown;
use crate::expression::builtin::Function;
use crate::expression::number::Num;
use crate::expression::run::Run;
use crate::expression::stop::Stop;
use crate::expression::value::Val;

pub(in crate::expression) const FUNCTIONS: &[Function] = &[
    Function {
        name: "floor",
        arity: 0,
        call: |_, x, _| float(&x, f64::floor),
    },
    Function {
        name: "ceil",
        arity: 0,
        call: |_, x, _| float(&x, f64::ceil),
    },
    Function {
        name: "round",
        arity: 0,
        call: |_, x, _| float(&x, f64::round),
    },
    Function {
        name: "trunc",
        arity: 0,
        call: |_, x, _| float(&x, f64::trunc),
    },
    Function {
        name: "fabs",
        arity: 0,
        call: |_, x, _| float(&x, f64::abs),
    },
    Function {
        name: "sqrt",
        arity: 0,
        call: |_, x, _| root(&x),
    },
    Function {
        name: "abs",
        arity: 0,
        call: abs,
    },
];

fn number(value: &Val) -> Result<Num, Stop> {
    match value {
        Val::Num(number) => Ok(*number),
        other => Err(Stop::error(format!("{} is not a number", shown(other)))),
    }
}

/// Applies a function to a number. Only the sign of a whole number can change.
fn float(value: &Val, f: fn(f64) -> f64) -> Result<Val, Stop> {
    Ok(Val::Num(match number(value)? {
        Num::Int(whole) if whole < 0 => Num::whole(if f(-1.0) > 0.0 { -whole } else { whole })?,
        Num::Int(whole) => Num::Int(whole),
        Num::Float(value) => Num::of(f(value))?,
    }))
}

fn root(value: &Val) -> Result<Val, Stop> {
    Ok(Val::Num(Num::of(number(value)?.float().sqrt())?))
}

/// Returns the absolute value. A value of any kind that is not below zero does not change, as in
/// jq.
fn abs(_: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    if value < Val::int(0) {
        return Ok(Val::Num(number(&value)?.negate()?));
    }
    Ok(value)
}
