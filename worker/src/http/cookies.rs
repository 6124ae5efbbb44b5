//! The cookies of this process: reading those that a request shows, and setting them.
//!
//! Always holds: a cookie is read only under the name under which it would be set for the
//! request's host. Beyond loopback, that name begins with `__Host-`. A browser takes such
//! a cookie only over TLS and only from this host, so another host of the same domain
//! cannot set it. On loopback there is no TLS, and the name has no prefix.

use axum::http::{HeaderMap, HeaderValue, header};

/// Maximum length of a cookie's value, in bytes. Browsers keep cookies of up to 4,096
/// bytes, name included.
pub(super) const VALUE_LIMIT: usize = 3800;

/// A kind of cookie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cookie {
    /// Name on hosts that are not loopback.
    prefixed: &'static str,
    /// Name on loopback.
    plain: &'static str,
    /// Value of the attribute `SameSite`.
    same_site: &'static str,
    /// Attribute that states its life; without one, the cookie ends with the browser.
    life: &'static str,
}

/// The session of a person who has logged in. It is never sent with a request that
/// another site causes.
pub(super) const SESSION: Cookie = Cookie {
    prefixed: "__Host-almanac-session",
    plain: "almanac-session",
    same_site: "Strict",
    life: "",
};

/// The secret that makes the tokens of forms. It is sent when a person follows a link
/// from another site: a new secret would make the forms of other open pages invalid. It
/// is not sent with a form of another site.
pub(super) const FORMS: Cookie = Cookie {
    prefixed: "__Host-almanac-forms",
    plain: "almanac-forms",
    same_site: "Lax",
    life: "",
};

/// The choice of colors, for a year.
pub(super) const THEME: Cookie = Cookie {
    prefixed: "__Host-almanac-theme",
    plain: "almanac-theme",
    same_site: "Strict",
    life: "; Max-Age=31536000",
};

impl Cookie {
    const fn name(self, is_loopback: bool) -> &'static str {
        if is_loopback {
            self.plain
        } else {
            self.prefixed
        }
    }

    /// Returns the value that a request shows. `None` if the request shows no such cookie,
    /// or shows it twice.
    pub(super) fn read(self, headers: &HeaderMap, is_loopback: bool) -> Option<&str> {
        let name = self.name(is_loopback);
        let mut values = headers
            .get_all(header::COOKIE)
            .iter()
            .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
            .filter_map(|pair| {
                let (shown, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
                (shown.trim() == name).then(|| value.trim())
            });
        let value = values.next().filter(|value| is_value(value))?;
        values.next().is_none().then_some(value)
    }

    /// Returns the header that sets the cookie. `None` if a cookie cannot have this value.
    pub(super) fn set(self, is_loopback: bool, value: &str) -> Option<HeaderValue> {
        is_value(value).then(|| self.header(is_loopback, value, self.life))?
    }

    /// Returns the header that removes the cookie.
    pub(super) fn remove(self, is_loopback: bool) -> Option<HeaderValue> {
        self.header(is_loopback, "", "; Max-Age=0")
    }

    fn header(self, is_loopback: bool, value: &str, end: &str) -> Option<HeaderValue> {
        let name = self.name(is_loopback);
        let secure = if is_loopback { "" } else { "; Secure" };
        let same_site = self.same_site;
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}{secure}{end}");
        HeaderValue::try_from(text).ok()
    }
}

/// Returns `true` if a cookie can have this value: RFC 6265, section 4.1.1.
fn is_value(text: &str) -> bool {
    (1..=VALUE_LIMIT).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[&[u8]]) -> HeaderMap {
        let all = all.iter().map(|value| {
            let value = HeaderValue::from_bytes(value).unwrap();
            (header::COOKIE, value)
        });
        let mut headers = HeaderMap::new();
        headers.extend(all);
        headers
    }

    fn read(all: &[&[u8]]) -> Option<String> {
        SESSION.read(&headers(all), true).map(str::to_owned)
    }

    #[test]
    fn one_cookie_of_the_name_is_read() {
        let long = "x".repeat(VALUE_LIMIT);
        for (shown, expected) in [
            ("almanac-session=a.b-c", Some("a.b-c")),
            ("x=y;almanac-session=a;z", Some("a")),
            ("x=y; almanac-session = a ; z=1", Some("a")),
            ("almanac-session=a=b=", Some("a=b=")),
            (&format!("almanac-session={long}"), Some(&long)),
            (&format!("almanac-session={long}x"), None),
            ("almanac-session=", None),
            ("almanac-session", None),
            ("Almanac-Session=a", None),
            ("almanac-session2=a", None),
            ("xalmanac-session=a", None),
            ("x=almanac-session=a", None),
            ("__Host-almanac-session=a", None),
            ("almanac-session=a\"b", None),
            ("almanac-session=\"a\"", None),
            ("almanac-session=a b", None),
            ("almanac-session=a,b", None),
            ("almanac-session=a; almanac-session=a", None),
            ("almanac-session=; almanac-session=a", None),
            ("", None),
            (";;==;=;", None),
        ] {
            assert_eq!(read(&[shown.as_bytes()]).as_deref(), expected, "{shown}");
        }
        assert_eq!(
            read(&[b"\xff=\xfe; almanac-session=a"]).as_deref(),
            Some("a")
        );
        assert_eq!(read(&[b"almanac-session=\xff"]), None);
        assert_eq!(read(&[b"x=y", b"almanac-session=a"]).as_deref(), Some("a"));
        assert_eq!(read(&[b"almanac-session=a", b"almanac-session=b"]), None);
    }

    #[test]
    fn beyond_loopback_only_a_cookie_that_no_other_host_can_set_is_read() {
        let both = headers(&[b"almanac-session=a; __Host-almanac-session=b"]);
        assert_eq!(SESSION.read(&both, false), Some("b"));
        assert_eq!(SESSION.read(&both, true), Some("a"));
    }

    #[test]
    fn a_cookie_is_set_with_all_its_attributes() {
        let text = |value: Option<HeaderValue>| value.unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            text(SESSION.set(false, "a.b")),
            "__Host-almanac-session=a.b; Path=/; HttpOnly; SameSite=Strict; Secure"
        );
        assert_eq!(
            text(SESSION.set(true, "a.b")),
            "almanac-session=a.b; Path=/; HttpOnly; SameSite=Strict"
        );
        assert_eq!(
            text(FORMS.set(false, "a")),
            "__Host-almanac-forms=a; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            text(THEME.set(true, "dark")),
            "almanac-theme=dark; Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000"
        );
        assert_eq!(
            text(SESSION.remove(false)),
            "__Host-almanac-session=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0"
        );
        for bad in ["", "a b", "a;b", "a\r\nb", "\u{e4}", &"x".repeat(3801)] {
            assert_eq!(SESSION.set(true, bad), None, "{bad}");
        }
    }
}
