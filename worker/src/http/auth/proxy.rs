//! `--auth proxy`: a proxy in front has identified the user, and names the user and the
//! user's groups in headers.
//!
//! Always holds:
//! - The headers count only in a request from the proxy: the address at the other end of
//!   the TCP connection decides. A header such as `X-Forwarded-For` decides nothing.
//! - Each of the headers occurs at most once. If a proxy adds its own beside one that the
//!   client sent, the request is refused.
//! - A name is refused rather than changed, so that no two users get the same name.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName};

use super::{Credential, Identified, Refusal, Scope};
use crate::args::ProxyRules;

/// Maximum length of a user's name, in bytes.
const NAME_LIMIT: usize = 128;
/// Maximum length of the list of groups, in bytes.
const GROUPS_LIMIT: usize = 16 * 1024;
/// The group that stands for every user.
const EVERY_USER: &str = "*";

/// Returns the user that a proxy names, with the scope of the user's groups.
pub(super) fn identify(
    rules: &ProxyRules,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> Result<Identified, Refusal> {
    let is_known = |peer| rules.from.iter().any(|network| network.contains(peer));
    if !peer.is_some_and(is_known) {
        return Err(Refusal::Elsewhere);
    }
    let name = one(headers, &rules.user, "the user's name")?
        .ok_or(Refusal::Proxy("the proxy names no user"))?;
    if name.len() > NAME_LIMIT {
        return Err(Refusal::Proxy("the user's name is longer than 128 bytes"));
    }
    let groups = one(headers, &rules.groups, "the user's groups")?.unwrap_or_default();
    if groups.len() > GROUPS_LIMIT {
        return Err(Refusal::Proxy("the user's groups take more than 16 KiB"));
    }
    let is_in = |allowed: &[String]| {
        allowed.iter().any(|one| one == EVERY_USER)
            || groups
                .split(',')
                .any(|group| allowed.iter().any(|one| one == group.trim()))
    };
    let scope = if is_in(&rules.operate) {
        Some(Scope::Operate)
    } else {
        is_in(&rules.read).then_some(Scope::Read)
    };
    Ok(Identified {
        name: name.to_owned(),
        scope,
        credential: Credential::Proxy,
    })
}

/// Returns the name of the user, for the forms of this user's pages.
pub(super) fn session<'a>(rules: &ProxyRules, headers: &'a HeaderMap) -> &'a [u8] {
    let name = headers.get(&rules.user);
    name.map_or(b"", |name| name.as_bytes())
}

/// Returns the value of a header; `None` if the header is absent or empty.
fn one<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    what: &'static str,
) -> Result<Option<&'a str>, Refusal> {
    let mut all = headers.get_all(name).iter();
    let value = all.next();
    if all.next().is_some() {
        return Err(Refusal::Twice(what));
    }
    let Some(value) = value else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).ok();
    let text = text.filter(|text| !text.chars().any(char::is_control));
    let text = text.ok_or(Refusal::Proxy(
        "a header of the proxy has control characters, or is not UTF-8",
    ))?;
    Ok(Some(text.trim()).filter(|text| !text.is_empty()))
}
