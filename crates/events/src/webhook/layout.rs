//! Layouts: the ways in which services sign their requests.

/// The way in which a service signs its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// Standard Webhooks 1.0.0, with the headers `webhook-…`, or `svix-…` as Svix names them.
    Standard,
    /// GitHub.
    Github,
    /// Stripe.
    Stripe,
    /// Slack's Events API and interactive messages.
    Slack,
    /// A signature over the body in a header.
    Hmac(HmacLayout),
}

impl Layout {
    /// The name of the layout, as configuration has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Github => "github",
            Self::Stripe => "stripe",
            Self::Slack => "slack",
            Self::Hmac(_) => "hmac",
        }
    }
}

/// A header that holds a signature over the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HmacLayout {
    /// In lower case.
    pub(super) header: String,
    pub(super) prefix: String,
    pub(super) encoding: Option<Encoding>,
}

/// The form in which a signature is text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 64 hexadecimal digits.
    Hex,
    /// Base64 (RFC 4648, section 4), with or without padding.
    Base64,
}

almanac_base::message_error! {
    /// The reason for which a header cannot hold signatures.
    pub InvalidLayout
}

/// Maximum length of a header's name and of a prefix, in bytes.
const LONGEST: usize = 100;

impl HmacLayout {
    /// Describes the header. `prefix` stands before each signature (such as `sha256=`), and may be
    /// empty. Without an encoding, the signature's length tells it.
    pub fn new(
        header: &str,
        prefix: &str,
        encoding: Option<Encoding>,
    ) -> Result<Self, InvalidLayout> {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if header.is_empty() || header.len() > LONGEST || !header.bytes().all(is_token) {
            let message = format!("the header must be the name of one, of at most {LONGEST} bytes");
            return Err(message.into());
        }
        if prefix.len() > LONGEST || !prefix.bytes().all(|b| b.is_ascii_graphic()) {
            let message =
                format!("the prefix must have at most {LONGEST} ASCII characters and no spaces");
            return Err(message.into());
        }
        Ok(Self {
            header: header.to_ascii_lowercase(),
            prefix: prefix.to_owned(),
            encoding,
        })
    }

    /// The name of the header, in lower case.
    pub fn header(&self) -> &str {
        &self.header
    }

    /// The text before each signature. Empty if there is none.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The form of the signatures. `None` if their length tells it.
    pub fn encoding(&self) -> Option<Encoding> {
        self.encoding
    }
}

impl Encoding {
    /// The name of the form, as configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::Base64 => "base64",
        }
    }
}
