//! Values that an evaluation works on.
//!
//! Lists and maps are shared, so a copy of one is cheap. Each stores its size and depth as if
//! nothing were shared, so that a small program cannot make a value with a large text. Maps
//! are in the order of their keys.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::meter::{Limit, MAX_DEPTH, MAX_SIZE, Meter};
use super::number::Num;
use super::stop::Stop;

/// Number of bytes that a value takes in addition to its text, items or entries.
pub(super) const FLAT: usize = 16;
/// Number of bytes that an entry of a map takes in addition to its key's text and its value.
pub(super) const ENTRY: usize = 48;

/// A value. The order is jq's: null, false, true, numbers, strings, arrays, objects.
#[derive(Debug, Clone, Default)]
pub(super) enum Val {
    #[default]
    Null,
    Bool(bool),
    Num(Num),
    Str(Arc<str>),
    Arr(Arc<List>),
    Obj(Arc<Map>),
}

/// Items with their size and depth.
#[derive(Debug, Clone)]
pub(super) struct List {
    items: Vec<Val>,
    size: usize,
    depth: usize,
}

/// Entries with their size and depth.
#[derive(Debug, Clone)]
pub(super) struct Map {
    entries: BTreeMap<Arc<str>, Val>,
    size: usize,
    depth: usize,
}

impl List {
    pub(super) fn items(&self) -> &[Val] {
        &self.items
    }
}

impl Map {
    pub(super) fn entries(&self) -> &BTreeMap<Arc<str>, Val> {
        &self.entries
    }
}

impl Val {
    /// Makes a text of the program itself, which the meter does not count.
    pub(super) fn text(text: &str) -> Self {
        Self::Str(text.into())
    }

    pub(super) fn int(value: usize) -> Self {
        Self::Num(Num::Int(value as i128))
    }

    pub(super) fn string(meter: &Meter, text: &str) -> Result<Self, Stop> {
        meter.allocate(FLAT + text.len())?;
        sized(text.len(), 0)?;
        Ok(Self::Str(text.into()))
    }

    pub(super) fn list(meter: &Meter, items: Vec<Val>) -> Result<Self, Stop> {
        meter.allocate(FLAT * items.len())?;
        meter.steps(items.len() / 4)?;
        Self::unmetered_list(items)
    }

    fn unmetered_list(items: Vec<Val>) -> Result<Self, Stop> {
        let size = items.iter().map(|item| FLAT + item.size()).sum();
        let depth = 1 + items.iter().map(Val::depth).max().unwrap_or(0);
        sized(size, depth)?;
        Ok(Self::Arr(Arc::new(List { items, size, depth })))
    }

    pub(super) fn map(meter: &Meter, entries: BTreeMap<Arc<str>, Val>) -> Result<Self, Stop> {
        meter.allocate(ENTRY * entries.len())?;
        meter.steps(entries.len() / 2)?;
        Self::unmetered_map(entries)
    }

    fn unmetered_map(entries: BTreeMap<Arc<str>, Val>) -> Result<Self, Stop> {
        let size = entries.iter().map(|(key, value)| entry(key, value)).sum();
        let depth = 1 + entries.values().map(Val::depth).max().unwrap_or(0);
        sized(size, depth)?;
        Ok(Self::Obj(Arc::new(Map {
            entries,
            size,
            depth,
        })))
    }

    /// Bytes of memory beside the value itself, as if nothing were shared.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Num(_) => 0,
            Self::Str(text) => text.len(),
            Self::Arr(list) => list.size,
            Self::Obj(map) => map.size,
        }
    }

    pub(super) fn depth(&self) -> usize {
        match self {
            Self::Arr(list) => list.depth,
            Self::Obj(map) => map.depth,
            _ => 0,
        }
    }

    pub(super) fn is_true(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Num(_) => "number",
            Self::Str(_) => "string",
            Self::Arr(_) => "array",
            Self::Obj(_) => "object",
        }
    }

    /// Returns the items of a list; copied, and counted, if the list is shared.
    pub(super) fn into_items(meter: &Meter, list: Arc<List>) -> Result<Vec<Val>, Stop> {
        match Arc::try_unwrap(list) {
            Ok(list) => Ok(list.items),
            Err(list) => {
                meter.allocate(FLAT * list.items.len())?;
                Ok(list.items.clone())
            }
        }
    }

    /// Returns the entries of a map; copied, and counted, if the map is shared.
    pub(super) fn into_entries(
        meter: &Meter,
        map: Arc<Map>,
    ) -> Result<BTreeMap<Arc<str>, Val>, Stop> {
        match Arc::try_unwrap(map) {
            Ok(map) => Ok(map.entries),
            Err(map) => {
                meter.allocate(ENTRY * map.entries.len())?;
                meter.steps(map.entries.len())?;
                Ok(map.entries.clone())
            }
        }
    }

    /// Adds to the end of a list, in place if the list is not shared.
    pub(super) fn push(meter: &Meter, mut list: Arc<List>, item: Val) -> Result<Arc<List>, Stop> {
        if Arc::get_mut(&mut list).is_none() {
            meter.allocate(FLAT * list.items.len())?;
        }
        meter.allocate(FLAT)?;
        let size = list.size + FLAT + item.size();
        let depth = list.depth.max(1 + item.depth());
        sized(size, depth)?;
        let inner = Arc::make_mut(&mut list);
        (inner.size, inner.depth) = (size, depth);
        inner.items.push(item);
        Ok(list)
    }

    /// Takes an item out of a list and leaves null; copies the item if the list is shared.
    pub(super) fn take_item(list: &mut Arc<List>, index: usize) -> Self {
        let Some(inner) = Arc::get_mut(list) else {
            return list.items.get(index).cloned().unwrap_or(Self::Null);
        };
        let item = inner.items.get_mut(index).map(std::mem::take);
        let item = item.unwrap_or(Self::Null);
        inner.size = inner.size.saturating_sub(item.size());
        item
    }

    /// Takes a value out of a map and leaves null; copies the value if the map is shared.
    pub(super) fn take_entry(map: &mut Arc<Map>, key: &str) -> Self {
        let Some(inner) = Arc::get_mut(map) else {
            return map.entries.get(key).cloned().unwrap_or(Self::Null);
        };
        let value = inner.entries.get_mut(key).map(std::mem::take);
        let value = value.unwrap_or(Self::Null);
        inner.size = inner.size.saturating_sub(value.size());
        value
    }

    /// Sets an item that the list has, in place if the list is not shared. The depth only grows.
    pub(super) fn replace(
        meter: &Meter,
        mut list: Arc<List>,
        index: usize,
        item: Val,
    ) -> Result<Self, Stop> {
        if Arc::get_mut(&mut list).is_none() {
            meter.allocate(FLAT * list.items.len())?;
        }
        let before = list.items.get(index).map_or(0, Val::size);
        let size = (list.size + item.size()).saturating_sub(before);
        let depth = list.depth.max(1 + item.depth());
        sized(size, depth)?;
        let inner = Arc::make_mut(&mut list);
        (inner.size, inner.depth) = (size, depth);
        if let Some(place) = inner.items.get_mut(index) {
            *place = item;
        }
        Ok(Self::Arr(list))
    }

    /// Sets an entry of a map, in place if the map is not shared. The depth only grows.
    pub(super) fn insert(
        meter: &Meter,
        mut map: Arc<Map>,
        key: Arc<str>,
        value: Val,
    ) -> Result<Arc<Map>, Stop> {
        if Arc::get_mut(&mut map).is_none() {
            meter.allocate(ENTRY * map.entries.len())?;
            meter.steps(map.entries.len())?;
        }
        meter.allocate(ENTRY + 8 * key.len())?;
        let before = map.entries.get(&key).map_or(0, |old| entry(&key, old));
        let size = (map.size + entry(&key, &value)).saturating_sub(before);
        let depth = map.depth.max(1 + value.depth());
        sized(size, depth)?;
        let inner = Arc::make_mut(&mut map);
        (inner.size, inner.depth) = (size, depth);
        inner.entries.insert(key, value);
        Ok(map)
    }

    /// Converts external data. The caller has measured the data: only size and depth are checked.
    pub(super) fn from_json(json: &Json) -> Result<Self, Stop> {
        Self::at_depth(json, 0)
    }

    fn at_depth(json: &Json, level: usize) -> Result<Self, Stop> {
        if level > MAX_DEPTH {
            return Err(Stop::Exceeded(Limit::Depth));
        }
        match json {
            Json::Null => Ok(Self::Null),
            Json::Bool(value) => Ok(Self::Bool(*value)),
            Json::Number(number) => Ok(Self::Num(Num::from_json(number))),
            Json::String(text) => Ok(Self::text(text)),
            Json::Array(items) => {
                let items = items.iter().map(|item| Self::at_depth(item, level + 1));
                Self::unmetered_list(items.collect::<Result<_, _>>()?)
            }
            Json::Object(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    Ok((key.as_str().into(), Self::at_depth(value, level + 1)?))
                });
                Self::unmetered_map(entries.collect::<Result<_, Stop>>()?)
            }
        }
    }

    pub(super) fn to_json(&self) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Num(number) => number.to_json(),
            Self::Str(text) => Json::String(text.as_ref().to_owned()),
            Self::Arr(list) => Json::Array(list.items.iter().map(Val::to_json).collect()),
            Self::Obj(map) => {
                let entries = map.entries.iter();
                Json::Object(
                    entries
                        .map(|(key, value)| (key.as_ref().to_owned(), value.to_json()))
                        .collect(),
                )
            }
        }
    }

    /// The value's JSON as a text.
    pub(super) fn write(&self, meter: &Meter) -> Result<String, Stop> {
        meter.allocate(FLAT + self.size())?;
        meter.steps(self.size() / FLAT)?;
        let mut text = String::new();
        self.write_to(&mut text);
        Ok(text)
    }

    /// Writes the value's JSON. The function recurses no deeper than the value's depth.
    fn write_to(&self, text: &mut String) {
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Self::Num(number) => number.write(text),
            Self::Str(string) => write_string(string, text),
            Self::Arr(list) => {
                text.push('[');
                for (index, item) in list.items.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    item.write_to(text);
                }
                text.push(']');
            }
            Self::Obj(map) => {
                text.push('{');
                for (index, (key, value)) in map.entries.iter().enumerate() {
                    if index > 0 {
                        text.push(',');
                    }
                    write_string(key, text);
                    text.push(':');
                    value.write_to(text);
                }
                text.push('}');
            }
        }
    }
}

/// Writes a string as JSON; like jq, it escapes U+007F, too.
fn write_string(string: &str, text: &mut String) {
    let quoted = Json::from(string).to_string();
    if quoted.contains('\u{7f}') {
        text.push_str(&quoted.replace('\u{7f}', "\\u007f"));
    } else {
        text.push_str(&quoted);
    }
}

fn entry(key: &str, value: &Val) -> usize {
    ENTRY + key.len() + value.size()
}

fn sized(size: usize, depth: usize) -> Result<(), Stop> {
    if size as u64 > MAX_SIZE {
        return Err(Stop::Exceeded(Limit::Size));
    }
    if depth > MAX_DEPTH {
        return Err(Stop::Exceeded(Limit::Depth));
    }
    Ok(())
}

impl Val {
    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(false) => 1,
            Self::Bool(true) => 2,
            Self::Num(_) => 3,
            Self::Str(_) => 4,
            Self::Arr(_) => 5,
            Self::Obj(_) => 6,
        }
    }
}

impl Ord for Val {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Num(a), Self::Num(b)) => a.cmp(b),
            // The order by bytes of UTF-8 is the order by code points.
            (Self::Str(a), Self::Str(b)) => a.cmp(b),
            (Self::Arr(a), Self::Arr(b)) => a.items.cmp(&b.items),
            (Self::Obj(a), Self::Obj(b)) => {
                let keys = a.entries.keys().cmp(b.entries.keys());
                keys.then_with(|| a.entries.values().cmp(b.entries.values()))
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Val {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Equality follows the order, so that the size and depth of a list are not compared.
impl PartialEq for Val {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Val {}
