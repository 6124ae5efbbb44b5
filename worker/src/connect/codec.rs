//! The codec that the flags choose.

use std::sync::Arc;

use almanac_activities::codec::{Codec, KeyRing, RemoteCodec};
use anyhow::Context as _;
use temporalio_common::data_converters::DataConverter;

use crate::args::CodecArgs;
use crate::reloading_file::{ReloadingFile, Unusable, UnusableFile};

/// A key file, which is read again when it changes.
pub(crate) type KeyFile = ReloadingFile<KeyRing>;

/// The codec of a process.
#[derive(Debug, Clone)]
pub struct ChosenCodec {
    codec: Codec,
    file: Option<Arc<KeyFile>>,
    encodes_failures: bool,
}

impl ChosenCodec {
    /// Opens the codec for the payloads of a namespace.
    pub(super) fn open(args: &CodecArgs, namespace: &str) -> anyhow::Result<Self> {
        // A variable may set this flag, so it is not left to the command line's parser.
        anyhow::ensure!(
            !args.codec_failures || args.codec_key_file.is_some() || args.codec_endpoint.is_some(),
            "--codec-failures needs --codec-key-file or --codec-endpoint: nothing else encrypts"
        );
        let file = args.codec_key_file.as_ref();
        let file = file.map(|path| open_key_file(path.clone())).transpose()?;
        let auth = args.codec_auth.clone().transpose();
        let auth = auth.map_err(|why| {
            anyhow::anyhow!("--codec-auth: the text must be in env:VARIABLE or file:/path; {why}")
        })?;
        let codec = match (&file, &args.codec_endpoint) {
            (Some(file), _) => of_file(file),
            (None, Some(endpoint)) => {
                let remote = RemoteCodec::new(endpoint, namespace, auth);
                Codec::remote(remote.context("--codec-endpoint")?)
            }
            (None, None) => Codec::default(),
        };
        Ok(Self {
            codec,
            file,
            encodes_failures: args.codec_failures,
        })
    }

    /// The codec.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    pub(super) fn data_converter(&self) -> DataConverter {
        self.codec.data_converter(self.encodes_failures)
    }

    /// Follows changes of the key file, for ever. Returns if there is none.
    pub(crate) async fn follow(&self) {
        if let Some(file) = &self.file {
            file.follow().await;
        }
    }
}

/// Opens a key file.
pub(crate) fn open_key_file(path: std::path::PathBuf) -> Result<Arc<KeyFile>, UnusableFile> {
    let parse =
        |bytes: &[u8]| KeyRing::parse(bytes).map_err(|error| Unusable::from(error.to_string()));
    let file = ReloadingFile::open("--codec-key-file", path, parse)?;
    Ok(Arc::new(file.secret()))
}

/// A codec with the present keys of a file.
pub(crate) fn of_file(file: &Arc<KeyFile>) -> Codec {
    let file = Arc::clone(file);
    Codec::with_keys(move || file.now())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(args: &CodecArgs) -> String {
        let error = ChosenCodec::open(args, "default").unwrap_err();
        format!("{error:#}")
    }

    #[test]
    fn messages_of_failures_are_not_taken_for_encrypted_without_a_codec() {
        let args = CodecArgs {
            codec_failures: true,
            ..CodecArgs::default()
        };
        let shown = error(&args);
        assert!(
            shown.contains("needs --codec-key-file or --codec-endpoint"),
            "{shown}"
        );
    }

    #[test]
    fn a_secret_that_somebody_wrote_in_place_of_its_source_is_not_shown() {
        let args = CodecArgs {
            codec_endpoint: Some("https://codec.example".to_owned()),
            codec_auth: Some("Bearer hunter2".parse()),
            ..CodecArgs::default()
        };
        let shown = error(&args);
        assert!(shown.starts_with("--codec-auth: "), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
