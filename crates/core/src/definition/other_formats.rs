//! Documents of other formats that resemble definitions. Each gets one error that says what to
//! write, in place of an error for each of its keys.

use almanac_base::text::quoted;

use super::decode::Decoder;
use super::ows::like_host_name;
use super::yaml::{Entry, Node, Value};

/// Reports a document of Zigflow, whose head has other keys. Returns `true` if the document is of
/// Zigflow.
pub(super) fn zigflow(decoder: &mut Decoder<'_>, root: &Node<'_>) -> bool {
    let Some(header) = root.entry("document") else {
        return false;
    };
    let (queue, workflow_type) = (
        header.value.entry("taskQueue"),
        header.value.entry("workflowType"),
    );
    let Some(first) = [queue, workflow_type]
        .into_iter()
        .flatten()
        .min_by_key(|entry| entry.at)
    else {
        return false;
    };
    let mut parts = Vec::new();
    if let Some(entry) = workflow_type {
        let name = like_host_name(&entry.value.text);
        let name = name.map_or_else(|| "…".to_owned(), |name| name.to_string());
        parts.push(format!("`name: {name}` in place of `workflowType`"));
    }
    if let Some(entry) = queue {
        let namespace = like_host_name(&entry.value.text);
        let namespace = namespace.map_or_else(|| "default".to_owned(), |name| name.to_string());
        parts.push(format!(
            "`namespace: {namespace}` in place of `taskQueue`: runs use the project's task queue"
        ));
    }
    let options = "; the options of a task are keys of its `metadata.temporal`";
    decoder.error_with_hint(
        first.at,
        format!(
            "`document.{}` is a key of Zigflow, whose definitions begin differently",
            first.key
        ),
        format!("write {}{options}", parts.join(", and ")),
    );
    true
}

/// Reports a workflow of the Serverless Workflow Specification before 1.0. Returns `true` if the
/// document is such a workflow.
pub(super) fn older(decoder: &mut Decoder<'_>, root: &Node<'_>) -> bool {
    if ["do", "workflow", "document"]
        .iter()
        .any(|key| root.entry(key).is_some())
    {
        return false;
    }
    let version = root
        .entry("specVersion")
        .or_else(|| root.entry("schemaVersion"));
    let has_items = |entry: &&Entry<'_>| matches!(entry.value.value, Value::List(_));
    let states = root.entry("states").filter(has_items);
    let Some(first) = version.or(states) else {
        return false;
    };
    let version = match version {
        Some(entry) if !entry.value.text.is_empty() => quoted(&entry.value.text),
        _ => "before 1.0".to_owned(),
    };
    decoder.error_with_hint(
        first.at,
        format!("the Serverless Workflow Specification {version} is not supported"),
        "write it in DSL 1.0: `document` with `dsl`, `namespace`, `name` and `version`; \
         a task list `do` in place of `states`, in which operation is `call` or `run`, inject is \
         `set`, sleep is `wait`, event is `listen`, parallel is `fork`, foreach is `for`, and \
         `transition` is `then`",
    );
    true
}
