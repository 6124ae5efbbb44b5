//! Event types, and the definitions whose triggers name them.

use std::time::Duration;

use almanac_core::record::DefinitionCounts;
use insta::assert_snapshot;

use super::*;

fn real_registry(folder: &Folder) -> Arc<Registry> {
    Registry::new(vec![folder.root()], Duration::ZERO)
}

const PAID: &str = "kind: event_type\nid: order.paid\nschema: { type: object }\n";
const CAPTURE: &str = "triggers: [{ event: order.paid }]\ndo: [a: { wait: PT1S }]\n";

/// Reloads, and returns the counts of definitions and of event types.
async fn counts(registry: &Arc<Registry>) -> [DefinitionCounts; 2] {
    registry.reload(ReadDepth::Changed).await.unwrap();
    let changed = registry.changed().await;
    [changed.counts, changed.event_types]
}

#[tokio::test]
async fn event_types_are_counted_and_keep_their_last_good_version() {
    let folder = Folder::with(&[("paid.yaml", PAID), ("capture.yaml", CAPTURE)]);
    let registry = real_registry(&folder);
    let [_, first] = counts(&registry).await;
    assert_eq!((first.total, first.new, first.invalid), (1, 1, 0));
    assert_eq!(registry.snapshot().warnings, []);

    folder.save("paid.yaml", &PAID.replace("object", "array"));
    let [_, changed] = counts(&registry).await;
    assert_eq!((changed.total, changed.new, changed.updated), (1, 0, 1));

    folder.save("paid.yaml", &PAID.replace("object", "nothing"));
    let [definitions, broken] = counts(&registry).await;
    assert_eq!((broken.total, broken.invalid, broken.archived), (1, 1, 0));
    let snapshot = registry.snapshot();
    let paid = snapshot.event_types.values().next().unwrap();
    assert_eq!(paid.status, LoadStatus::Stale);
    assert!(paid.event_type.schema.is_some());
    // A broken event type is no broken definition.
    assert_eq!(definitions.invalid, 0);

    folder.remove("paid.yaml");
    let [_, gone] = counts(&registry).await;
    assert_eq!((gone.total, gone.archived, gone.invalid), (0, 1, 0));
    let snapshot = registry.snapshot();
    assert_eq!(snapshot.archived[0].kind, Kind::EventType);
    let warnings: Vec<_> = snapshot.warnings.iter().map(Diagnostic::render).collect();
    let warnings = warnings.join("\n");
    assert_snapshot!(warnings.replace(&folder.root().display().to_string(), "FOLDER"), @"
    FOLDER/capture.yaml:1:21: warning: no event type `order.paid` is declared
      1 | triggers: [{ event: order.paid }]
        |                     ^
      hint: declare it with a document of `kind: event_type` and `id: order.paid`, so that the data of its events can be checked
    ");
}

#[tokio::test]
async fn two_event_types_with_one_id_are_both_errors() {
    let folder = Folder::with(&[("a.yaml", PAID), ("b.yaml", PAID)]);
    let registry = real_registry(&folder);
    let [_, twice] = counts(&registry).await;
    assert_eq!((twice.total, twice.invalid), (0, 2));
    // A definition may have the id of an event type.
    folder.save("b.yaml", &format!("id: order.paid\n{CAPTURE}"));
    let [_, again] = counts(&registry).await;
    assert_eq!((again.total, again.invalid), (1, 0));
    assert_eq!(registry.snapshot().definitions.len(), 1);
}

fn typed(id: &str, kind: &str) -> String {
    format!("kind: event_type\nid: {id}\ntype: {kind}\n")
}

#[tokio::test]
async fn two_event_types_with_one_type_are_both_errors() {
    let folder = Folder::with(&[
        ("a.yaml", &typed("a", "order.paid")),
        ("b.yaml", PAID),
        ("c.yaml", &typed("c", "OrderPaid")),
    ]);
    let registry = real_registry(&folder);
    let [_, twice] = counts(&registry).await;
    assert_eq!((twice.total, twice.invalid), (1, 2));
    let snapshot = registry.snapshot();
    let errors: Vec<_> = snapshot.failed.iter().flat_map(|one| &one.errors).collect();
    let shown: Vec<_> = errors.iter().map(|error| error.render()).collect();
    let shown = shown.join("\n");
    assert_snapshot!(shown.replace(&folder.root().display().to_string(), "FOLDER"), @r"
    FOLDER/a.yaml:1:1: type: `order.paid` is also the type of another event type: FOLDER/b.yaml:1
      hint: give each event type a type of its own; the default is the id
    FOLDER/b.yaml:1:1: type: `order.paid` is also the type of another event type: FOLDER/a.yaml:1
      hint: give each event type a type of its own; the default is the id
    ");
}

#[tokio::test]
async fn a_trigger_on_a_type_that_is_no_id_knows_if_it_is_declared() {
    let trigger = CAPTURE.replace("order.paid", "OrderPaid");
    let folder = Folder::with(&[("capture.yaml", &trigger)]);
    let registry = real_registry(&folder);
    counts(&registry).await;
    let snapshot = registry.snapshot();
    let hint = snapshot.warnings[0].hint.as_deref().unwrap_or_default();
    assert!(hint.contains("`type: OrderPaid`"), "{hint}");

    folder.write("paid.yaml", &typed("paid", "OrderPaid"));
    counts(&registry).await;
    assert_eq!(registry.snapshot().warnings, []);

    // A document on disk takes the type from the last good version of another.
    folder.save("paid.yaml", "kind: event_type\nid: paid\nschema: 5\n");
    folder.write("other.yaml", &typed("other", "OrderPaid"));
    counts(&registry).await;
    let snapshot = registry.snapshot();
    let types = almanac_core::snapshot::by_type(&snapshot.event_types);
    assert_eq!(types["OrderPaid"].event_type.id.as_str(), "other");
}

fn hook(id: &str, slug: &str) -> String {
    format!(
        "kind: event_type\nid: {id}\nwebhook: {{ slug: {slug}, layout: github, secrets: [s] }}\n"
    )
}

/// The webhooks that are served, each with its event type.
fn webhooks(registry: &Registry) -> Vec<(String, String)> {
    let snapshot = registry.snapshot();
    let all = snapshot.webhooks.iter();
    all.map(|(slug, event_type)| (slug.to_string(), event_type.id.to_string()))
        .collect()
}

fn served(slug: &str, id: &str) -> (String, String) {
    (slug.to_owned(), id.to_owned())
}

#[tokio::test]
async fn two_webhooks_with_one_slug_are_both_errors_and_the_last_good_versions_stay() {
    let folder = Folder::with(&[("a.yaml", &hook("a", "shop")), ("b.yaml", &hook("b", "b"))]);
    let registry = real_registry(&folder);
    counts(&registry).await;
    assert_eq!(webhooks(&registry), [served("b", "b"), served("shop", "a")]);

    folder.save("b.yaml", &hook("b", "shop"));
    folder.write("c.yaml", &hook("c", "shop"));
    let [_, twice] = counts(&registry).await;
    assert_eq!((twice.total, twice.invalid), (2, 3));
    assert_eq!(webhooks(&registry), [served("b", "b"), served("shop", "a")]);
    let snapshot = registry.snapshot();
    let errors: Vec<_> = snapshot.failed.iter().flat_map(|one| &one.errors).collect();
    let shown: Vec<_> = errors.iter().map(|error| error.render()).collect();
    let shown = shown.join("\n");
    assert_snapshot!(shown.replace(&folder.root().display().to_string(), "FOLDER"), @r"
    FOLDER/a.yaml:1:1: webhook.slug: `shop` is also the slug of another event type: FOLDER/b.yaml:1, FOLDER/c.yaml:1
      hint: give each webhook a slug of its own
    FOLDER/b.yaml:1:1: webhook.slug: `shop` is also the slug of another event type: FOLDER/a.yaml:1, FOLDER/c.yaml:1
      hint: give each webhook a slug of its own
    FOLDER/c.yaml:1:1: webhook.slug: `shop` is also the slug of another event type: FOLDER/a.yaml:1, FOLDER/b.yaml:1
      hint: give each webhook a slug of its own
    ");

    folder.save("b.yaml", &hook("b", "b"));
    folder.remove("c.yaml");
    let [_, again] = counts(&registry).await;
    assert_eq!((again.total, again.invalid), (2, 0));
}

#[tokio::test]
async fn a_valid_document_takes_the_slug_of_one_that_is_broken() {
    let folder = Folder::with(&[("a.yaml", &hook("a", "shop"))]);
    let registry = real_registry(&folder);
    counts(&registry).await;
    folder.save("a.yaml", "kind: event_type\nid: a\nschema: 5\n");
    counts(&registry).await;
    assert_eq!(webhooks(&registry), [served("shop", "a")]);
    for other in ["0a", "z"] {
        folder.save("other.yaml", &hook(other, "shop"));
        counts(&registry).await;
        assert_eq!(webhooks(&registry), [served("shop", other)]);
    }
}
