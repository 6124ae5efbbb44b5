//! The block `webhook` of an event type: the address of another service's requests.
//!
//! The block names secrets, and never holds one. An author may write a secret all the same, so no
//! message shows a value that is not the name of a secret, and no snippet shows its line.

use almanac_base::names::{DefinitionId, is_secret_name};
use almanac_base::nearest;
use almanac_base::shape::Shape;
use almanac_events::webhook::{Encoding, HmacLayout, Layout, MAX_SECRETS};

use super::Webhook;
use super::decode::{Decoder, Object, describe};
use super::document::bad_id;
use super::yaml::{Entry, Node, Value};

pub(super) const WEBHOOK: Shape = Shape {
    name: "a webhook",
    keys: &["slug", "layout", "secrets", "header", "prefix", "encoding"],
    refused: &[],
};

/// Names of the layouts.
pub(super) const LAYOUTS: [&str; 5] = ["standard", "github", "stripe", "slack", HMAC];
/// Names of the encodings of a signature.
pub(super) const ENCODINGS: [&str; 2] = ["hex", "base64"];
/// Maximum length of the name of a secret, in bytes.
pub(super) const NAME_LIMIT: usize = 64;

/// Name of the layout that has keys of its own.
const HMAC: &str = "hmac";
/// Keys that only this layout has.
const HMAC_KEYS: [&str; 3] = ["header", "prefix", "encoding"];
/// Number of hexadecimal digits from which a text without anything else is taken for a secret.
const HEX_SECRET: usize = 32;
/// Advice for an author who may have written a secret.
const NAMES_ONLY: &str = "a secret stays out of the file: give the worker \
                          `--webhook-secret NAME=file:/path`, and write NAME here";

/// Reads the block. `id` is the id of the event type, as far as it is known.
pub(super) fn webhook(
    decoder: &mut Decoder<'_>,
    entry: &Entry<'_>,
    id: Option<&DefinitionId>,
) -> Option<Webhook> {
    let Value::Map(entries) = &entry.value.value else {
        if !entry.value.is_refused() {
            decoder.hide(entry.value.at);
            decoder.error_with_hint(
                entry.value.at,
                "`webhook` must be a map",
                format!("the keys are {}", WEBHOOK.keys.join(", ")),
            );
        }
        return None;
    };
    for entry in entries {
        // An unknown key may be a mistyped `secrets`.
        if entry.key == "secrets" || !WEBHOOK.keys.contains(&entry.key.as_ref()) {
            hide(decoder, &entry.value);
        }
    }
    let object = decoder.object(entry.at, &entry.value, "webhook", &WEBHOOK)?;
    let slug = match object.get("slug") {
        None if object.has("slug") => None,
        None => id.cloned(),
        Some(entry) => slug(decoder, entry),
    };
    let layout = layout(decoder, &object);
    let secrets = secrets(decoder, &object);
    Some(Webhook {
        slug: slug?,
        layout: layout?,
        secrets: secrets?,
    })
}

/// Hides the lines of all texts that are not the names of secrets.
fn hide(decoder: &mut Decoder<'_>, node: &Node<'_>) {
    match &node.value {
        Value::Null => {}
        Value::List(items) => items.iter().for_each(|item| hide(decoder, item)),
        Value::Map(entries) => {
            for entry in entries {
                if !is_name(&entry.key) {
                    decoder.hide(entry.at);
                }
                hide(decoder, &entry.value);
            }
        }
        Value::Text if is_name(&node.text) => {}
        _ => decoder.hide(node.at),
    }
}

/// Returns `true` if a text can be the name of a secret, and does not look like a secret itself.
fn is_name(text: &str) -> bool {
    let begins_like_one = text
        .get(..6)
        .is_some_and(|start| start.eq_ignore_ascii_case("whsec_"));
    let is_hex = text.len() >= HEX_SECRET && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_secret_name(text) && text.len() <= NAME_LIMIT && !begins_like_one && !is_hex
}

fn slug(decoder: &mut Decoder<'_>, entry: &Entry<'_>) -> Option<DefinitionId> {
    let text = decoder.text(&entry.value, "webhook.slug")?;
    let slug = text.parse().ok();
    if slug.is_none() {
        bad_id(decoder, entry, text, "webhook.slug");
    }
    slug
}

fn layout(decoder: &mut Decoder<'_>, object: &Object<'_>) -> Option<Layout> {
    let Some(entry) = object.get("layout") else {
        if !object.has("layout") {
            let hint = format!("the layouts are {}", LAYOUTS.join(", "));
            decoder.error_with_hint(object.at, "`webhook.layout` is missing", hint);
        }
        return None;
    };
    let name = choice(decoder, &entry.value, "layout", &LAYOUTS)?;
    if name == HMAC {
        return hmac(decoder, object).map(Layout::Hmac);
    }
    let mut is_good = true;
    for entry in HMAC_KEYS.iter().filter_map(|key| object.get(key)) {
        let message = format!("`webhook.{}` needs `layout: {HMAC}`", entry.key);
        decoder.error(entry.at, message);
        is_good = false;
    }
    is_good.then_some(match name {
        "standard" => Layout::Standard,
        "github" => Layout::Github,
        "stripe" => Layout::Stripe,
        _ => Layout::Slack,
    })
}

fn hmac(decoder: &mut Decoder<'_>, object: &Object<'_>) -> Option<HmacLayout> {
    for key in ["header", "encoding"] {
        if !object.has(key) {
            let message = format!("`webhook.{key}` is missing, which `layout: {HMAC}` needs");
            decoder.error(object.at, message);
        }
    }
    let header = object.get("header").and_then(|entry| {
        let text = decoder.text(&entry.value, "webhook.header")?;
        Some((entry, text))
    });
    let mut prefix = Some("");
    if let Some(entry) = object.get("prefix") {
        prefix = decoder.text(&entry.value, "webhook.prefix");
    }
    let encoding = object.get("encoding");
    let encoding =
        encoding.and_then(|entry| choice(decoder, &entry.value, "encoding", &ENCODINGS))?;
    let encoding = match encoding {
        "hex" => Encoding::Hex,
        _ => Encoding::Base64,
    };
    let (entry, header) = header?;
    let layout = HmacLayout::new(header, prefix?, Some(encoding));
    layout
        .map_err(|error| decoder.error(entry.value.at, format!("`webhook`: {error}")))
        .ok()
}

/// Reads one of a few words.
fn choice(
    decoder: &mut Decoder<'_>,
    node: &Node<'_>,
    key: &str,
    names: &[&'static str],
) -> Option<&'static str> {
    if node.is_refused() {
        return None;
    }
    let known = names.iter().find(|name| **name == node.text);
    if known.is_none() {
        let message = format!(
            "`webhook.{key}` must be one of {}, not {}",
            names.join(", "),
            describe(node)
        );
        match nearest::hint(&node.text, names) {
            Some(hint) => decoder.error_with_hint(node.at, message, hint),
            None => decoder.error(node.at, message),
        }
    }
    known.copied()
}

fn secrets(decoder: &mut Decoder<'_>, object: &Object<'_>) -> Option<Vec<String>> {
    let Some(entry) = object.get("secrets") else {
        if !object.has("secrets") {
            decoder.error_with_hint(object.at, "`webhook.secrets` is missing", NAMES_ONLY);
        }
        return None;
    };
    let node = &entry.value;
    let Value::List(items) = &node.value else {
        if !node.is_refused() {
            let message = "`webhook.secrets` must be a list of names of secrets";
            decoder.error_with_hint(node.at, message, NAMES_ONLY);
        }
        return None;
    };
    if items.is_empty() || items.len() > MAX_SECRETS {
        let message = format!(
            "`webhook.secrets` must have 1 name, or {MAX_SECRETS} while a secret is replaced, not {}",
            items.len()
        );
        decoder.error(node.at, message);
        return None;
    }
    let mut names: Vec<String> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("`webhook.secrets[{index}]`");
        match &item.value {
            Value::Refused => {}
            Value::Text if is_name(&item.text) => {
                if names.iter().any(|name| *name == *item.text) {
                    decoder.error(item.at, format!("{path} is the same as the other name"));
                }
                names.push(item.text.to_string());
            }
            _ => decoder.error_with_hint(
                item.at,
                format!(
                    "{path} is not the name of a secret: a name has 1 to {NAME_LIMIT} letters, \
                     digits, `-`, `_` and `.`, and does not look like a secret"
                ),
                NAMES_ONLY,
            ),
        }
    }
    (names.len() == items.len()).then_some(names)
}
