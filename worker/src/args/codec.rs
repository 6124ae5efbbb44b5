//! The flags of the codec: encryption of the payloads in Temporal.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;

use almanac_activities::codec::AuthSource;
use axum::http::HeaderValue;
use clap::Args;

use super::AuthArgs;
use crate::telemetry::LogFormat;

/// The flags of every command that reads or writes payloads.
#[derive(Debug, Clone, Default, Args)]
pub struct CodecArgs {
    /// Encrypt payloads with the first key of this file, and decrypt them with any of its keys
    ///
    /// Each line is `ID KEY`, with the 32 bytes of the key in Base64. If the first line is `none`,
    /// nothing is encrypted. The file is read again when it changes.
    #[arg(
        long,
        help_heading = "Encryption",
        value_name = "FILE",
        conflicts_with = "codec_endpoint"
    )]
    pub codec_key_file: Option<PathBuf>,
    /// Let the codec server at this address encode and decode payloads
    #[arg(long, help_heading = "Encryption", value_name = "URL")]
    pub codec_endpoint: Option<String>,
    /// Send this text to the codec server in the header `Authorization`
    ///
    /// SOURCE is `env:VARIABLE` or `file:/path`.
    #[arg(
        long,
        help_heading = "Encryption",
        value_name = "SOURCE",
        requires = "codec_endpoint",
        value_parser = auth_source
    )]
    pub codec_auth: Option<Result<AuthSource, &'static str>>,
    /// Encode messages and stack traces of failures too
    #[arg(long, help_heading = "Encryption")]
    pub codec_failures: bool,
}

/// The flags of `almanac codec-server`.
#[derive(Debug, Args)]
pub struct CodecServerArgs {
    /// Decrypt payloads with the keys of this file, and encrypt them with the first
    #[arg(long, value_name = "FILE")]
    pub codec_key_file: PathBuf,
    /// Listen for HTTP on this address
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,
    /// Let pages of this origin, like `https://temporal.example.com`, ask from a browser. Give it
    /// several times, or as a list with commas
    #[arg(long, value_name = "ORIGIN", value_delimiter = ',', value_parser = origin)]
    pub allow_origin: Vec<HeaderValue>,
    /// Write log lines in this format
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
    /// The flags for who may use HTTP.
    #[command(flatten)]
    pub auth: AuthArgs,
}

/// Parses `--codec-auth`. An error is reported later and without the value, because someone may have
/// written the secret itself.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the shape that the command line's parser wants"
)]
fn auth_source(text: &str) -> Result<Result<AuthSource, &'static str>, Infallible> {
    Ok(text.parse())
}

/// Parses an origin in the form in which browsers send it: a scheme, a host, and a port if it is not
/// the usual one.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let url: Result<reqwest::Url, _> = text.parse();
    let url = url.map_err(|error| error.to_string())?;
    let origin = url.origin();
    let is_web = matches!(url.scheme(), "http" | "https");
    if !is_web || origin.ascii_serialization() != text {
        return Err("an origin is like `https://temporal.example.com`, without a path".to_owned());
    }
    HeaderValue::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_no_path_and_no_wildcard() {
        for good in ["https://temporal.example.com", "http://localhost:8233"] {
            assert_eq!(origin(good).unwrap(), good);
        }
        for bad in [
            "*",
            "null",
            "https://a.example/",
            "https://a.example:443",
            "file:///x",
        ] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
