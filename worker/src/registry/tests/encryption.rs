//! The encryption of payloads, which is a part of the snapshot.

use std::sync::Mutex;

use almanac_activities::codec::KeyRing;
use almanac_core::schedule::Encryption;

use super::*;

fn keys(text: &str) -> Arc<KeyRing> {
    Arc::new(KeyRing::parse(text.as_bytes()).unwrap())
}

#[tokio::test]
async fn another_key_is_another_revision_and_asks_for_a_full_pass() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let present = Arc::new(Mutex::new(keys(&format!("a {key}"))));
    let read = Arc::clone(&present);
    let codec = Codec::with_keys(move || Arc::clone(&read.lock().unwrap()));
    let folder = Folder::with(&[("job.yaml", &document("job", "1"))]);
    let loader = Loader::new(vec![folder.root()], Duration::ZERO).with(parse, Duration::ZERO);
    let registry = Registry::with_loader(vec![folder.root()], loader, codec);
    let plain = folder.registry();
    reloaded(&plain).await;
    reloaded(&registry).await;
    let first = registry.snapshot();
    assert_eq!(first.encryption, Encryption::Key("a".into()));
    assert_ne!(first.revision, plain.snapshot().revision);
    assert!(!registry.has_stale_encryption());
    assert!(!changes(&registry, ReadDepth::Changed).await);

    *present.lock().unwrap() = keys(&format!("b {key}\na {key}"));
    assert!(registry.has_stale_encryption());
    let Ok(Reload::Changed(summary)) = registry.reload(ReadDepth::Changed).await else {
        panic!("nothing changed");
    };
    assert_eq!(summary.changed, None);
    assert_eq!(summary.previous.as_ref(), Some(&first.revision));
    assert_eq!(registry.snapshot().encryption, Encryption::Key("b".into()));
    assert!(!changes(&registry, ReadDepth::Changed).await);

    // Without encryption, the revision is that of the files alone.
    *present.lock().unwrap() = keys(&format!("none\nb {key}"));
    reloaded(&registry).await;
    assert_eq!(registry.snapshot().revision, plain.snapshot().revision);
}
