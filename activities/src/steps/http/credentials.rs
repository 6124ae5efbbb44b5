//! Authentication of calls: basic, bearer and digest.

use almanac_steps::language::AuthenticationScheme as Scheme;
use almanac_steps::machine::{RequestAuthentication, RequestCredentials, Standard};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde_json::Value;

use super::super::StepError;
use super::super::secrets::{Binding, Scrubber, Secret, SecretError, Secrets};
use super::digest;

/// Resolved credentials of a caller, and the hosts that may see them.
#[derive(Debug, Clone)]
pub(in super::super) struct Credentials {
    shown: Shown,
    /// Binding of the secret. `None` if the definition holds the credentials itself.
    binding: Option<Binding>,
}

#[derive(Debug, Clone)]
enum Shown {
    Basic { username: String, password: Secret },
    Bearer { token: Secret },
    Digest { username: String, password: Secret },
}

impl Credentials {
    /// Resolves the name of a secret, or takes the credentials from the definition.
    pub(in super::super) fn of(
        authentication: Option<&RequestAuthentication>,
        secrets: &Secrets,
    ) -> Result<Option<Self>, StepError> {
        let Some(RequestAuthentication {
            scheme,
            credentials,
        }) = authentication
        else {
            return Ok(None);
        };
        let own = match credentials {
            RequestCredentials::Inline(value) => Self {
                shown: Shown::of_value(*scheme, value)
                    .map_err(|why| StepError::configuration(format!("the authentication {why}")))?,
                binding: None,
            },
            RequestCredentials::Secret(name) => {
                let (text, binding) = secrets.read(name).map_err(unauthorized)?;
                let shown = Shown::of_secret(*scheme, &text).map_err(|why| {
                    let name = name.clone();
                    StepError::configuration(SecretError::Shape { name, why }.to_string())
                })?;
                Self {
                    shown,
                    binding: Some(binding),
                }
            }
        };
        own.shown.sendable().map_err(StepError::configuration)?;
        Ok(Some(own))
    }

    /// Refuses a URL that the credentials may not be sent to.
    pub(super) fn check(&self, url: &Url) -> Result<(), StepError> {
        let check = |binding: &Binding| binding.check(url).map_err(unauthorized);
        self.binding.as_ref().map_or(Ok(()), check)
    }

    /// Adds the texts that must not come back to the scrubber.
    pub(super) fn known_to(&self, scrubber: &mut Scrubber) {
        match &self.shown {
            Shown::Bearer { token } => scrubber.know(token.expose()),
            Shown::Basic { username, password } => {
                scrubber.know(&format!("{username}:{}", password.expose()));
                scrubber.know(password.expose());
            }
            Shown::Digest { password, .. } => scrubber.know(password.expose()),
        }
    }

    /// Returns the header of a first request. `None` for digest, which needs a challenge.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        sensitive(match &self.shown {
            Shown::Basic { username, password } => {
                let both = format!("{username}:{}", password.expose());
                format!("Basic {}", BASE64_STANDARD.encode(both))
            }
            Shown::Bearer { token } => format!("Bearer {}", token.expose()),
            Shown::Digest { .. } => return None,
        })
    }

    /// Returns the header of a second request, which answers `WWW-Authenticate` headers.
    pub(super) fn answer<'h>(
        &self,
        challenges: impl Iterator<Item = &'h str>,
        method: &str,
        uri: &str,
    ) -> Option<HeaderValue> {
        let Shown::Digest { username, password } = &self.shown else {
            return None;
        };
        let challenge = digest::strongest(challenges)?;
        sensitive(challenge.answer(method, uri, username, password)?)
    }
}

/// The specification's error for a secret that cannot be used.
#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by it")]
fn unauthorized(error: SecretError) -> StepError {
    StepError::lasting(Standard::Authorization, error.to_string())
}

impl Shown {
    fn of_value(scheme: Scheme, value: &Value) -> Result<Self, &'static str> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        if scheme == Scheme::Bearer {
            let token = text("token").ok_or("must have a `token` that is text")?;
            let token = Secret::new(token);
            return Ok(Self::Bearer { token });
        }
        let both = text("username").zip(text("password"));
        let (username, password) =
            both.ok_or("must have a `username` and a `password` that are text")?;
        Ok(Self::user(scheme, username, password))
    }

    /// Parses a secret: a JSON object with the properties of its scheme, or only the token
    /// or `username:password`.
    fn of_secret(scheme: Scheme, secret: &Secret) -> Result<Self, &'static str> {
        if let Ok(value @ Value::Object(_)) = serde_json::from_str(secret.expose()) {
            return Self::of_value(scheme, &value);
        }
        if scheme == Scheme::Bearer {
            let token = Secret::new(secret.expose().trim().to_owned());
            return Ok(Self::Bearer { token });
        }
        let parts = secret.expose().split_once(':');
        let (username, password) = parts
            .ok_or("must be a JSON object with `username` and `password`, or username:password")?;
        Ok(Self::user(scheme, username.to_owned(), password.to_owned()))
    }

    fn user(scheme: Scheme, username: String, password: String) -> Self {
        let password = Secret::new(password);
        if scheme == Scheme::Digest {
            Self::Digest { username, password }
        } else {
            Self::Basic { username, password }
        }
    }

    /// Checks that a header can carry the credentials.
    fn sendable(&self) -> Result<(), &'static str> {
        match self {
            Self::Basic { username, .. } if username.contains(':') => {
                Err("the username of basic authentication cannot contain `:`")
            }
            Self::Bearer { token } if HeaderValue::from_str(token.expose()).is_err() => {
                Err("the token has characters that a header cannot contain")
            }
            _ => Ok(()),
        }
    }
}

/// Makes a header value that `Debug` does not show.
fn sensitive(text: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
