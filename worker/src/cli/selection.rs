//! The schedules that a command applies to: a single one by its id, or several by labels.

use std::collections::BTreeSet;

use almanac_base::names::DefinitionId;
use almanac_core::record::{Selection, Selector};
use anyhow::bail;
use serde_json::json;

use super::Remote;
use crate::args::{Target, Which};
use crate::backoff::random;
use crate::console::Page;
use crate::failure::Failure;
use crate::reconcile_client::ReconcileClientError;

/// Number of schedules that a command works on at a time.
pub(super) const CONCURRENCY: usize = 4;

/// The definitions that `which` selects. `limit` is the maximum if labels select them.
pub(super) async fn selected(
    remote: &Remote,
    which: &Which,
    limit: u16,
) -> anyhow::Result<Vec<DefinitionId>> {
    let Some(selector) = &which.selector else {
        return Ok(which.id.iter().cloned().collect());
    };
    let found = find(remote, selector).await?;
    if found.total == 0 {
        bail!("no definition with a schedule has the labels `{selector}`");
    }
    if found.total > u64::from(limit) {
        bail!(
            "{} schedules have the labels `{selector}`, more than the limit of {limit}; nothing \
             was changed",
            found.total
        );
    }
    Ok(found.ids)
}

/// The definitions with a schedule that have these labels.
pub(super) async fn definitions_with_labels(
    remote: &Remote,
    selector: &Selector,
) -> anyhow::Result<BTreeSet<DefinitionId>> {
    let found = find(remote, selector).await?;
    if found.total > found.ids.len() as u64 {
        bail!(
            "{} schedules have the labels `{selector}`, more than the {} that can be selected",
            found.total,
            found.ids.len()
        );
    }
    Ok(found.ids.into_iter().collect())
}

async fn find(remote: &Remote, selector: &Selector) -> anyhow::Result<Selection> {
    let request = format!("select-{:016x}", random());
    match remote.reconciler.select(&request, selector).await {
        Ok(found) => Ok(found),
        Err(error @ (ReconcileClientError::NoAnswer(_) | ReconcileClientError::Absent(_))) => {
            let why = format!("{error}; only a worker knows the labels");
            let hint =
                "`almanac list` shows all schedules; every command takes the id of a schedule";
            Err(Failure::new(why).hint(hint).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Prints the schedules that a command would change.
pub(super) fn show_selected(
    target: &Target,
    what: &str,
    ids: &[DefinitionId],
) -> anyhow::Result<()> {
    let value = json!({ "would": what, "ids": ids });
    super::print(target.format, &value, |_| {
        let mut page = Page::default();
        for id in ids {
            page.line(format!("{id}: would {what}"));
        }
        page
    })
}
