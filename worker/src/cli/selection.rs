//! The schedules that a command applies to: a single one by its id, or several by labels.

use almanac_base::names::DefinitionId;
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
    let request = format!("select-{:016x}", random());
    let found = match remote.reconciler.select(&request, selector).await {
        Ok(found) => found,
        Err(error @ (ReconcileClientError::NoAnswer(_) | ReconcileClientError::Absent(_))) => {
            let why = format!("{error}; labels are known to a worker alone: nothing was changed");
            let hint = "`almanac list` shows the schedules, and each can be named by its id";
            return Err(Failure::new(why).hint(hint).into());
        }
        Err(error) => return Err(error.into()),
    };
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

/// Prints the schedules that a command would change.
pub(super) fn show_selected(
    target: &Target,
    what: &str,
    ids: &[DefinitionId],
) -> anyhow::Result<()> {
    let value = json!({ "would": what, "ids": ids });
    super::show(target.format, &value, |_| {
        let mut page = Page::default();
        for id in ids {
            page.line(format!("{id}: would {what}"));
        }
        page
    })
}
